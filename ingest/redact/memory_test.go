package redact

import (
	"net/netip"
	"strings"
	"testing"

	"gatehouse/ingest/event"
)

// What an event was when it was made it still is when thousands more were: nothing
// that a redactor uses again is part of an event.
func TestEventsStayWhatTheyWere(t *testing.T) {
	r := fixedRedactor(t)
	var events []event.Event
	var before []string
	for i := range 3000 {
		for _, raw := range benchRaws() {
			raw.Path = raw.Path + "/" + strings.Repeat("x", i%40)
			raw.Client, raw.Tenant = netip.AddrFrom4([4]byte{10, byte(i), byte(i >> 8), 1}).String(), strings.Repeat("t", i%7)
			raw.Quality = []string{"host_missing"}
			if i%3 == 0 {
				raw.Quality = append(raw.Quality, "unknown_fields")
			}
			events = append(events, redactOne(t, r, raw))
			before = append(before, string(events[len(events)-1].AppendJSON(nil)))
		}
	}
	for i := range events {
		if after := string(events[i].AppendJSON(nil)); after != before[i] {
			t.Fatalf("event %d changed:\n was %s\n  is %s", i, before[i], after)
		}
	}
}

// The usual event costs no allocation of its own.
func TestUsualEventAllocatesNothing(t *testing.T) {
	s := fixedRedactor(t).pool.Get().(*scratch) // the pool itself forgets, under the race detector at random
	raw := benchRaws()["jwt-and-session"]
	raw.Query = "page=2&limit=50"
	var e event.Event
	got := testing.AllocsPerRun(2000, func() {
		s.reset()
		s.e = &e
		s.fill(&raw)
		s.forget()
		e = event.Event{}
	})
	if got > 0.5 {
		t.Errorf("%v allocations per event, want those of chunks alone", got)
	}
}

// parse4 reads what netip reads, and leaves everything else to it.
func FuzzParse4(f *testing.F) {
	for _, v := range []string{"", "1.2.3.4", "255.255.255.255", "0.0.0.0", "01.2.3.4", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1..2.3", "1.2.3.4 ", "::1", "1.2.3.04", "9999999999.1.1.1"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		got, ok := parse4(v)
		want, err := netip.ParseAddr(v)
		if is4 := err == nil && want.Is4(); ok != is4 || ok && got != want {
			t.Errorf("%q: %v %v, want %v %v", v, got, ok, want, is4)
		}
	})
}

// The tables of measure count as its words say.
func FuzzMeasure(f *testing.F) {
	for _, v := range []string{"", "orders", "AKIAIOSFODNN7EXAMPLE", "8f7a6s5d4f3g2h1j0k9l8m7n6b5v4c3x", "a-b_c+d", "Zz9", "deadbeefDEADBEEF0123", "é"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, shortest := range []int{shortLength, opaqueLength} {
			end, random := measure(v, 0, shortest)
			wantEnd, wantRandom := measureSlowly(v, shortest)
			if end != wantEnd || random != wantRandom {
				t.Errorf("%q: %d %v, want %d %v", v, end, random, wantEnd, wantRandom)
			}
		}
	})
}

// measureSlowly counts without tables.
func measureSlowly(v string, shortest int) (end int, random bool) {
	var t tally
	var last byte
	for ; end < len(v) && (isAlnum(v[end]) || strings.IndexByte("-_+", v[end]) >= 0); end++ {
		c := v[end]
		if !isAlnum(c) {
			last = 0
			continue
		}
		t.length++
		switch {
		case isDigit(c):
			t.digits++
		case c|0x20 > 'f':
			t.notHex++
		}
		switch {
		case last == 0, isDigit(last) && isDigit(c):
		case isDigit(last), isDigit(c), isLower(last) && isUpper(c), pairs[last|0x20-'a']&(1<<(c|0x20-'a')) == 0:
			t.odd++
			t.counted++
		default:
			t.counted++
		}
		last = c
	}
	return end, t.length >= shortest && t.random()
}
