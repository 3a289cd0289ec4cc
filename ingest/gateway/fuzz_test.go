package gateway

import (
	"testing"

	"gatehouse/ingest/event"
)

// FuzzDecode checks, for the decoder of every source type and for recognition,
// that a record of any bytes becomes elements of which each is one event or one
// rejection, and that what is emitted holds what every Raw promises.
func FuzzDecode(f *testing.F) {
	names := append(Names(), "")
	for _, file := range fixtures(f) {
		for _, line := range fixtureLines(f, file) {
			for i := range names {
				f.Add(uint8(i), line)
			}
		}
	}
	f.Fuzz(func(t *testing.T, pick uint8, record []byte) {
		events, reasons := tally(t, names[int(pick)%len(names)], record)
		if events+len(reasons) == 0 {
			t.Fatal("a record became nothing")
		}
	})
}

// FuzzDecoder checks the decoders by themselves: one event without error, or an
// error without event.
func FuzzDecoder(f *testing.F) {
	for _, file := range fixtures(f) {
		for _, line := range fixtureLines(f, file) {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		for _, name := range Names() {
			d, _ := Lookup(name)
			emitted := 0
			err := d(record, func(raw *event.Raw) {
				emitted++
				checkRaw(t, raw)
			})
			if (err == nil) != (emitted == 1) {
				t.Fatalf("%s: emitted %d, error %v", name, emitted, err)
			}
		}
	})
}
