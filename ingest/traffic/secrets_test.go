package traffic

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/ingest/event"
)

// Every kind of secret is planted, and Secrets finds it where it is.
func TestSecretsOfEveryKindAreListed(t *testing.T) {
	kinds := map[string]func(r *event.Raw) (string, bool){
		"bearer token": func(r *event.Raw) (string, bool) { return strings.CutPrefix(r.Authorization, "Bearer ") },
		"API key":      func(r *event.Raw) (string, bool) { return r.APIKey, r.APIKey != "" },
		"session":      func(r *event.Raw) (string, bool) { return strings.CutPrefix(r.Cookie, "theme=dark; sid=") },
		"e-mail name":  func(r *event.Raw) (string, bool) { return r.Principal, strings.Contains(r.Principal, "@") },
		"e-mail path":  func(r *event.Raw) (string, bool) { return strings.CutPrefix(r.Path, "/v1/customers/") },
		"card":         func(r *event.Raw) (string, bool) { return strings.CutPrefix(r.Path, "/v1/cards/") },
		"query e-mail": func(r *event.Raw) (string, bool) {
			v := strings.TrimPrefix(r.Query, "q=")
			return v, r.Path == "/v1/search" && strings.Contains(v, "%40")
		},
		"query token": func(r *event.Raw) (string, bool) { return strings.CutPrefix(r.Query, "format=csv&access_token=") },
		"password": func(r *event.Raw) (string, bool) {
			_, v, ok := strings.Cut(r.Query, "&password=")
			return v, ok
		},
		"query key": func(r *event.Raw) (string, bool) {
			_, v, ok := strings.Cut(r.Query, "&api_key=")
			return v, ok
		},
	}
	seen := map[string]int{}
	for c := range Scenario(Config{Seed: 7, Start: start, Duration: 2 * time.Hour}) {
		found := Secrets(&c.Raw)
		for kind, secret := range kinds {
			value, ok := secret(&c.Raw)
			if !ok {
				continue
			}
			seen[kind]++
			if len(value) < 12 || !slices.Contains(found, value) {
				t.Fatalf("%s is not among the secrets of its call, or too short to search for", kind)
			}
		}
	}
	for kind := range kinds {
		if seen[kind] < 5 {
			t.Errorf("%s planted %d times, want at least 5", kind, seen[kind])
		}
	}
}

// With the recipe in place, a secret of the call is in what is logged: the
// positive control of every search for secrets further on.
func TestRecipesLogTheCredential(t *testing.T) {
	for _, gateway := range []string{"canonical", "envoy", "kong", "nginx", "traefik"} {
		n := 0
		for c := range Scenario(Config{Seed: 7, Start: start, Duration: time.Minute}) {
			if c.Raw.Authorization == "" {
				continue
			}
			line, err := Encode(gateway, &c.Raw, WithCredential)
			if err != nil {
				t.Fatal(err)
			}
			n++
			if !bytes.Contains(line, []byte(c.Raw.Authorization)) {
				t.Fatalf("%s with its recipe does not log the credential", gateway)
			}
		}
		if n == 0 {
			t.Error("no calls with a token")
		}
	}
}

// Without it, gateways that mask or leave out the Authorization header do so.
func TestDefaultsKeepTheHeaderOut(t *testing.T) {
	for _, gateway := range []string{"clf", "envoy", "kong", "nginx", "traefik"} {
		for c := range Scenario(Config{Seed: 7, Start: start, Duration: time.Minute}) {
			line, err := Encode(gateway, &c.Raw)
			if err != nil {
				t.Fatal(err)
			}
			if c.Raw.Authorization != "" && bytes.Contains(line, []byte(c.Raw.Authorization)) {
				t.Fatalf("%s logs the Authorization header by default", gateway)
			}
		}
	}
}
