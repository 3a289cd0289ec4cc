package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// roll is who owns what: every handler reports here when it starts.
type roll chan *Partition

// hold owns a partition until told to give it up.
func (r roll) hold(ctx context.Context, p *Partition) error {
	r <- p
	<-ctx.Done()
	return nil
}

// await waits for n partitions of one generation after another, and returns them.
func (r roll) await(t testing.TB, after, n int) (generation int, owned []*Partition) {
	t.Helper()
	by := map[int][]*Partition{}
	for {
		p := take(t, fmt.Sprintf("%d partitions", n), r)
		g := p.generation.generation
		if by[g] = append(by[g], p); g > after && len(by[g]) == n {
			return g, by[g]
		}
	}
}

func ids(parts []*Partition) (out []int32) {
	for _, p := range parts {
		out = append(out, p.ID())
	}
	slices.Sort(out)
	return out
}

// While a member of a release that knows only round robin is in the group, that is
// what everybody uses; when it has gone they go over to sticky.
func TestUpgradesAssignor(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(4)
		before, err := NewConsumer(k.cfg)
		if err != nil {
			t.Fatal(err)
		}
		before.member.protocols = []string{protocolRoundRobin}
		all := make(roll, 100)
		old := k.run(before, all.hold)
		now := k.consume(k.cfg, all.hold)
		mixed := func(p *Partition) bool { return p.generation.protocol == protocolRoundRobin }
		generation, owned := 0, []*Partition(nil)
		for owned = nil; len(owned) == 0 || !twoMembers(owned); {
			generation, owned = all.await(t, generation, 4)
		}
		if !mixed(owned[0]) || !mixed(owned[3]) {
			t.Errorf("mixed group speaks %s", owned[0].generation.protocol)
		}
		old.stop()
		_, owned = all.await(t, generation, 4)
		if mixed(owned[0]) {
			t.Errorf("upgraded group still speaks %s", owned[0].generation.protocol)
		}
		now.stop()
	})
}

func twoMembers(owned []*Partition) bool {
	return slices.ContainsFunc(owned, func(p *Partition) bool { return p.generation != owned[0].generation })
}

// A member that comes takes its share and no more: of what the two others keep,
// nothing has moved.
func TestStickyMovesLittle(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(6)
		a, b, c := make(roll, 100), make(roll, 100), make(roll, 100)
		first := k.consume(k.cfg, a.hold)
		a.await(t, 0, 6)
		second := k.consume(k.cfg, b.hold)
		generation, hadA := a.await(t, 0, 3)
		_, hadB := b.await(t, 0, 3)
		third := k.consume(k.cfg, c.hold)
		_, hasA := a.await(t, generation, 2)
		_, hasB := b.await(t, generation, 2)
		_, hasC := c.await(t, generation, 2)
		for _, id := range ids(hasA) {
			if !slices.Contains(ids(hadA), id) {
				t.Errorf("first member had %v and has %v", ids(hadA), ids(hasA))
			}
		}
		for _, id := range ids(hasB) {
			if !slices.Contains(ids(hadB), id) {
				t.Errorf("second member had %v and has %v", ids(hadB), ids(hasB))
			}
		}
		if all := slices.Sorted(slices.Values(slices.Concat(ids(hasA), ids(hasB), ids(hasC)))); !slices.Equal(all, []int32{0, 1, 2, 3, 4, 5}) {
			t.Errorf("owned are %v", all)
		}
		for _, r := range []*running{first, second, third} {
			r.stop()
		}
	})
}

// A static member that stops and starts again has its partitions back at once, and
// the other member never notices: its handlers' context goes on.
func TestStaticMemberReturns(t *testing.T) {
	t.Parallel() // it waits more than it works
	k := newCluster(t, requireBroker(t).Addr()).withTopic(4)
	k.cfg.SessionTimeout = 30 * time.Second // long after this test
	one, two := k.cfg, k.cfg
	one.InstanceID, two.InstanceID = "one", "two"
	a, b := make(roll, 100), make(roll, 100)
	restarting := k.consume(one, a.hold)
	a.await(t, 0, 4)
	steady := k.consume(two, b.hold)
	generation, theirs := b.await(t, 0, 2)
	_, had := a.await(t, generation-1, 2)
	for range 3 {
		restarting.stop()
		start := time.Now()
		restarting = k.consume(one, a.hold)
		again, has := a.await(t, 0, 2)
		t.Logf("back after %v", time.Since(start).Round(time.Millisecond))
		if d := cmp.Diff(ids(had), ids(has)); d != "" || again != generation {
			t.Errorf("came back in generation %d, was in %d, with other partitions (-had +has):\n%s", again, generation, d)
		}
	}
	for _, p := range theirs {
		if err := p.generation.ctx.Err(); err != nil {
			t.Errorf("partition %d of the other member was interrupted: %v", p.ID(), context.Cause(p.generation.ctx))
		}
	}
	if len(b) > 0 {
		t.Error("the other member was given partitions again")
	}
	restarting.stop()
	steady.stop()
}

// An operator who scales down takes a stopped static member out of the group from
// another process: its partitions move at once, long before its session ends.
func TestLeaveMovesPartitions(t *testing.T) {
	t.Parallel() // it waits more than it works
	k := newCluster(t, requireBroker(t).Addr()).withTopic(2)
	k.cfg.SessionTimeout = 5 * time.Minute
	one, two := k.cfg, k.cfg
	one.InstanceID, two.InstanceID = "one", "two"
	a, b := make(roll, 100), make(roll, 100)
	going := k.consume(one, a.hold)
	a.await(t, 0, 2)
	staying := k.consume(two, b.hold)
	generation, _ := b.await(t, 0, 1)
	going.stop()
	operator, err := NewConsumer(one)
	if err != nil {
		t.Fatal(err)
	}
	if err := operator.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.await(t, generation, 2)
	staying.stop()
}

// When Run is told to stop, a handler finishes what it has: its own context has
// ended, Owned has not, the membership is kept alive longer than a session lasts,
// and the commit is stored.
func TestFinishesOnShutdown(t *testing.T) {
	t.Parallel() // it waits more than it works
	k := newCluster(t, requireBroker(t).Addr()).withTopic(2)
	k.cfg.SessionTimeout = time.Second
	ready := make(chan *Partition, 2)
	finished := make(chan error, 2)
	r := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
		ready <- p
		<-ctx.Done()
		if err := p.Commit(ctx, 3, "late"); !errors.Is(err, context.Canceled) {
			finished <- fmt.Errorf("commit under the ended context: %w", err)
			return nil
		}
		slow := time.NewTimer(3 * k.cfg.SessionTimeout / 2)
		defer slow.Stop()
		select {
		case <-slow.C:
		case <-p.Owned().Done():
			finished <- fmt.Errorf("ownership ended: %w", context.Cause(p.Owned()))
			return nil
		}
		finished <- p.Commit(p.Owned(), 7, "finished")
		return nil
	})
	p := take(t, "a partition", ready)
	take(t, "the other partition", ready)
	r.stop()
	for range 2 {
		if err := take(t, "the handler", finished); err != nil {
			t.Error(err)
		}
	}
	if p.Owned().Err() == nil {
		t.Error("Owned lives on after Run")
	}
	d, err := k.admin.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Topics[0].Partitions {
		if p.Committed != 7 || p.Metadata != "finished" {
			t.Errorf("partition %d is committed up to %d, %q: want 7", p.ID, p.Committed, p.Metadata)
		}
	}
}

// Owned ends DrainTimeout after the handler's context, so that a handler that is
// bound by it returns in time and Run ends well.
func TestOwnedEndsWithDrain(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.cfg.DrainTimeout = 3 * time.Second
		ready := make(chan bool, 1)
		r := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
			ready <- true
			<-ctx.Done()
			<-p.Owned().Done()
			return nil
		})
		take(t, "the partition", ready)
		r.stop()
	})
}
