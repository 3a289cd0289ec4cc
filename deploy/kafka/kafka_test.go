package kafka

import (
	"os"
	"strings"
	"testing"
)

// requireBroker skips a test where no broker can run, but not in CI.
func requireBroker(t *testing.T) {
	t.Helper()
	if err := Available(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// The broker's listeners answer after a start, and again after kill -9 and a
// restart; after Stop nobody answers.
func TestBrokerLives(t *testing.T) {
	requireBroker(t)
	b, err := Start(t.Context(), Options{Dir: t.TempDir(), Secure: &Secure{User: "alice", Password: "correct-horse"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := probe(t.Context(), b.Addr()); err == nil {
		t.Fatal("a killed broker answers")
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := probe(t.Context(), b.Addr()); err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := probe(t.Context(), b.Addr()); err == nil {
		t.Fatal("a stopped broker answers")
	}
}

// A broker that cannot start says why, from its own log.
func TestBrokerThatCannotStart(t *testing.T) {
	requireBroker(t)
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Properties: map[string]string{"num.io.threads": "none"}})
	if err == nil || !strings.Contains(err.Error(), "Invalid value none for configuration num.io.threads") {
		t.Fatalf("got %v: want the broker's own words", err)
	}
}
