package detect

import (
	"net/netip"
	"testing"

	"gatehouse/ingest/event"
	"gatehouse/rules"
)

func catalogue(t testing.TB) rules.Set {
	t.Helper()
	s, err := rules.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEngineFindsTokenReuse(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: catalogue(t)})
	var found []Finding
	for i := range 20 {
		ev := event.Event{Kind: event.KindAccess, TS: int64(i) * second, Status: 200, Principal: "alice", UAFamily: "Chrome", UserAgent: "Mozilla/5.0 Chrome/1",
			ClientIP: netip.MustParseAddr("192.0.2.1"), Origin: event.Origin{Topic: "t", Offset: int64(i)}}
		if i%2 == 1 {
			ev.ClientIP, ev.UAFamily, ev.UserAgent = netip.MustParseAddr("198.51.100.1"), "curl", "curl/8"
		}
		ev.Complete()
		found = append(found, e.Observe(&ev)...)
	}
	if len(found) != 1 {
		t.Fatalf("%d findings: want 1: %+v", len(found), found)
	}
	t.Logf("%+v", found[0])
}
