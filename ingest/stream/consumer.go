package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// Consumer reads topics as a member of a group and gives every partition it owns
// to a handler.
type Consumer struct {
	link    *link
	member  *member
	metrics *metrics

	mu      sync.Mutex
	history map[partitionKey]commitment // the last commit of this process
}

// commitment is what this process committed for a partition.
type commitment struct {
	topicID  string
	offset   int64
	metadata string
}

type partitionKey struct {
	topic     string
	partition int32
}

// NewConsumer checks the configuration. It connects to nothing.
func NewConsumer(cfg Config) (*Consumer, error) {
	cfg.Topics = slices.Compact(slices.Sorted(slices.Values(cfg.Topics)))
	if err := cfg.withDefaults().validateConsumer(); err != nil {
		return nil, err
	}
	l, err := open(cfg)
	if err != nil {
		return nil, err
	}
	// kafka-go asks for the metadata of these every second, and of a large cluster's
	// thousand topics otherwise.
	l.transport.MetadataTopics = l.cfg.Topics
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register stream metrics: %w", err)
	}
	return &Consumer{link: l, member: newMember(l), metrics: m, history: map[partitionKey]commitment{}}, nil
}

// Run joins the group and calls handler once for every partition that this
// member owns, each in a goroutine of its own, and again after every rebalance.
//
// The handler's context ends when its partition is to be given up: because the
// group rebalances, because ownership is lost, or because ctx was cancelled. Then
// the handler reads nothing more; it may finish and commit what it has, under
// Partition.Owned, and must return within Config.DrainTimeout. Returning nil
// earlier leaves the partition unread until the next rebalance. An error that a
// handler returns while its context lives ends Run.
//
// Run returns nil after ctx was cancelled and every handler has returned; until
// then the membership is kept alive. It returns an error at once when the brokers
// cannot be reached at the start, a topic is missing or compacted, or the brokers
// refuse this user or this group; later losses of the brokers are waited out. A
// Consumer runs once.
func (c *Consumer) Run(ctx context.Context, handler func(ctx context.Context, p *Partition) error) error {
	defer c.close()
	if err := c.check(ctx); err != nil {
		return c.orDone(ctx, err)
	}
	err := c.loop(ctx, handler)
	if c.link.cfg.InstanceID == "" {
		// A static member stays: it is expected back within the session.
		if leaveErr := c.member.leave(context.WithoutCancel(ctx)); leaveErr != nil {
			c.link.cfg.Log.WarnContext(ctx, "group not left", "group", c.link.cfg.Group, "error", leaveErr)
		}
	}
	return c.orDone(ctx, err)
}

// Leave takes the static member Config.InstanceID out of the group for good, when
// it is not to come back: its partitions then go to others without waiting for the
// session to end. Call it after Run, or without Run in another process for a member
// that has stopped. A process that still runs would only join again.
func (c *Consumer) Leave(ctx context.Context) error {
	defer c.close()
	return c.member.leave(ctx)
}

// orDone is nil for errors that only say that ctx ended.
func (c *Consumer) orDone(ctx context.Context, err error) error {
	var fatal fatalError
	if ctx.Err() != nil && !errors.As(err, &fatal) {
		return nil
	}
	return err
}

// check asks once whether the brokers answer, the topics exist and keep their
// records, so that a mistake in the configuration is an error and not a retry.
func (c *Consumer) check(ctx context.Context) error {
	if _, err := c.link.existing(ctx, c.link.cfg.Topics); err != nil {
		return err
	}
	return c.link.refuseCompacted(ctx, c.link.cfg.Topics)
}

// loop runs one generation after the other.
func (c *Consumer) loop(ctx context.Context, handler func(context.Context, *Partition) error) error {
	var retry backoff
	for ctx.Err() == nil {
		start := time.Now()
		err := c.turn(ctx, handler)
		if time.Since(start) > c.link.cfg.SessionTimeout {
			retry = backoff{} // it went well for a while
		}
		var fatal fatalError
		switch {
		case ctx.Err() != nil, errors.As(err, &fatal):
			return err
		case errors.Is(err, errRebalanced), errors.Is(err, errNewShape):
			retry = backoff{} // others wait for us
			continue
		case errors.Is(err, errRejoin):
			c.link.cfg.Log.InfoContext(ctx, "assignment overtaken, joining again", "group", c.link.cfg.Group, "reason", err)
			retry = backoff{}
			if err := retry.pause(ctx); err != nil { // two brokers may disagree for a while
				return err
			}
			continue
		case !passing(err) && !rejoins(err):
			return err
		case broken(err):
			// Each idle connection from before a broker's restart would fail one try.
			c.link.transport.CloseIdleConnections()
		}
		c.metrics.failed(err)
		c.link.cfg.Log.WarnContext(ctx, "group membership interrupted, joining again", "group", c.link.cfg.Group, "error", err)
		if err := retry.pause(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// rejoins says of the end of a generation that the group is joined anew.
func rejoins(err error) bool {
	return errors.Is(err, errFenced) || errors.Is(err, ErrUnknownOutcome) || errors.Is(err, errRecreated)
}

// turn joins the group and runs one generation; it returns why that ended.
func (c *Consumer) turn(ctx context.Context, handler func(context.Context, *Partition) error) error {
	g, err := c.begin(ctx)
	if err != nil {
		return err
	}
	c.metrics.rebalances.Inc()
	g.log().InfoContext(ctx, "partitions assigned", "partitions", g.names())
	err = g.run(ctx, handler)
	g.log().InfoContext(ctx, "generation ended", "reason", err)
	return err
}

// begin joins the group and reads where to go on. The order is what makes it
// right: the coordinator has written the new generation before it answers
// SyncGroup, so that every earlier commit it accepted is behind us; only then
// are offsets read, and they count only if the same broker is coordinator still;
// the topics' ids come last, so that a re-created topic shows.
func (c *Consumer) begin(ctx context.Context) (*generation, error) {
	a, err := c.member.join(ctx)
	if err != nil {
		return nil, err
	}
	c.forgetOthers(a.partitions)
	g := &generation{assignment: a, consumer: c}
	stored, err := c.link.storedOffsets(ctx, a.partitions)
	if err != nil {
		return nil, err
	}
	now, err := c.member.coordinator(ctx)
	switch {
	case err != nil:
		return nil, err
	case now != a.coordinator:
		return nil, fmt.Errorf("%w: its coordinator was %s and is %s", errRejoin, a.coordinator, now)
	}
	if g.shape, err = c.link.topology(ctx, c.link.cfg.Topics); err != nil {
		return nil, err
	}
	g.ctx, g.end = context.WithCancelCause(ctx)
	g.owned, g.disown = context.WithCancelCause(context.WithoutCancel(ctx))
	for _, s := range stored {
		p, err := c.partition(ctx, g, s)
		if err != nil {
			g.fence(err)
			return nil, err
		}
		g.parts = append(g.parts, p)
	}
	return g, nil
}

// storedOffset is what the group keeps for one partition.
type storedOffset struct {
	partitionKey
	offset   int64 // -1 for none
	metadata string
}

// storedOffsets reads the group's offsets of partitions.
func (l *link) storedOffsets(ctx context.Context, partitions map[string][]int) ([]storedOffset, error) {
	if len(partitions) == 0 {
		return nil, nil // no topics would mean all topics to the broker
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := l.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: l.cfg.Group, Topics: partitions})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, fmt.Errorf("fetch offsets of group %s: %w", l.cfg.Group, err)
	}
	var out []storedOffset
	for name, parts := range res.Topics {
		for _, p := range parts {
			if p.Error != nil {
				return nil, fmt.Errorf("fetch offset of %s/%d in group %s: %w", name, p.Partition, l.cfg.Group, p.Error)
			}
			out = append(out, storedOffset{partitionKey{name, int32(p.Partition)}, p.CommittedOffset, p.Metadata})
		}
	}
	slices.SortFunc(out, func(a, b storedOffset) int {
		if d := strings.Compare(a.topic, b.topic); d != 0 {
			return d
		}
		return int(a.partition - b.partition)
	})
	return out, nil
}

func (c *Consumer) remember(key partitionKey, made commitment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history[key] = made
}

// forgetOthers drops the history of partitions that are not assigned: whoever has
// them now goes on, and what is known here grows stale.
func (c *Consumer) forgetOthers(assigned map[string][]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.history {
		if !slices.Contains(assigned[key.topic], int(key.partition)) {
			delete(c.history, key)
		}
	}
}

func (c *Consumer) committedHere(key partitionKey) (made commitment, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	made, ok = c.history[key]
	return made, ok
}

func (c *Consumer) close() {
	c.member.beatTransport.CloseIdleConnections()
	c.link.close()
}

// Bounds of the pause between tries.
const (
	firstPause = 50 * time.Millisecond
	longPause  = time.Second
)

// backoff is a growing pause with jitter, so that members do not retry in step.
type backoff struct{ wait time.Duration }

func (b *backoff) pause(ctx context.Context) error {
	b.wait = min(max(2*b.wait, firstPause), longPause)
	t := time.NewTimer(b.wait/2 + rand.N(b.wait))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
