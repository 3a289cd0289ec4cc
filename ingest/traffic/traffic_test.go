package traffic

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/ingest/event"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

var start = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// hour is an hour at the default rate with every attack in it.
var hour = sync.OnceValue(func() []Call {
	return slices.Collect(Scenario(Config{Seed: 7, Start: start, Attacks: OneOfEach(time.Hour)}))
})

func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./ingest/traffic -rewrite writes it)", err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs from what is recorded (-recorded +got); if that is meant, run with -rewrite:\n%s", path, d)
	}
}

// The first twenty calls, as each gateway logs them: the seed is a promise.
func TestGoldenCalls(t *testing.T) {
	for _, gateway := range Gateways() {
		var out bytes.Buffer
		n := 0
		attacks := []Attack{{Name: TokenReuse, At: time.Second}, {Name: ObjectEnumeration, At: time.Second}, {Name: EndpointProbing, At: time.Second}}
		for c := range Scenario(Config{Seed: 1, Start: start, Attacks: attacks}) {
			if n++; n > 20 {
				break
			}
			line, err := Encode(gateway, &c.Raw, []Option{0, WithCredential}[n%2])
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s\n", line)
		}
		checkGolden(t, gateway, out.Bytes())
	}
}

func TestSameSeedSameCallsAndOthersOtherwise(t *testing.T) {
	cfg := Config{Seed: 3, Start: start, Duration: 2 * time.Minute, Attacks: []Attack{{Name: VolumeSpike}}}
	text := func(cfg Config) string {
		var b []byte
		for c := range Scenario(cfg) {
			b, _ = Append(append(b, c.Attack...), "canonical", &c.Raw)
		}
		return string(b)
	}
	first, again := text(cfg), text(cfg)
	if first != again {
		t.Error("one configuration gave two different scenarios")
	}
	other := cfg
	other.Seed = 4
	if first == text(other) {
		t.Error("two seeds gave the same scenario")
	}
}

func TestCallsAreInOrderAndInTime(t *testing.T) {
	last := start.UnixMicro()
	for i, c := range hour() {
		if c.Raw.TS < last {
			t.Fatalf("call %d is %d µs before the one before", i, last-c.Raw.TS)
		}
		last = c.Raw.TS
	}
	if end := start.Add(time.Hour).UnixMicro(); last >= end || last < end-int64(time.Minute.Microseconds()) {
		t.Errorf("last call %v before the end, want within its last minute", time.Duration(end-last)*time.Microsecond)
	}
}

// Adding an attack changes no benign call: what a rule says about the benign
// ones is comparable between scenarios.
func TestAttacksChangeNoBenignCall(t *testing.T) {
	cfg := Config{Seed: 5, Start: start, Duration: 10 * time.Minute}
	quiet := Scenario(cfg)
	cfg.Attacks = OneOfEach(cfg.Duration)
	var with []event.Raw
	for c := range Scenario(cfg) {
		if c.Attack == "" {
			with = append(with, c.Raw)
		}
	}
	i := 0
	for c := range quiet {
		if i >= len(with) || !reflect.DeepEqual(c.Raw, with[i]) {
			t.Fatalf("benign call %d differs when attacks are played", i)
		}
		i++
	}
	if i != len(with) {
		t.Errorf("%d benign calls without attacks, %d with", i, len(with))
	}
}

func TestRateIsKept(t *testing.T) {
	for _, c := range []struct {
		rate     float64
		users    int
		duration time.Duration
	}{{20, 0, time.Hour}, {400, 0, 10 * time.Minute}, {100, 50, 20 * time.Minute}, {2, 0, 4 * time.Hour}} {
		n := 0
		for range Scenario(Config{Seed: 9, Rate: c.rate, Users: c.users, Duration: c.duration}) {
			n++
		}
		want := c.rate * c.duration.Seconds()
		if math.Abs(float64(n)-want) > 0.15*want {
			t.Errorf("rate %g, %d users: %d calls in %v, want %.0f ± 15 %%", c.rate, c.users, n, c.duration, want)
		}
	}
}

// Attacks are there and are few.
func TestSharesOfLabels(t *testing.T) {
	count := map[string]int{}
	all := hour()
	for i := range all {
		count[all[i].Attack]++
	}
	for _, family := range Families() {
		if share := float64(count[family]) / float64(len(all)); count[family] < 30 || share > 0.03 {
			t.Errorf("%s: %d of %d calls, want at least 30 and at most 3 %%", family, count[family], len(all))
		}
	}
	if len(count) != 1+len(Families()) {
		t.Errorf("labels %v: want %v and none", count, Families())
	}
}

// Every address is reserved: no packet of anybody's is ever pointed at.
func TestAddressesAreReserved(t *testing.T) {
	var reserved []netip.Prefix
	for _, p := range []string{"10.0.0.0/8", "100.64.0.0/10", "198.18.0.0/15", "203.0.113.0/24", "3fff::/20"} {
		reserved = append(reserved, netip.MustParsePrefix(p))
	}
	networks := map[string]bool{}
	all := hour()
	for i := range all {
		ip, err := netip.ParseAddr(all[i].Raw.Client)
		if err != nil || !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			t.Fatalf("client %q: want an address of a reserved range", all[i].Raw.Client)
		}
		networks[event.Network(ip)] = true
	}
	if len(networks) < 100 {
		t.Errorf("%d client networks, want at least 100", len(networks))
	}
}

func TestCheckNamesTheField(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Rate: -1}, "Rate -1: want 0 to"},
		{Config{Rate: 2e6}, "Rate 2e+06"},
		{Config{Users: 15}, "Users 15: want 0 for the default, or 16 to"},
		{Config{Duration: -1}, "Duration -1ns"},
		{Config{Gateway: "caddy"}, `Gateway "caddy": want one of [canonical clf`},
		{Config{Attacks: []Attack{{Name: "dos"}}}, `Attacks[0].Name "dos": want one of [endpoint_probing`},
		{Config{Attacks: []Attack{{Name: TokenReuse, At: -1}}}, "Attacks[0]: want At"},
	} {
		err := c.cfg.Check()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want an error with %q", c.cfg, err, c.want)
		}
	}
	if err := (Config{}).Check(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
}

func TestScenarioRefusesWhatCheckRefuses(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic for an unknown attack")
		}
	}()
	Scenario(Config{Attacks: []Attack{{Name: "dos"}}})
}

// The smallest world still works, attacks included.
func TestSmallestWorld(t *testing.T) {
	n := 0
	for range Scenario(Config{Users: MinUsers, Rate: 1, Duration: 30 * time.Minute, Attacks: OneOfEach(30 * time.Minute)}) {
		n++
	}
	if n == 0 {
		t.Error("no calls")
	}
}
