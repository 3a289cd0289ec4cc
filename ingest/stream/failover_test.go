package stream

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	real "gatehouse/deploy/kafka"
)

// kills is how often TestSurvivesNodeKills kills a node. Three are what fits
// into the time of every run; more are for those who change the group loop.
var kills = flag.Int("kills", 3, "nodes to kill in TestSurvivesNodeKills")

// coordinator is the broker that keeps the test's group.
func (k *cluster) coordinator() (addr string) {
	k.t.Helper()
	m := newMember(k.admin.link)
	until(k.t, "the group's coordinator", func() bool {
		var err error
		addr, err = m.coordinator(k.t.Context())
		return err == nil
	})
	return addr
}

// awaitReplicas waits until all replicas of the topic, and of what the group
// coordinator keeps, are in sync, so that a kill costs nothing that is missing
// already.
func (k *cluster) awaitReplicas() {
	k.t.Helper()
	until(k.t, "all replicas to be in sync", func() bool {
		res, err := k.admin.link.ask(k.t.Context(), metadataRequest([]string{k.topic, "__consumer_offsets"}))
		if err != nil {
			return false
		}
		for _, topic := range res.(*kmsg.MetadataResponse).Topics {
			if topic.ErrorCode != 0 || slices.ContainsFunc(topic.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool {
				return len(p.ISR) < real.DefaultNodes || p.Leader < 0
			}) {
				return false
			}
		}
		return true
	})
}

// Heartbeats reach the coordinator, also where the only broker that the
// configuration names is another one. kafka-go by itself would ask that one, which
// answers that it is not the coordinator, in a place where nobody looks.
func TestHeartbeatGoesToCoordinator(t *testing.T) {
	nodes := requireThreeNodes(t)
	k := newCluster(t, nodes.Addrs()...).withTopic(1)
	coordinator := k.coordinator()
	other := slices.DeleteFunc(nodes.Addrs(), func(addr string) bool { return addr == coordinator })[0]
	k.cfg.Brokers = []string{other}
	k.cfg.SessionTimeout = time.Second
	owned := make(chan *Partition, 1)
	r := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
		owned <- p
		<-ctx.Done()
		return nil
	})
	p := take(t, "the partition", owned)
	g := p.generation
	if g.coordinator != coordinator {
		t.Errorf("heartbeats go to %s: want the coordinator, %s", g.coordinator, coordinator)
	}
	if err := p.consumer.member.heartbeat(t.Context(), g.assignment); err != nil {
		t.Errorf("heartbeat: %v", err)
	}
	res, err := p.consumer.member.beats.Heartbeat(t.Context(), &kafka.HeartbeatRequest{
		Addr: kafka.TCP(other), GroupID: k.cfg.Group, GenerationID: int32(g.generation), MemberID: g.memberID,
	})
	if err != nil || swappedCode(res.Throttle) != codeNotCoordinator {
		t.Errorf("heartbeat to another broker: %v, %v: want code %d, or this test shows nothing", res, err, codeNotCoordinator)
	}
	// Silence would have cost the membership by now.
	silence := time.NewTimer(2 * k.cfg.SessionTimeout)
	defer silence.Stop()
	select {
	case <-g.ctx.Done():
		t.Errorf("generation ended: %v", context.Cause(g.ctx))
	case <-silence.C:
	}
	if err := p.Commit(t.Context(), 0, "still here"); err != nil {
		t.Error(err)
	}
	r.stop()
}

// A topic that was made a moment ago is not missing to whoever asks another broker.
func TestNewTopicIsKnownEverywhere(t *testing.T) {
	nodes := requireThreeNodes(t)
	for range 3 {
		k := newCluster(t, nodes.Addrs()...).withTopic(3)
		for _, addr := range nodes.Addrs() {
			res, err := k.admin.link.askBroker(t.Context(), addr, metadataRequest([]string{k.topic}))
			if err != nil {
				t.Fatal(err)
			}
			if found := readTopology(res.(*kmsg.MetadataResponse)).topics[k.topic]; found.err != nil || len(found.partitions) != 3 {
				t.Errorf("%s knows %d partitions of the topic, %v", addr, len(found.partitions), found.err)
			}
		}
	}
}

// journal is what a consumer may rely on: the offset last acknowledged to it for
// each partition. It is also the judge of what comes after.
type journal struct {
	mu    sync.Mutex
	acked map[int32]int64
	read  map[int32]int64 // one behind the last record read
	wrong []string
	news  chan struct{}
}

func newJournal() *journal {
	return &journal{acked: map[int32]int64{}, read: map[int32]int64{}, news: make(chan struct{}, 1)}
}

func (j *journal) complain(format string, args ...any) {
	j.wrong = append(j.wrong, fmt.Sprintf(format, args...))
}

// begins judges where a handler starts.
func (j *journal) begins(p *Partition) {
	j.mu.Lock()
	defer j.mu.Unlock()
	offset, _ := p.Position()
	if offset = max(offset, 0); offset < j.acked[p.ID()] {
		j.complain("partition %d starts at %d in generation %d, after %d was acknowledged", p.ID(), offset, p.generation.generation, j.acked[p.ID()])
	}
	j.read[p.ID()] = offset
}

// reads judges what a handler was given: each record once, in order, and none
// that was committed before.
func (j *journal) reads(id int32, records []Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range records {
		if want := j.read[id]; r.Offset != want || r.Offset < j.acked[id] {
			j.complain("partition %d reads offset %d: want %d, committed %d", id, r.Offset, want, j.acked[id])
		}
		j.read[id] = r.Offset + 1
	}
}

func (j *journal) commits(id int32, next int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.acked[id] = next
	select {
	case j.news <- struct{}{}:
	default:
	}
}

func (j *journal) committed() map[int32]int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := map[int32]int64{}
	for id, next := range j.acked {
		out[id] = next
	}
	return out
}

// commitsPerFetch are so many that a kill finds one on its way, and so few that
// reading keeps up with writing.
const commitsPerFetch = 10

// handler reads and commits, over and over, several times per fetch.
func (j *journal) handler(ctx context.Context, p *Partition) error {
	j.begins(p)
	for {
		records, _, err := p.Next(ctx)
		if err != nil {
			return err
		}
		j.reads(p.ID(), records)
		for part := range slices.Chunk(records, len(records)/commitsPerFetch+1) {
			upTo := part[len(part)-1].Offset + 1
			if err := p.Commit(ctx, upTo, "journal"); err != nil {
				return err
			}
			j.commits(p.ID(), upTo)
		}
	}
}

// pour writes to every partition until stopped, and returns how many records of
// each were acknowledged. A repeated try may write a record twice.
func (k *cluster) pour(ctx context.Context, partitions int32) func() []int {
	acked := make([]int, partitions)
	var writers sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	for id := range partitions {
		writers.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond) // the nodes share a machine
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				<-tick.C
				err := k.out.AppendTo(ctx, k.topic, id, Message{Value: fmt.Appendf(nil, "%d/%d", id, n)})
				switch {
				case err == nil:
					acked[id]++
				case ctx.Err() == nil:
					k.t.Errorf("write to %d: %v", id, err)
					return
				}
			}
		})
	}
	return func() []int {
		cancel()
		writers.Wait()
		return acked
	}
}

// Killing a node with kill -9, the group's coordinator or the leader of what is
// read, while records are written and offsets committed: the consumer recovers by
// itself; it never starts before the last acknowledged commit nor reads a
// committed record again; and no acknowledged record is lost.
func TestSurvivesNodeKills(t *testing.T) {
	nodes := requireThreeNodes(t)
	const partitions = 3
	k := newCluster(t, nodes.Addrs()...).withTopic(partitions)
	j := newJournal()
	r := k.consume(k.cfg, j.handler)
	stop := k.pour(t.Context(), partitions)
	progress := func(what string) {
		t.Helper()
		was := j.committed()
		for {
			take(t, what, j.news)
			if now := j.committed(); now[0] > was[0] && now[1] > was[1] && now[2] > was[2] {
				return
			}
		}
	}
	stale := 0
	for round := range *kills {
		if err := nodes.Heal(t.Context()); err != nil {
			t.Fatal(err)
		}
		progress("commits before the kill")
		k.awaitReplicas()
		victim := k.coordinator()
		if round%2 == 1 {
			victim = k.leaderOf(0)
		}
		before := j.committed()
		if err := nodes.Node(victim).Kill(); err != nil {
			t.Fatal(err)
		}
		stale += k.staleReads(before)
		progress("commits after the kill")
	}
	acked := stop()
	k.awaitAllRead(j, acked)
	r.stop()
	for _, wrong := range j.wrong {
		t.Error(wrong)
	}
	t.Logf("%d kills, %d acknowledged records, %d reads of offsets were stale, not through the consumer", *kills, acked[0]+acked[1]+acked[2], stale)
}

// leaderOf is the address of a partition's leader.
func (k *cluster) leaderOf(partition int32) string {
	k.t.Helper()
	topology, err := k.admin.link.topology(k.t.Context(), []string{k.topic})
	if err != nil {
		k.t.Fatal(err)
	}
	addr, err := topology.leader(k.topic, partition)
	if err != nil {
		k.t.Fatal(err)
	}
	return addr
}

// staleReads asks for the group's offsets the way one should not, as soon as
// somebody answers, and says whether one is older than what was acknowledged
// before: the trap that the consumer has to pass by.
func (k *cluster) staleReads(before map[int32]int64) (stale int) {
	k.t.Helper()
	until(k.t, "an answer of the next coordinator", func() bool {
		stored, err := k.admin.link.storedOffsets(k.t.Context(), map[string][]int{k.topic: {0, 1, 2}})
		if err != nil {
			return false
		}
		for _, s := range stored {
			if s.offset < before[s.partition] {
				stale = 1
			}
		}
		return true
	})
	return stale
}

// awaitAllRead waits until everything in the log is committed and checks that the
// log holds what was acknowledged.
func (k *cluster) awaitAllRead(j *journal, acked []int) {
	k.t.Helper()
	ends := make([]int64, len(acked))
	for id, n := range acked {
		until(k.t, "the log's end", func() bool {
			var err error
			_, ends[id], err = k.admin.link.bounds(k.t.Context(), k.topic, int32(id))
			return err == nil
		})
		if ends[id] < int64(n) {
			k.t.Errorf("partition %d holds %d records: %d were acknowledged", id, ends[id], n)
		}
	}
	until(k.t, "everything to be committed", func() bool {
		now := j.committed()
		for id, end := range ends {
			if now[int32(id)] < end {
				return false
			}
		}
		return true
	})
}
