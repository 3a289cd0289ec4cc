package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
)

func TestRoundRobin(t *testing.T) {
	four := map[string][]int32{"t": {3, 1, 0, 2}}
	for name, c := range map[string]struct {
		members    []candidate
		partitions map[string][]int32
		want       map[string]map[string][]int
	}{
		"one member has all": {
			[]candidate{{id: "a", topics: []string{"t"}}}, four,
			map[string]map[string][]int{"a": {"t": {0, 1, 2, 3}}},
		},
		"three members differ by one at most": {
			[]candidate{{id: "c", topics: []string{"t"}}, {id: "a", topics: []string{"t"}}, {id: "b", topics: []string{"t"}}}, four,
			map[string]map[string][]int{"a": {"t": {0, 3}}, "b": {"t": {1}}, "c": {"t": {2}}},
		},
		"more members than partitions": {
			[]candidate{{id: "a", topics: []string{"t"}}, {id: "b", topics: []string{"t"}}}, map[string][]int32{"t": {0}},
			map[string]map[string][]int{"a": {"t": {0}}, "b": {}},
		},
		"order is by static name, then id": {
			[]candidate{{id: "a", instance: "z", topics: []string{"t"}}, {id: "b", instance: "y", topics: []string{"t"}}}, map[string][]int32{"t": {0}},
			map[string]map[string][]int{"a": {}, "b": {"t": {0}}},
		},
		"a topic goes to those who want it": {
			[]candidate{{id: "a", topics: []string{"t"}}, {id: "b", topics: []string{"t", "u"}}}, map[string][]int32{"t": {0, 1}, "u": {0, 1}, "nobody": {0}},
			map[string]map[string][]int{"a": {"t": {0}}, "b": {"t": {1}, "u": {0, 1}}},
		},
		"the load counts over all topics": {
			[]candidate{{id: "a", topics: []string{"t", "u"}}, {id: "b", topics: []string{"t", "u"}}}, map[string][]int32{"t": {0}, "u": {0}},
			map[string]map[string][]int{"a": {"t": {0}}, "b": {"u": {0}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, roundRobin(c.members, c.partitions)); d != "" {
				t.Errorf("assignment differs (-want +got):\n%s", d)
			}
		})
	}
}

// Whatever the group looks like, every partition that anybody wants goes to
// exactly one member that wants it.
func FuzzRoundRobin(f *testing.F) {
	f.Add(uint8(3), uint8(4), uint8(2), uint64(0b1011))
	f.Fuzz(func(t *testing.T, nMembers, nTopics, nPartitions uint8, wants uint64) {
		var members []candidate
		partitions := map[string][]int32{}
		for topic := range nTopics % 8 {
			for p := range nPartitions {
				partitions[fmt.Sprint(topic)] = append(partitions[fmt.Sprint(topic)], int32(p))
			}
		}
		wanted := map[string]map[string]bool{}
		for m := range nMembers % 8 {
			c := candidate{id: fmt.Sprint("m", m)}
			for topic := range nTopics % 8 {
				if name := fmt.Sprint(topic); wants>>(m*8+topic)&1 == 1 {
					c.topics = append(c.topics, name)
					if wanted[name] == nil {
						wanted[name] = map[string]bool{}
					}
					wanted[name][c.id] = true
				}
			}
			members = append(members, c)
		}
		owners := map[string]int{}
		for id, mine := range roundRobin(members, partitions) {
			for topic, parts := range mine {
				for _, p := range parts {
					owners[fmt.Sprint(topic, "/", p)]++
					if !wanted[topic][id] {
						t.Errorf("%s got %s, which it does not want", id, topic)
					}
				}
			}
		}
		for topic, parts := range partitions {
			for _, p := range parts {
				want := min(1, len(wanted[topic]))
				if got := owners[fmt.Sprint(topic, "/", p)]; got != want {
					t.Errorf("%s/%d has %d owners: want %d", topic, p, got, want)
				}
			}
		}
	})
}

// What a commit stores fits the broker's limit and comes back as it was.
func FuzzMetadata(f *testing.F) {
	f.Add("")
	f.Add("gh1;0123;1;2;t")
	f.Add("gs1:0123456789abcdef0123456789abcdef;nested")
	f.Add(strings.Repeat("€", MaxMetadata+1))
	f.Add("\xff\U0001F600")
	id := strings.Repeat("0a", 16)
	f.Fuzz(func(t *testing.T, metadata string) {
		units := len(utf16.Encode([]rune(metadata)))
		stored, err := tagMetadata(id, metadata)
		if (units > MaxMetadata) != errors.Is(err, ErrMetadataTooLong) {
			t.Fatalf("%d units: got %v", units, err)
		}
		if err != nil {
			return
		}
		if n := len(utf16.Encode([]rune(stored))); n > maxStoredMetadata {
			t.Errorf("stores %d units: want at most %d", n, maxStoredMetadata)
		}
		if gotID, got := splitMetadata(stored); gotID != id || got != metadata {
			t.Errorf("got %q %q: want %q %q", gotID, got, id, metadata)
		}
		// Somebody else's metadata is kept whole, unless it has our tag.
		if gotID, got := splitMetadata(metadata); gotID == "" && got != metadata {
			t.Errorf("foreign metadata %q became %q", metadata, got)
		}
	})
}

// Any bytes are either an answer to request 7 or an error.
func FuzzCutHeader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 7, 1, 2, 3}, false)
	f.Add([]byte{0, 0, 0, 7, 1, 2, 1, 9, 5}, true)
	f.Add([]byte{0, 0, 0, 7, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, true)
	f.Fuzz(func(t *testing.T, b []byte, flexible bool) {
		body, err := cutHeader(b, 7, flexible)
		if err == nil && len(body) > len(b)-4 {
			t.Errorf("body of %d bytes from %d", len(body), len(b))
		}
	})
}

// What a failed commit means decides between once and twice, so every kind is
// listed: may be sent again, surely lost the partition, or nobody knows.
func TestJudgesCommits(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	reset := &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	for name, c := range map[string]struct {
		err, want error
		fenced    bool
	}{
		"coordinator loading":    {kafka.GroupLoadInProgress, nil, false},
		"coordinator unknown":    {kafka.GroupCoordinatorNotAvailable, nil, false},
		"coordinator moved":      {kafka.NotCoordinatorForGroup, nil, false},
		"never sent":             {dial, nil, false},
		"old generation":         {kafka.IllegalGeneration, ErrNotOwned, true},
		"expelled":               {kafka.UnknownMemberId, ErrNotOwned, true},
		"rebalancing":            {kafka.RebalanceInProgress, ErrNotOwned, true},
		"replaced":               {kafka.FencedInstanceID, ErrNotOwned, true},
		"connection reset":       {reset, ErrUnknownOutcome, true},
		"connection closed":      {io.ErrUnexpectedEOF, ErrUnknownOutcome, true},
		"no answer":              {context.DeadlineExceeded, ErrUnknownOutcome, true},
		"malformed answer":       {errAnswer, ErrUnknownOutcome, true},
		"broker timed out":       {kafka.RequestTimedOut, ErrUnknownOutcome, true},
		"metadata refused":       {kafka.OffsetMetadataTooLarge, kafka.OffsetMetadataTooLarge, false},
		"not allowed":            {kafka.GroupAuthorizationFailed, kafka.GroupAuthorizationFailed, false},
		"topic gone for a while": {kafka.UnknownTopicOrPartition, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			p := &Partition{generation: &generation{ctx: ctx, end: cancel, disown: cancel}}
			got := p.judgeCommit(fmt.Errorf("commit: %w", c.err))
			if !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
				t.Errorf("got %v: want %v", got, c.want)
			}
			if owns := p.generation.owns(); owns == c.fenced || (ctx.Err() != nil) != c.fenced {
				t.Errorf("owns %v, context %v: want fenced %v", owns, ctx.Err(), c.fenced)
			}
		})
	}
}

// The error code lies in the low half of what kafka-go takes for throttling.
func TestSwappedCode(t *testing.T) {
	for throttle, want := range map[time.Duration]kafka.Error{
		0: 0, 27 * time.Millisecond: codeRebalance, (5<<16 | 25) * time.Millisecond: codeUnknownMember, 0xffff * time.Millisecond: kafka.Unknown,
	} {
		if got := swappedCode(throttle); got != want {
			t.Errorf("%v: got %d: want %d", throttle, got, want)
		}
	}
}

func TestConfigRefusals(t *testing.T) {
	good := Config{Brokers: []string{"127.0.0.1:1"}, Topics: []string{"t"}, Group: "g"}
	for want, change := range map[string]func(*Config){
		"kafka.brokers: empty":                func(c *Config) { c.Brokers = nil },
		`kafka.brokers: "kafka-1": want host`: func(c *Config) { c.Brokers = []string{"kafka-1"} },
		"kafka.topics: empty":                 func(c *Config) { c.Topics = nil },
		"kafka.topics: entry 1 is empty":      func(c *Config) { c.Topics = []string{""} },
		"kafka.group: empty":                  func(c *Config) { c.Group = "" },
		"kafka.session_timeout: 1ms":          func(c *Config) { c.SessionTimeout = time.Millisecond },
		"kafka.drain_timeout: -1s":            func(c *Config) { c.DrainTimeout = -time.Second },
		"kafka.fetch_max_bytes: 1":            func(c *Config) { c.FetchMaxBytes = 1 },
		"kafka.max_decompressed: 5":           func(c *Config) { c.MaxDecompressed = 5 },
		"kafka.tls: fields are set":           func(c *Config) { c.TLS.CAFile = "ca.pem" },
		"kafka.tls: cert_file and key_file":   func(c *Config) { c.TLS = TLS{Enabled: true, CertFile: "c.pem"} },
		"kafka.tls.ca_file: open /none":       func(c *Config) { c.TLS = TLS{Enabled: true, CAFile: "/none"} },
		"kafka.tls.ca_file: /dev/null holds":  func(c *Config) { c.TLS = TLS{Enabled: true, CAFile: "/dev/null"} },
		"kafka.sasl: fields are set":          func(c *Config) { c.SASL.User = "u" },
		`kafka.sasl.mechanism: "GSSAPI"`:      func(c *Config) { c.SASL = SASL{Mechanism: "GSSAPI"} },
		"kafka.sasl.user: empty":              func(c *Config) { c.SASL = SASL{Mechanism: Plain} },
		"exactly one of password_file":        func(c *Config) { c.SASL = SASL{Mechanism: Plain, User: "u"} },
		"variable GATEHOUSE_NONE is not set":  func(c *Config) { c.SASL = SASL{Mechanism: Plain, User: "u", PasswordEnv: "GATEHOUSE_NONE"} },
		"file /dev/null is empty":             func(c *Config) { c.SASL = SASL{Mechanism: Plain, User: "u", PasswordFile: "/dev/null"} },
	} {
		if _, err := NewConsumer(good); err != nil {
			t.Fatal(err)
		}
		cfg := good
		change(&cfg)
		if _, err := NewConsumer(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v: want %q in it", err, want)
		}
	}
}
