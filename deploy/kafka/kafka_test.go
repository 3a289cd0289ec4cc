package kafka

import (
	"strings"
	"testing"
)

// The broker's listeners answer after a start, and again after kill -9 and a
// restart; after Stop nobody answers.
func TestBrokerLives(t *testing.T) {
	Require(t)
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
	Require(t)
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Properties: map[string]string{"num.io.threads": "none"}})
	if err == nil || !strings.Contains(err.Error(), "Invalid value none for configuration num.io.threads") {
		t.Fatalf("got %v: want the broker's own words", err)
	}
}
