package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// heartbeatsPerSession is how many heartbeats fit into a session: enough that a
// lost one costs nothing. There are more in a long session, because a member
// learns from them that the group waits for it.
const (
	heartbeatsPerSession = 6
	longestHeartbeat     = 2 * time.Second
)

// topicCheck is how often topic ids and partition counts are compared with what
// the generation started with.
const topicCheck = 10 * time.Second

// drainNotice is the part of the drain time that handlers have, behind it, to
// return.
const drainNotice = 10

// Reasons for which a generation ends and the group is joined anew.
var (
	errRebalanced  = errors.New("the group rebalances")
	errFenced      = errors.New("the group gave this member's partitions away")
	errNewShape    = errors.New("a topic has another number of partitions")
	errRecreated   = errors.New("a topic was deleted and created again")
	errDrainFailed = errors.New("handlers did not return")
)

// fatalError ends Run.
type fatalError struct{ err error }

func (e fatalError) Error() string { return e.err.Error() }
func (e fatalError) Unwrap() error { return e.err }

// generation is the time between two rebalances: a set of owned partitions.
type generation struct {
	assignment
	consumer *Consumer
	ctx      context.Context // the handlers': when it ends they take nothing more in
	end      context.CancelCauseFunc
	owned    context.Context // ends with ownership: after the drain, or at once when fenced
	disown   context.CancelCauseFunc
	parts    []*Partition
	shape    topology // of the topics when the generation started

	mu     sync.Mutex
	fenced bool // commits are refused from now on
}

// fence refuses further commits and ends the handlers.
func (g *generation) fence(cause error) {
	g.mu.Lock()
	g.fenced = true
	g.mu.Unlock()
	g.end(cause)
	g.disown(cause)
}

// owns says whether a commit may still be sent. During a drain it may: the
// broker takes commits of the old generation until the new one starts.
func (g *generation) owns() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.fenced
}

// run calls the handlers, keeps the membership alive and returns why the
// generation ended, once every handler has returned.
func (g *generation) run(ctx context.Context, handler func(context.Context, *Partition) error) error {
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	var loops sync.WaitGroup
	loops.Go(func() { g.beat(alive) })
	loops.Go(g.watch)
	results := make(chan error, len(g.parts))
	for _, p := range g.parts {
		go func() { results <- g.handle(p, handler) }()
	}
	err := g.await(results)
	g.fence(errRebalanced) // a handler that kept a Partition gets ErrNotOwned
	stop()
	loops.Wait()
	for _, p := range g.parts {
		g.consumer.metrics.dropLag(p.topic, p.partition)
	}
	if err != nil {
		return err
	}
	return context.Cause(g.ctx)
}

// handle runs the handler of one partition. Its error ends everything, unless it
// only says that its context ended.
func (g *generation) handle(p *Partition, handler func(context.Context, *Partition) error) error {
	err := handler(g.ctx, p)
	if err != nil && g.ctx.Err() == nil {
		err = fatalError{fmt.Errorf("consume %s/%d: %w", p.topic, p.partition, err)}
		g.end(err)
		return err
	}
	return nil
}

// await waits for the end of the generation, then for its handlers: the drain time,
// in which they may finish what they have, and a little longer, in which they
// notice that it is over.
func (g *generation) await(results <-chan error) error {
	<-g.ctx.Done()
	timeout := g.consumer.link.cfg.DrainTimeout
	over := time.AfterFunc(timeout, func() { g.disown(errDrainFailed) })
	defer over.Stop()
	drain := time.NewTimer(timeout + timeout/drainNotice)
	defer drain.Stop()
	for range g.parts {
		select {
		case <-results:
		case <-drain.C:
			return fatalError{fmt.Errorf("leave generation %d: %w within %v of the end of their context; "+
				"end this process, so that two handlers never work on one partition",
				g.generation, errDrainFailed, timeout)}
		}
	}
	return nil
}

// beat sends heartbeats until ctx ends or the membership does.
func (g *generation) beat(ctx context.Context) {
	session := g.consumer.link.cfg.SessionTimeout
	tick := time.NewTicker(min(session/heartbeatsPerSession, longestHeartbeat))
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := g.consumer.member.heartbeat(ctx, g.assignment)
		switch {
		case err == nil:
			last = time.Now()
		case errors.Is(err, codeRebalance):
			// An answer too. Handlers drain now and the heartbeats go on, or a long drain
			// would cost the membership.
			last = time.Now()
			g.end(errRebalanced)
		case ctx.Err() != nil:
			return
		case g.judge(err):
			return
		case time.Since(last) >= session:
			g.fence(fmt.Errorf("%w: no heartbeat was answered for %v: %w", errFenced, session, err))
			return
		default:
			g.recover(ctx, err)
		}
	}
}

// judge acts on the coordinator's verdict and says whether it ends the beating.
func (g *generation) judge(err error) bool {
	switch {
	case errors.Is(err, codeFencedInstance):
		g.fence(fatalError{groupAdvice(err)})
		return true
	case errors.Is(err, codeIllegalGeneration), errors.Is(err, codeUnknownMember):
		g.fence(fmt.Errorf("%w: %w", errFenced, err))
		return true
	}
	return false
}

// recover looks for the coordinator again after a heartbeat that nobody judged.
func (g *generation) recover(ctx context.Context, err error) {
	g.consumer.metrics.failed(err)
	g.log().WarnContext(ctx, "heartbeat failed", "coordinator", g.coordinator, "error", err)
	if addr, err := g.consumer.member.coordinator(ctx); err == nil && addr != g.coordinator {
		g.coordinator = addr
		g.consumer.member.beatTransport.CloseIdleConnections()
	}
}

// watch ends the generation when a topic is no longer the one it started with,
// or has partitions that nobody has been given. kafka-go cannot see either.
func (g *generation) watch() {
	tick := time.NewTicker(topicCheck)
	defer tick.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-tick.C:
			g.compareTopics(g.ctx)
		}
	}
}

// compareTopics asks for the topics' ids and partition counts.
func (g *generation) compareTopics(ctx context.Context) {
	now, err := g.consumer.link.topology(ctx, g.consumer.link.cfg.Topics)
	if err != nil {
		if ctx.Err() == nil {
			g.consumer.metrics.failed(err)
			g.log().WarnContext(ctx, "topics not checked", "error", err)
		}
		return
	}
	for name, was := range g.shape.topics {
		is := now.topics[name]
		switch {
		case is.err != nil || len(is.partitions) == 0:
			// Deleted, or between two leaders; fetching reports it.
		case is.id != was.id && len(was.partitions) > 0:
			g.fence(fmt.Errorf("%w: %s (id %s, now %s)", errRecreated, name, was.id, is.id))
		case len(is.partitions) != len(was.partitions):
			// Every member looks: a static leader that restarted is leader in nobody's
			// eyes until the next rebalance.
			g.end(fmt.Errorf("%w: %s has %d, had %d", errNewShape, name, len(is.partitions), len(was.partitions)))
		}
	}
}

func (g *generation) names() []string {
	out := make([]string, len(g.parts))
	for i, p := range g.parts {
		out[i] = fmt.Sprintf("%s/%d", p.topic, p.partition)
	}
	return out
}

func (g *generation) log() *slog.Logger {
	return g.consumer.link.cfg.Log.With("group", g.consumer.link.cfg.Group, "generation", g.generation)
}
