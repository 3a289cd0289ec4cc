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

// A cluster lives on without one of its nodes, and the one that was killed comes
// back.
func TestClusterLosesNode(t *testing.T) {
	Require(t)
	c, err := StartCluster(t.Context(), ClusterOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	}()
	victim := c.Nodes()[0]
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, b := range c.Nodes()[1:] {
		if err := probe(t.Context(), b.Addr(), b.ports.plain); err != nil {
			t.Errorf("%s without node 1: %v", b.Addr(), err)
		}
	}
	if c.Node(victim.Addr()) != victim || len(c.Addrs()) != DefaultNodes {
		t.Errorf("addresses %v do not name the nodes", c.Addrs())
	}
	if err := c.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := probe(t.Context(), victim.Addr(), victim.ports.plain); err != nil {
		t.Errorf("node 1 after Heal: %v", err)
	}
}
