package stream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// seen gathers offsets from several members.
type seen struct {
	mu      sync.Mutex
	count   map[string]int           // by member
	offsets map[int32]map[int64]bool // by partition
	changed chan struct{}            // one token when there is news
}

func newSeen() *seen {
	return &seen{count: map[string]int{}, offsets: map[int32]map[int64]bool{}, changed: make(chan struct{}, 1)}
}

func (s *seen) add(member string, partition int32, records []Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[member] += len(records)
	if s.offsets[partition] == nil {
		s.offsets[partition] = map[int64]bool{}
	}
	for _, r := range records {
		s.offsets[partition][r.Offset] = true
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *seen) of(member string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[member]
}

// total counts distinct records.
func (s *seen) total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, offsets := range s.offsets {
		n += len(offsets)
	}
	return n
}

// await waits until done says so after news.
func (s *seen) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for !done() {
		take(t, what, s.changed)
	}
}

// reader is a handler that gathers and commits.
func (s *seen) reader(member string) func(context.Context, *Partition) error {
	return func(ctx context.Context, p *Partition) error {
		for {
			records, next, err := p.Next(ctx)
			if err != nil {
				return err
			}
			s.add(member, p.ID(), records)
			if err := p.Commit(ctx, next, member); err != nil {
				return err
			}
		}
	}
}

// A second member gets half, both progress, nothing is lost; when it leaves the
// first has everything again.
func TestRebalances(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(4)
		s := newSeen()
		written := 0
		more := func() {
			for p := range int32(4) {
				k.write(p, written, 50)
			}
			written += 50
		}
		more()
		a := k.consume(k.cfg, s.reader("a"))
		s.await(t, "the first member", func() bool { return s.total() == 4*written })
		b := k.consume(k.cfg, s.reader("b"))
		// Either member alone could read the next records, so they are written
		// until both have read some.
		for s.of("b") == 0 {
			more()
			s.await(t, "both members", func() bool { return s.total() == 4*written })
		}
		had := s.of("a")
		for s.of("a") == had {
			more()
			s.await(t, "both members", func() bool { return s.total() == 4*written })
		}
		b.stop()
		more()
		s.await(t, "the rest", func() bool { return s.total() == 4*written })
		until(t, "everything to be committed", func() bool {
			d, err := k.admin.Describe(t.Context())
			return err == nil && !slices.ContainsFunc(d.Topics[0].Partitions, func(p PartitionState) bool {
				return p.Lag != 0 || p.Committed != int64(written) || p.Metadata != "a"
			})
		})
		a.stop()
	})
}

// After Commit failed for lost ownership nothing can be committed any more.
func TestRefusesCommitsOfLostPartitions(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		kept := make(chan *Partition, 1)
		k.onPartition(func(_ context.Context, p *Partition) error {
			kept <- p
			return nil
		})
		p := take(t, "the partition", kept)
		if err := p.Commit(t.Context(), 1, ""); !errors.Is(err, ErrNotOwned) {
			t.Errorf("got %v: want ErrNotOwned", err)
		}
	})
}

const childEnv = "GATEHOUSE_STREAM_CHILD" // addr, topic

// child consumes, commits after every record and says so on stdout, until it is
// killed.
func child(spec string) {
	addr, topic, _ := strings.Cut(spec, " ")
	c, err := NewConsumer(Config{Brokers: []string{addr}, Topics: []string{topic}, Group: topic, InstanceID: "worker", SessionTimeout: 6 * time.Second})
	if err == nil {
		err = c.Run(context.Background(), func(ctx context.Context, p *Partition) error {
			for {
				records, _, err := p.Next(ctx)
				if err != nil {
					return err
				}
				for _, r := range records {
					if err := p.Commit(ctx, r.Offset+1, strconv.FormatInt(r.Offset, 10)); err != nil {
						return err
					}
					fmt.Println("committed", r.Offset+1)
				}
			}
		})
	}
	fmt.Println("ended", err)
	os.Exit(1)
}

// A process that is killed at work is replaced by one that goes on where it had
// committed: it may not go back behind an acknowledged commit, nor skip.
func TestSurvivesKill(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.write(0, 0, 2000)
		acked := int64(0)
		for range 3 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childEnv+"="+k.cfg.Brokers[0]+" "+k.topic)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for n := 0; lines.Scan(); n++ {
				text, found := strings.CutPrefix(lines.Text(), "committed ")
				if !found {
					t.Fatalf("child: %s", lines.Text())
				}
				offset, err := strconv.ParseInt(text, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				// The line of the last commit may have died with the child.
				if n == 0 && offset != acked+1 && offset != acked+2 {
					t.Fatalf("restarted child commits %d first: want %d or %d", offset, acked+1, acked+2)
				}
				if acked = max(acked, offset); n == 100 {
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = cmd.Wait() // killed
		}
		k.cfg.InstanceID = "worker"
		k.onPartition(func(_ context.Context, p *Partition) error {
			offset, metadata := p.Position()
			if offset < acked || offset > acked+1 || metadata != strconv.FormatInt(offset-1, 10) {
				return fmt.Errorf("resumes at %d with %q: want %d or one more", offset, metadata, acked)
			}
			return nil
		})
	})
}

// A member that joins again, as after a commit of unknown outcome, opens a new
// generation even when it is a follower and nobody else moved: only that fences a
// commit of the old one that is still on its way.
func TestRejoinOpensGeneration(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(2)
		owned := make(chan *Partition, 100)
		hold := func(ctx context.Context, p *Partition) error {
			owned <- p
			<-ctx.Done()
			return nil
		}
		a, b := k.consume(k.cfg, hold), k.consume(k.cfg, hold)
		// newest is the pair of partitions of one generation with two members.
		newest := func(after int) (follower *Partition) {
			pair := map[int][]*Partition{}
			for {
				p := take(t, "both members", owned)
				g := p.generation.generation
				if pair[g] = append(pair[g], p); g <= after || len(pair[g]) < 2 || pair[g][0].generation == pair[g][1].generation {
					continue
				}
				if p.generation.leader {
					return pair[g][0]
				}
				return p
			}
		}
		p := newest(0)
		old := p.generation.generation
		p.generation.fence(ErrUnknownOutcome)
		if next := newest(old); next.generation.generation <= old {
			t.Errorf("generation %d follows %d", next.generation.generation, old)
		}
		res, err := k.admin.link.client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
			GroupID: k.cfg.Group, GenerationID: old, MemberID: p.generation.memberID,
			Topics: map[string][]kafka.OffsetCommit{k.topic: {{Partition: int(p.partition), Offset: 1}}},
		})
		if err != nil || !errors.Is(res.Topics[k.topic][0].Error, codeIllegalGeneration) {
			t.Errorf("late commit of the old generation: %v %v: want refused", res, err)
		}
		a.stop()
		b.stop()
	})
}

// A member that was thrown out of the group learns it from its heartbeats, whose
// error code kafka-go hides in the throttle time, and joins again.
func TestHeartbeatSeesExpulsion(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		owned := make(chan *Partition, 1)
		r := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
			owned <- p
			<-ctx.Done()
			return nil
		})
		first := take(t, "the partition", owned)
		res, err := k.admin.link.client.LeaveGroup(t.Context(), &kafka.LeaveGroupRequest{
			GroupID: k.cfg.Group, Members: []kafka.LeaveGroupRequestMember{{ID: first.generation.memberID}},
		})
		if err != nil || res.Members[0].Error != nil {
			t.Fatal(err, res)
		}
		second := take(t, "the partition again", owned)
		if err := context.Cause(first.generation.ctx); !errors.Is(err, errFenced) {
			t.Errorf("first generation ended by %v: want errFenced", err)
		}
		if second.generation.memberID == first.generation.memberID {
			t.Error("joined again with the member id that was thrown out")
		}
		r.stop()
	})
}

// A static member that restarts has its partition back in the same generation,
// long before its session would end; the process that it replaces learns that it
// is fenced, and Run says whose fault that is.
func TestStaticMemberReplaces(t *testing.T) {
	k := newCluster(t, requireBroker(t).Addr()).withTopic(1)
	k.cfg.InstanceID = "one"
	owned := make(chan *Partition, 1)
	hold := func(ctx context.Context, p *Partition) error {
		owned <- p
		<-ctx.Done()
		return nil
	}
	old := k.consume(k.cfg, hold)
	first := take(t, "the partition", owned)
	successor := k.consume(k.cfg, hold)
	second := take(t, "the partition in the successor", owned)
	if first.generation.generation != second.generation.generation {
		t.Errorf("generation went from %d to %d: want no rebalance", first.generation.generation, second.generation.generation)
	}
	if err := first.Commit(t.Context(), 1, ""); !errors.Is(err, ErrNotOwned) {
		t.Errorf("commit of the old process: %v: want ErrNotOwned", err)
	}
	if err := take(t, "the old process to end", old.done); !errors.Is(err, codeFencedInstance) || !strings.Contains(err.Error(), "kafka.instance_id") {
		t.Errorf("old process ended with %v: want fenced, and what to change", err)
	}
	successor.stop()
}

// Partitions that are added while the group works are handed out.
func TestSeesNewPartitions(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		owned := make(chan *Partition, 10)
		r := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
			owned <- p
			<-ctx.Done()
			return nil
		})
		first := take(t, "the first partition", owned)
		res, err := k.admin.link.client.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{
			Topics: []kafka.TopicPartitionsConfig{{Name: k.topic, Count: 2}},
		})
		if err != nil || res.Errors[k.topic] != nil {
			t.Fatal(err, res)
		}
		until(t, "the generation to notice", func() bool {
			first.generation.compareTopics(t.Context()) // as the watch does every topicCheck
			return first.generation.ctx.Err() != nil
		})
		for seen := map[int32]bool{}; len(seen) < 2; {
			seen[take(t, "both partitions", owned).ID()] = true
		}
		r.stop()
	})
}

// While a handler drains, longer than the session even, what it has finished can
// still be committed, and the next owner starts there. (kfake takes no session
// short enough for that.)
func TestCommitsWhileDraining(t *testing.T) {
	t.Parallel() // it waits more than it works
	k := newCluster(t, requireBroker(t).Addr()).withTopic(1)
	k.write(0, 0, 10)
	k.cfg.SessionTimeout = time.Second
	owned, drained := make(chan *Partition, 10), make(chan error, 1)
	a := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
		owned <- p
		<-ctx.Done()
		if offset, _ := p.Position(); offset >= 0 {
			return nil // the generation after the one that is tested
		}
		slow := time.NewTimer(3 * k.cfg.SessionTimeout / 2)
		defer slow.Stop()
		<-slow.C
		drained <- p.Commit(context.WithoutCancel(ctx), 7, "finished")
		return nil
	})
	take(t, "the partition", owned)
	b := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
		owned <- p
		<-ctx.Done()
		return nil
	})
	if err := take(t, "the drain", drained); err != nil {
		t.Errorf("commit while draining: %v", err)
	}
	if offset, metadata := take(t, "the next owner", owned).Position(); offset != 7 || metadata != "finished" {
		t.Errorf("next owner starts at %d, %q: want 7", offset, metadata)
	}
	a.stop()
	b.stop()
}
