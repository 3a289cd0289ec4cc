package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compare = cmp.Options{cmpopts.EquateComparable(netip.Addr{})}

// full is an event in which every field has a value of its own, so that a field
// that gets lost or swapped shows.
func full(t testing.TB) Event {
	var e Event
	fill(t, reflect.ValueOf(&e).Elem(), new(int))
	e.Origin = Origin{"gateway-logs", 3, 42, 7}
	e.TS = 1_767_225_600_123_456
	return e
}

func fill(t testing.TB, v reflect.Value, n *int) {
	*n++
	switch x := v.Addr().Interface().(type) {
	case *netip.Addr:
		*x = netip.AddrFrom4([4]byte{10, 0, byte(*n >> 8), byte(*n)})
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), n)
		fill(t, v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprintf("value-%03d", *n))
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint32:
		v.SetUint(uint64(*n))
	default:
		t.Fatalf("cannot fill %s", v.Type())
	}
}

func TestJSONRoundTripKeepsEveryField(t *testing.T) {
	want := full(t)
	data := want.AppendJSON(nil)
	var got Event
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, compare); d != "" {
		t.Errorf("round trip changed the event (-want +got):\n%s", d)
	}
}

func TestJSONLeavesAbsentFieldsOut(t *testing.T) {
	e := Event{Kind: KindAccess, Origin: Origin{Topic: "t"}, ReqBytes: Absent, RespBytes: 0, LatencyUS: Absent, UpstreamLatencyUS: Absent}
	got := string(e.AppendJSON(nil))
	want := `{"v":1,"kind":"access","ts":"1970-01-01T00:00:00.000000Z","origin":"t/0/0","status":0,"resp_bytes":0}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var back Event
	if err := json.Unmarshal([]byte(got), &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(e, back, compare); d != "" {
		t.Errorf("absence did not survive (-want +got):\n%s", d)
	}
}

// Every member that the encoder writes is in the schema's table, in order, and
// the other way round: a new field cannot be forgotten in either.
func TestFieldsAreTheMembersInOrder(t *testing.T) {
	e := full(t)
	dec := json.NewDecoder(bytes.NewReader(e.AppendJSON(nil)))
	var got []string
	depth, expectKey := 0, false
	for {
		tok, err := dec.Token()
		if err != nil {
			break
		}
		switch d := tok.(type) {
		case json.Delim:
			if d == '{' || d == '[' {
				depth++
			} else {
				depth--
			}
			expectKey = depth == 1
			continue
		case string:
			if depth == 1 && expectKey {
				got = append(got, d)
				expectKey = false
				continue
			}
		}
		expectKey = depth == 1
	}
	var want []string
	for _, f := range Fields() {
		want = append(want, f.Name)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("table and encoder disagree (-table +encoder):\n%s", d)
	}
}

func TestSchemaIsJSONAndNamesEveryField(t *testing.T) {
	var s struct {
		Required   []string
		Properties map[string]struct{ Description string }
	}
	if err := json.Unmarshal(JSONSchema(), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Properties) != len(Fields()) || len(s.Required) == 0 {
		t.Errorf("schema has %d properties and %d required, want %d and some", len(s.Properties), len(s.Required), len(Fields()))
	}
	for name, p := range s.Properties {
		if p.Description == "" {
			t.Errorf("property %s has no description", name)
		}
	}
}

func TestReadingRefusesWithTheField(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"v":2}`, "schema version 2: want 1"},
		{`{"v":1,"ts":"yesterday"}`, "field ts"},
		{`{"v":1,"ts":"2026-01-01T00:00:00Z","origin":"x"}`, "field origin"},
	} {
		var e Event
		err := json.Unmarshal([]byte(c.in), &e)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.in, err, c.want)
		}
	}
}

// A Raw in any container, printed in any way, shows nothing of itself.
func TestRawNeverPrints(t *testing.T) {
	raw := NewRaw("kong")
	raw.Authorization, raw.Cookie, raw.Path = "Bearer s3cr3t-value", "sid=s3cr3t-value", "/s3cr3t-value"
	type holder struct{ Raw Raw }
	for _, v := range []any{raw, &raw, []Raw{raw}, map[string]Raw{"a": raw}, map[string]*Raw{"a": &raw}, holder{raw}, &holder{raw}} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("event", "raw", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("event", "raw", v)
		js, _ := json.Marshal(v)
		out.Write(js)
		for _, piece := range []string{"s3cr3t", fmt.Sprintf("%x", "s3cr3t")} {
			if strings.Contains(out.String(), piece) {
				t.Errorf("%T printed a secret: %s", v, out.String())
			}
		}
	}
}

func TestOriginRoundTrip(t *testing.T) {
	for _, o := range []Origin{{"gateway-logs", 0, 0, 0}, {"a/b.log", 0, 12, 0}, {"t", 11, 1 << 40, 3}} {
		got, err := ParseOrigin(o.String())
		if err != nil || got != o {
			t.Errorf("ParseOrigin(%q) = %v, %v", o, got, err)
		}
	}
	for _, bad := range []string{"", "t", "t/1", "/1/2", "t/x/2", "t/1/x", "t/1/2.x", "t/1/"} {
		if _, err := ParseOrigin(bad); err == nil {
			t.Errorf("ParseOrigin(%q) gave no error", bad)
		}
	}
}

func FuzzParseOrigin(f *testing.F) {
	f.Add("gateway-logs/0/42.1")
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseOrigin(s)
		if err != nil {
			return
		}
		if again, err := ParseOrigin(o.String()); err != nil || again != o {
			t.Errorf("%q reads as %v, which reads as %v, %v", s, o, again, err)
		}
	})
}

// The token is equal exactly when the range is; a topic's name is not part of
// it, since a renamed mirror of the same topic id is the same topic.
func TestTokenTellsRangesApart(t *testing.T) {
	base := Range{"cluster", "topic", "0123", 3, 10, 20}
	seen := map[string]Range{base.Token(): base}
	for _, r := range []Range{
		{"cluste", "topic", "r0123", 3, 10, 20}, {"cluster", "topic", "0124", 3, 10, 20},
		{"cluster", "topic", "0123", 4, 10, 20}, {"cluster", "topic", "0123", 3, 11, 20}, {"cluster", "topic", "0123", 3, 10, 21},
	} {
		if other, dup := seen[r.Token()]; dup {
			t.Errorf("%+v and %+v have one token", r, other)
		}
		seen[r.Token()] = r
	}
	again := base
	if token := base.Token(); len(token) != 32 || token != again.Token() {
		t.Errorf("token %q: want 32 digits, the same every time", token)
	}
}

func TestCompleteChoosesActorAndCredential(t *testing.T) {
	ip := netip.MustParseAddr("203.0.113.7")
	for _, c := range []struct {
		name              string
		e                 Event
		actor, credential string
	}{
		{"anonymous", Event{ClientIP: ip}, "203.0.113.7", ""},
		{"host name only", Event{ClientHost: "host.example.com"}, "host.example.com", ""},
		{"user of a combined log", Event{ClientIP: ip, Principal: "ana"}, "ana", "ana"},
		{"user with a token", Event{ClientIP: ip, Principal: "ana", TokenFP: "ab"}, "ana", "ab"},
		{"API key", Event{ClientIP: ip, CredentialID: "key-7"}, "key-7", "key-7"},
	} {
		c.e.Complete()
		if c.e.Actor != c.actor || c.e.Credential != c.credential {
			t.Errorf("%s: actor %q credential %q, want %q %q", c.name, c.e.Actor, c.e.Credential, c.actor, c.credential)
		}
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7": "203.0.0.0/16", "::ffff:203.0.113.7": "203.0.0.0/16", "2001:db8:1:2::3": "2001:db8::/32", "fe80::1%eth0": "fe80::/32",
	} {
		if got := Network(netip.MustParseAddr(in)); got != want {
			t.Errorf("Network(%s) = %s, want %s", in, got, want)
		}
	}
	if got := Network(netip.Addr{}); got != "" {
		t.Errorf("Network of no address = %q", got)
	}
}

// Whatever bytes a string holds, the JSON form is valid and reads back the same
// but for bytes that are no UTF-8.
func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("a\"b\\c\n\x00\x7f\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if want := strings.ToValidUTF8(s, ""); strings.ReplaceAll(got, "\uFFFD", "") != strings.ReplaceAll(want, "\uFFFD", "") {
			t.Errorf("%q came back as %q", s, got)
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	e := full(b)
	buf := e.AppendJSON(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = e.AppendJSON(buf[:0])
	}
}

func BenchmarkToken(b *testing.B) {
	r := Range{"cluster", "topic", "0123", 3, rand.Int64(), rand.Int64()}
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Token()
	}
}

// A clone is the same event and shares no string with it; a new field that Clone
// forgets shows here.
func TestCloneSharesNothing(t *testing.T) {
	want := full(t)
	got := want.Clone()
	if d := cmp.Diff(want, got, compare); d != "" {
		t.Fatalf("a clone differs (-want +got):\n%s", d)
	}
	shared := addresses(reflect.ValueOf(want), map[uintptr]bool{})
	for address := range addresses(reflect.ValueOf(got), map[uintptr]bool{}) {
		if shared[address] {
			t.Errorf("memory at %#x is shared", address)
		}
	}
	empty := Event{}
	if d := cmp.Diff(empty, empty.Clone(), compare); d != "" {
		t.Errorf("the clone of an empty event differs:\n%s", d)
	}
}

// addresses are those of the strings and lists in v.
func addresses(v reflect.Value, into map[uintptr]bool) map[uintptr]bool {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[netip.Addr]() {
			return into
		}
		for i := range v.NumField() {
			addresses(v.Field(i), into)
		}
	case reflect.Slice:
		into[v.Pointer()] = true
		for i := range v.Len() {
			addresses(v.Index(i), into)
		}
	case reflect.String:
		into[uintptr(unsafe.Pointer(unsafe.StringData(v.String())))] = true
	}
	return into
}

// Reset gives what NewRaw gives, and drops what the lists held.
func TestRawResetForgets(t *testing.T) {
	var raw Raw
	fill(t, reflect.ValueOf(&raw).Elem(), new(int))
	headers := raw.Headers
	raw.Reset("kong")
	if d := cmp.Diff(NewRaw("kong"), raw, cmpopts.EquateEmpty(), cmp.Transformer("show", func(r Raw) plainRaw { return plainRaw(r) })); d != "" {
		t.Errorf("reset (-new +reset):\n%s", d)
	}
	if headers[0] != (Label{}) {
		t.Error("a header is left in the list's memory")
	}
}

// plainRaw is a Raw whose fields print.
type plainRaw Raw
