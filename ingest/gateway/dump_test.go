package gateway

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gatehouse/ingest/event"
)

// dump writes a Raw out field by field, leaving out what is absent. A Raw prints
// as a placeholder everywhere else, on purpose: only tests may look inside, and
// only at fixtures.
func dump(raw event.Raw) string {
	var b strings.Builder
	v := reflect.ValueOf(raw)
	for i := range v.NumField() {
		name, value := v.Type().Field(i).Name, v.Field(i)
		switch x := value.Interface().(type) {
		case []string:
			if len(x) > 0 {
				fmt.Fprintf(&b, "  %s %q\n", name, x)
			}
		case []event.Label:
			for _, l := range x {
				fmt.Fprintf(&b, "  %s %s=%q\n", name, l.Name, l.Value)
			}
		case int64:
			if x != event.Absent {
				fmt.Fprintf(&b, "  %s %d\n", name, x)
			}
		case int:
			fmt.Fprintf(&b, "  %s %d\n", name, x)
		default:
			if s := value.String(); s != "" {
				fmt.Fprintf(&b, "  %s %q\n", name, s)
			}
		}
	}
	return b.String()
}

// transcript decodes a record and writes down every emit and reject.
func transcript(name string, record []byte) string { return transcriptBy(new(Reader), name, record) }

func transcriptBy(r *Reader, name string, record []byte) string {
	var b strings.Builder
	r.Decode(name, record,
		func(i int32, raw *event.Raw) { fmt.Fprintf(&b, "%d: event\n%s", i, dump(*raw)) },
		func(i int32, err *event.DecodeError, size int) {
			fmt.Fprintf(&b, "%d: rejected, %d bytes: %v\n", i, size, err)
		})
	return b.String()
}

func TestDumpShowsEveryField(t *testing.T) {
	raw := event.NewRaw("x")
	raw.Authorization = "a"
	raw.XFF = []string{"h"}
	raw.Headers = []event.Label{{Name: "n", Value: "v"}}
	got := dump(raw)
	want := "  Kind \"access\"\n  TS 0\n  Gateway \"x\"\n  Status 0\n  UpstreamStatus 0\n  XFF [\"h\"]\n  Authorization \"a\"\n  Headers n=\"v\"\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
