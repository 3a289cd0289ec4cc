package traffic

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/ingest/event"
)

func network(r *event.Raw) string { return event.Network(netip.MustParseAddr(r.Client)) }

// of are the calls with a label.
func of(all []Call, label string) []*event.Raw {
	var calls []*event.Raw
	for i := range all {
		if all[i].Attack == label {
			calls = append(calls, &all[i].Raw)
		}
	}
	return calls
}

// alternations counts how often the network goes from A to B and back.
func alternations(calls []*event.Raw) int {
	n, before, last := 0, "", ""
	for _, r := range calls {
		now := network(r)
		if now == last {
			continue
		}
		if now == before {
			n++
		}
		before, last = last, now
	}
	return n
}

// A stolen token is seen from two networks with two agents, in turns.
func TestTokenReuseAlternates(t *testing.T) {
	all := hour()
	stolen := of(all, TokenReuse)
	token := stolen[0].Authorization
	first, last := stolen[0].TS, stolen[len(stolen)-1].TS
	var both []*event.Raw
	agents := map[string]bool{}
	for i := range all {
		r := &all[i].Raw
		if r.Authorization != token || r.TS < first || r.TS > last {
			continue
		}
		both = append(both, r)
		agents[r.UserAgent] = true
	}
	if len(both) <= len(stolen) || len(agents) != 2 {
		t.Errorf("%d calls by thief and owner of which %d by the thief, with %d agents: want both and 2 agents", len(both), len(stolen), len(agents))
	}
	if n := alternations(both); n < 4 {
		t.Errorf("%d alternations between networks, want at least 4", n)
	}
	for _, r := range stolen {
		if r.Status >= 400 || r.Principal != stolen[0].Principal {
			t.Errorf("the thief got %d as %s: want success as the owner", r.Status, r.Principal)
		}
	}
}

// An enumerator asks for accounts in sequence and gets some of them.
func TestObjectEnumerationWalks(t *testing.T) {
	calls := of(hour(), ObjectEnumeration)
	statuses, last := map[int]int{}, -1
	for _, r := range calls {
		id, err := strconv.Atoi(strings.TrimPrefix(r.Path, "/v1/accounts/"))
		if err != nil || (last >= 0 && id != last+1) {
			t.Fatalf("path %s after account %d: want the next account", r.Path, last)
		}
		last = id
		statuses[r.Status]++
		if r.Principal != calls[0].Principal || r.Principal == "" {
			t.Fatalf("principal %q, want one throughout", r.Principal)
		}
	}
	if n := len(calls); n < 300 || statuses[200] < n/3 || statuses[403] < n/5 {
		t.Errorf("%d calls with statuses %v: want 300 or more, 200 and 403 mixed", n, statuses)
	}
}

// In a spike, a partner calls many times as often as in the half hour before.
func TestVolumeSpikeIsManyTimesNormal(t *testing.T) {
	all := hour()
	spike := of(all, VolumeSpike)
	from, minutes := spike[0].TS, float64(spike[len(spike)-1].TS-spike[0].TS)/float64(60*sec)
	usual := 0
	for i := range all {
		if r := &all[i].Raw; r.Principal == spike[0].Principal && r.TS < from && r.TS > from-30*60*sec {
			usual++
		}
	}
	got, before := float64(len(spike))/minutes, float64(usual)/30
	if usual < 100 || got < 15*before || minutes < 3 {
		t.Errorf("%.0f calls a minute for %.1f minutes against %.1f before: want 15 times as many for 3", got, minutes, before)
	}
}

// A scan asks for many paths that do not exist, and for some that do.
func TestEndpointProbingIsRefused(t *testing.T) {
	refused, ok := map[string]bool{}, 0
	for _, r := range of(hour(), EndpointProbing) {
		if r.Status < 400 {
			ok++
			continue
		}
		if refused[r.Path] {
			t.Errorf("%s asked for twice", r.Path)
		}
		refused[r.Path] = true
	}
	if len(refused) < 100 || ok < 10 {
		t.Errorf("%d distinct paths refused and %d pages seen, want 100 and 10", len(refused), ok)
	}
}

// Look-alikes: what rules must stay quiet on is in the benign mix.
func TestBenignLookAlikes(t *testing.T) {
	cfg := Config{Seed: 7, Start: start, Duration: 3 * time.Hour}
	byToken, byPrincipal := map[string][]*event.Raw{}, map[string][]*event.Raw{}
	office, late := map[string]bool{}, int64(never)
	refused := map[string]map[string]bool{}
	all := slices.Collect(Scenario(cfg))
	for i := range all {
		r := &all[i].Raw
		byToken[r.Authorization] = append(byToken[r.Authorization], r)
		byPrincipal[r.Principal] = append(byPrincipal[r.Principal], r)
		if r.Client == officeAddress {
			office[r.Principal] = true
		}
		if r.Principal == "svc-loyalty" {
			late = min(late, r.TS)
		}
		if r.Status >= 401 && r.Status <= 404 {
			key := r.Principal + r.Client
			if refused[key] == nil {
				refused[key] = map[string]bool{}
			}
			refused[key][r.Path] = true
		}
	}
	handovers(t, byToken)
	steadyReader(t, byPrincipal["svc-fulfilment"], cfg.Duration)
	if len(office) < officeStaff {
		t.Errorf("%d principals behind the office address, want %d", len(office), officeStaff)
	}
	if late < start.Add(time.Hour).UnixMicro() {
		t.Errorf("the late service account starts at %v", time.UnixMicro(late))
	}
	for who, paths := range refused {
		if len(paths) > 15 {
			t.Errorf("%s was refused %d distinct paths, which is a scan", who, len(paths))
		}
	}
}

// handovers: some tokens are seen from two networks, none goes back and forth.
func handovers(t *testing.T, byToken map[string][]*event.Raw) {
	t.Helper()
	moved := 0
	for token, calls := range byToken {
		networks, agents := map[string]bool{}, map[string]bool{}
		for _, r := range calls {
			networks[network(r)], agents[r.UserAgent] = true, true
		}
		if token == "" || len(networks) == 1 {
			continue
		}
		moved++
		if len(networks) > 2 || alternations(calls) > 0 || len(agents) > 1 {
			t.Errorf("benign token in %d networks with %d agents and %d alternations", len(networks), len(agents), alternations(calls))
		}
	}
	if moved < 5 {
		t.Errorf("%d tokens change network, want at least 5", moved)
	}
}

// steadyReader: a service account reads many distinct objects, as many in every
// ten minutes.
func steadyReader(t *testing.T, calls []*event.Raw, d time.Duration) {
	t.Helper()
	distinct := map[string]bool{}
	windows := make([]int, d/(10*time.Minute))
	for _, r := range calls {
		distinct[r.Path] = true
		windows[(r.TS-start.UnixMicro())/(600*sec)]++
	}
	if lo, hi := slices.Min(windows), slices.Max(windows); len(distinct) < 1000 || float64(hi-lo) > 0.1*float64(hi) {
		t.Errorf("%d distinct objects, %d to %d calls in 10 minutes: want 1000 at a steady pace", len(distinct), lo, hi)
	}
}
