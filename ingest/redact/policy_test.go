package redact

import (
	"strings"
	"testing"

	"gatehouse/ingest/event"
)

// What a policy does not name is not kept.
func TestPolicyIsAllThatIsKept(t *testing.T) {
	r, err := New(Config{Keys: testKey(), Policy: Policy{
		Name:    "mine",
		Headers: map[string]Check{"x-zone": CheckWord},
		Params:  map[string]Check{"zone": CheckWord},
	}})
	if err != nil {
		t.Fatal(err)
	}
	raw := event.NewRaw("kong")
	raw.Query, raw.Cookie = "zone=eu&page=2", "sid=abc"
	raw.Headers = []event.Label{{Name: "x-zone", Value: "eu"}, {Name: "accept", Value: "*/*"}}
	e := redactOne(t, r, raw)
	if e.Query != "zone=eu&page={int}" || len(e.Headers) != 1 || e.SessionFP != "" {
		t.Errorf("query %q, headers %v, session %q", e.Query, e.Headers, e.SessionFP)
	}
}

func TestPolicyIsValidated(t *testing.T) {
	for want, p := range map[string]Policy{
		`headers "x-zone": unknown check "any": want one of`: {Headers: map[string]Check{"x-zone": "any"}},
		`params "Zone": want a name in lower case`:           {Params: map[string]Check{"Zone": CheckWord}},
		`session_cookies "SID": want a name in lower case`:   {SessionCookies: []string{"SID"}},
	} {
		p.Name = "mine"
		if _, err := New(Config{Keys: testKey(), Policy: p}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q", err, want)
		}
	}
	if err := new(DefaultPolicy()).validate(); err != nil {
		t.Error(err)
	}
}
