package gateway

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTimesAgreeWithTheLibrary(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	zone := time.FixedZone("", -(3*3600 + 30*60))
	for range 20_000 {
		want := time.UnixMicro(random.Int64N(maxTime)).In(zone)
		for _, layout := range []string{
			time.RFC3339Nano, "2006-01-02T15:04:05.000000-0700", "2006-01-02 15:04:05,000000Z07:00", "02/Jan/2006:15:04:05.000000 -0700",
		} {
			text := want.Format(layout)
			m := parseTime(text)
			if !m.usable || !m.zoned || m.us != want.UnixMicro() {
				t.Fatalf("%s: got %+v, want %d", text, m, want.UnixMicro())
			}
		}
	}
}

func TestParseTime(t *testing.T) {
	const noon = 1_767_268_800_000_000 // 2026-01-01T12:00:00Z
	for _, c := range []struct {
		text string
		want moment
	}{
		{"2026-01-01T12:00:00Z", moment{noon, true, true}},
		{"2026-01-01t14:00:00.1234567+02:00", moment{noon + 123456, true, true}},
		{"2026-01-01 12:00:00", moment{noon, false, true}},
		{"01/Jan/2026:12:00:00", moment{noon, false, true}},
		{"01/Jan/2026:12:00:00 UTC", moment{noon, true, true}},
		{"2025-12-31T23:59:60Z", moment{1_767_225_600_000_000, true, true}},
		{"1767268800", moment{noon, true, true}},
		{"1767268800.000001", moment{noon + 1, true, true}},
		{"1767268800000", moment{noon, true, true}},
		{"1767268800000.5", moment{noon + 500, true, true}},
		{"1767268800000000", moment{noon, true, true}},
		{"1767268800000000000", moment{noon, true, true}},
		{"1.7672688e9", moment{noon, true, true}},
		{"2200-01-01T00:00:00Z", moment{maxTime, true, false}},
		{"0001-01-01T00:00:00Z", moment{-62_135_596_800_000_000, true, false}},
		{"2026-02-29T00:00:00Z", moment{}},
		{"2026-04-31T00:00:00Z", moment{}},
		{"2026-01-01T24:00:00Z", moment{}},
		{"2026-01-01T12:00:00+2:00", moment{}},
		{"2026-01-01T12:00:00 somewhere", moment{}},
		{"01/Foo/2026:12:00:00 +0000", moment{}},
		{"soon", moment{}},
		{"", moment{}},
	} {
		if got := parseTime(c.text); got != c.want {
			t.Errorf("parseTime(%q) = %+v, want %+v", c.text, got, c.want)
		}
	}
}

func TestFixed(t *testing.T) {
	for _, c := range []struct {
		text  string
		scale int
		want  int64
		ok    bool
	}{
		{"0.001", fromSeconds, 1000, true},
		{"0.0000019", fromSeconds, 1, true},
		{"-0.5", fromSeconds, -500_000, true},
		{"1.7267838395395e+18", fromNanos, 1_726_783_839_539_500, true},
		{"12", fromMillis, 12_000, true},
		{"357313", fromNanos, 357, true},
		{".5", fromSeconds, 500_000, true},
		{"9223372036854775807", asIs, 9_223_372_036_854_775_800, true},
		{"9e99", asIs, 0, false},
		{"0e99", asIs, 0, true},
		{"1e-99", fromSeconds, 0, true},
		{"", asIs, 0, false},
		{".", asIs, 0, false},
		{"-", asIs, 0, false},
		{"12ms", asIs, 0, false},
		{"1e", asIs, 0, false},
		{"0x10", asIs, 0, false},
	} {
		if got, ok := fixed(c.text, c.scale); got != c.want || ok != c.ok {
			t.Errorf("fixed(%q, %d) = %d, %v; want %d, %v", c.text, c.scale, got, ok, c.want, c.ok)
		}
	}
}
