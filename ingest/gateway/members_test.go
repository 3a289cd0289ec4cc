package gateway

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gatehouse/ingest/event"

	"github.com/google/go-cmp/cmp"
)

// Guesses change nothing: records whose members come in any order, are missing,
// unknown, repeated or written with spaces and escapes give what a reader gives
// that has seen nothing before.
func TestGuessesChangeNothing(t *testing.T) {
	members := []string{
		`"ts":"2026-01-02T03:04:05Z"`, `"method":"GET"`, `"path":"/a?b=1"`, `"status":200`, `"tenant":"t"`, `"host" : "h.example"`,
		`"latency_us":12`, `"unknown":1`, `"unknown_too":{"a":[1,2]}`, `"m\u0065thod":"PUT"`, `"":1`, `"a\nb":1`, `"a\"b":1`, `"é":1`,
		`"service":"s"`, ` "route":"/a"`, `"headers":{"Accept":"*/*","X-Other":"1"}`, `"request_id":"r1"`, `"objects":[]`,
	}
	var r Reader
	random := rand.New(rand.NewPCG(3, 3))
	for range 5_000 {
		n := 4 + random.IntN(len(members))
		record := "{"
		for i := range n {
			if i > 0 {
				record += ","
			}
			if i < 4 { // what is required, mostly
				record += members[i]
			} else {
				record += members[random.IntN(len(members))]
			}
		}
		record += "}"
		want := transcript("canonical", []byte(record))
		if got := transcriptBy(&r, "canonical", []byte(record)); got != want {
			t.Fatalf("%s (-want +got):\n%s", record, cmp.Diff(want, got))
		}
	}
}

// A name that was learned from an escape is no licence to write it without.
func TestLearnedNamesStayJSON(t *testing.T) {
	var r Reader
	const required = `"ts":1,"method":"GET","path":"/","status":200`
	for _, c := range []struct{ escaped, bare string }{{`a\nb`, "a\nb"}, {`a\"b`, `a"b`}, {`a\\q`, `a\q`}} {
		for range 3 {
			if got := transcriptBy(&r, "canonical", []byte(fmt.Sprintf(`{%s,"%s":1}`, required, c.escaped))); !strings.Contains(got, "0: event") {
				t.Fatalf("%q escaped is refused: %s", c.escaped, got)
			}
		}
		record := fmt.Sprintf(`{%s,"%s":1}`, required, c.bare)
		if got := transcriptBy(&r, "canonical", []byte(record)); !strings.Contains(got, "rejected") {
			t.Errorf("%q is accepted: %s", record, got)
		}
	}
}

// Numbers run out, and nothing else happens.
func TestLearningEnds(t *testing.T) {
	var r Reader
	for i := range 3 * maxMembers {
		record := fmt.Sprintf(`{"ts":1,"method":"GET","x%d":1,"path":"/p%d","y%d":"a","status":200}`, i, i, i)
		want := transcript("canonical", []byte(record))
		for range 2 {
			if got := transcriptBy(&r, "canonical", []byte(record)); got != want {
				t.Fatalf("%s (-want +got):\n%s", record, cmp.Diff(want, got))
			}
		}
	}
	if n := len(r.memory.canonicalNext.learned); n == 0 || n >= maxMembers {
		t.Errorf("%d names were learned, want some and fewer than %d", n, maxMembers)
	}
}

// Strings of a Raw stay when more records are read; only its lists are the
// reader's.
func TestStringsStay(t *testing.T) {
	var r Reader
	var raws []event.Raw
	var before []string
	for range 200 {
		for _, file := range fixtures(t) {
			for _, line := range fixtureLines(t, file)[:1] {
				r.Decode("", line, func(_ int32, raw *event.Raw) {
					raws, before = append(raws, raw.Clone()), append(before, dump(*raw))
				}, func(int32, *event.DecodeError, int) {})
			}
		}
	}
	for i := range raws {
		if after := dump(raws[i]); after != before[i] {
			t.Fatalf("event %d changed (-was +is):\n%s", i, cmp.Diff(before[i], after))
		}
	}
}

// A plain number read in one pass is what the long way gives.
func FuzzCount(f *testing.F) {
	for _, v := range []string{"0", "7", "007", "123456789012345", "1234567890123456", "1e3", "1.5", "-1", `"5"`, "null", "12x", " 3"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, scale := range []int{asIs, fromMillis, fromNanos} {
			quick := newScanner(new(memory), []byte(v+","))
			n, ok := quick.count(scale)
			if !ok {
				continue
			}
			slow := newScanner(new(memory), []byte(v+","))
			want, isNumber := fixed(slow.text(), scale)
			if !isNumber || slow.err != nil || n != want || quick.i != slow.i {
				t.Errorf("%q by %d: %d up to %d, want %d up to %d, %v", v, scale, n, quick.i, want, slow.i, slow.err)
			}
		}
	})
}
