package traffic

import (
	"index/suffixarray"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/redact"
)

// Through a gateway's record, its decoder and redaction, no secret of a call
// survives: not its own, and not one of another call. The positive control is
// that the same search finds secrets in what the gateways logged.
func TestRedactionLeavesNoSecret(t *testing.T) {
	keys, err := redact.LoadOrCreateKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	redactor, err := redact.New(redact.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	attacks := []Attack{{Name: TokenReuse}, {Name: VolumeSpike}}
	for _, name := range Gateways() {
		var logged, stored []byte
		secrets := map[string]bool{}
		for c := range Scenario(Config{Seed: 13, Start: start, Rate: 40, Duration: 40 * time.Second, Attacks: attacks}) {
			for _, s := range Secrets(&c.Raw) {
				secrets[s] = true
			}
			line, err := Encode(name, &c.Raw, WithCredential)
			if err != nil {
				t.Fatal(err)
			}
			logged = append(append(logged, line...), '\n')
			raw := decodeOne(t, name, line)
			var e event.Event
			if err := redactor.Redact(&raw, event.Origin{Topic: "t"}, &e); err != nil {
				t.Fatal(err)
			}
			stored = append(e.AppendJSON(stored), '\n')
		}
		searchFor(t, name, secrets, logged, stored)
	}
}

func searchFor(t *testing.T, name string, secrets map[string]bool, logged, stored []byte) {
	t.Helper()
	inLogged, inStored, found := suffixarray.New(logged), suffixarray.New(stored), 0
	for s := range secrets {
		found += len(inLogged.Lookup([]byte(s), 1))
		for _, at := range inStored.Lookup([]byte(s), 1) {
			t.Errorf("%s: a secret is stored: …%s…", name, stored[max(at-120, 0):min(at+len(s)+40, len(stored))])
		}
	}
	if found < 20 {
		t.Errorf("%s: %d of %d secrets are in what was logged, want at least 20: the search finds nothing", name, found, len(secrets))
	}
}
