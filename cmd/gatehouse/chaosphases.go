package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"gatehouse/deploy/fault"
	"gatehouse/ingest"
)

// phase is one kind of trouble.
type phase struct {
	name string
	run  func(*chaos, context.Context, *phaseRun) error
}

// chaosPhases are the phases in the order in which they run.
func chaosPhases() []phase {
	return []phase{
		{"kills", (*chaos).kills},
		{"failpoints", (*chaos).failpoints},
		{"zombie", (*chaos).zombies},
		{"storm", (*chaos).storm},
		{"broker", (*chaos).brokerLost},
		{"database", (*chaos).databaseBroken},
		{"duplicates", (*chaos).duplicates},
		{"poison", (*chaos).poison},
		{"disk", (*chaos).diskFull},
	}
}

func phaseNames() []string {
	var names []string
	for _, p := range chaosPhases() {
		names = append(names, p.name)
	}
	return names
}

// phaseRun is what a phase did.
type phaseRun struct {
	name   string
	first  int // number of the first call that was sent during it
	kills  int // of ingesters, with SIGKILL
	atWork int // of them: at random, of an ingester that had stored something in its life
	faults int // of anything else
	took   time.Duration
	notes  []string
	told   map[string]int
	// leftOut is why this machine cannot have the phase; "" when it was run.
	leftOut string
}

func (r *phaseRun) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// tell is a note of something that happens again and again.
func (r *phaseRun) tell(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if r.told == nil {
		r.told = map[string]int{}
	}
	r.told[text]++
}

// allNotes are the notes, and what was told with how often.
func (r *phaseRun) allNotes() []string {
	notes := slices.Clone(r.notes)
	for _, text := range slices.Sorted(maps.Keys(r.told)) {
		notes = append(notes, fmt.Sprintf("%d times %s", r.told[text], text))
	}
	return notes
}

// Lives of an ingester between two kills, from when it is up.
const (
	shortestLife = 50 * time.Millisecond
	longestLife  = 1500 * time.Millisecond
)

// between is a random duration.
func (c *chaos) between(from, to time.Duration) time.Duration {
	return from + time.Duration(c.rng.Int64N(int64(to-from)))
}

// kills kills the ingester at random moments, and starts it again at once.
func (c *chaos) kills(ctx context.Context, run *phaseRun) error {
	if err := c.begun(ctx); err != nil { // so that there is a group with offsets
		return err
	}
	if err := c.advance(ctx); err != nil {
		return err
	}
	c.one.kill() // at no random time, and not counted
	before, err := c.look(ctx)
	if err != nil {
		return err
	}
	var starting time.Duration
	declared := 0
	for range c.cmd.Kills {
		started := time.Now()
		if err := c.one.start(ctx); err != nil {
			return err
		}
		starting += time.Since(started)
		if err := sleep(ctx, c.between(shortestLife, longestLife)); err != nil {
			return err
		}
		if !c.one.running() {
			return c.one.process.ended()
		}
		c.one.kill()
		run.kills++
		after, err := c.look(ctx)
		if err != nil {
			return err
		}
		if after.sum() > before.sum() {
			run.atWork++
		}
		if after.pending {
			declared++
		}
		before = after
		c.progress.show(time.Now(), "kills: %d of %d, %d events acknowledged", run.kills, c.cmd.Kills, c.load.journal.count())
	}
	run.note("up again after %.2f s on average; %d came after something had been stored in that life, %d left a batch declared and not acknowledged",
		starting.Seconds()/float64(run.kills), run.atWork, declared)
	return nil
}

// stepSent is the step between declared and acked that only the proxy sees: the
// insert is sent whole, and its answer has not come.
const stepSent ingest.Step = "sent"

// failpointSteps are all steps at which the ingester is killed.
func failpointSteps() []ingest.Step {
	var steps []ingest.Step
	for _, s := range ingest.Steps() {
		if s == ingest.StepAcked {
			steps = append(steps, stepSent)
		}
		steps = append(steps, s)
	}
	return steps
}

// latestTime is how often a step may pass, at most, before the process dies at it.
const latestTime = 6

// failpoints kills the ingester at each step that a batch goes through. Since the
// one before was killed as well, the first batch is often a replay.
func (c *chaos) failpoints(ctx context.Context, run *phaseRun) error {
	for range c.cmd.Failpoints {
		for _, step := range failpointSteps() {
			c.one.kill()
			kill := c.killAt
			if step == stepSent {
				kill = c.killSent
			}
			if err := kill(ctx, step, 1+c.rng.IntN(latestTime)); err != nil {
				return fmt.Errorf("step %s: %w", step, err)
			}
			run.kills++
			c.progress.show(time.Now(), "failpoints: %d of %d", run.kills, c.cmd.Failpoints*len(failpointSteps()))
		}
	}
	run.note("%d at each of %v", c.cmd.Failpoints, failpointSteps())
	return nil
}

// killAt has an ingester kill itself when it is at a step for the given time.
func (c *chaos) killAt(ctx context.Context, step ingest.Step, times int) error {
	if err := c.one.launch(failpointEnv + "=" + failpointText(step, times)); err != nil {
		return err
	}
	select {
	case <-c.one.process.exited:
	case <-time.After(chaosPatience):
		return fmt.Errorf("not reached %d times in %s: %s", times, chaosPatience, c.one.process.lastWords())
	case <-ctx.Done():
		return ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(c.one.process.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	return c.one.process.ended()
}

// killSent kills an ingester whose insert the server has, whole, and has not
// answered as far as the ingester knows.
func (c *chaos) killSent(ctx context.Context, _ ingest.Step, times int) error {
	if err := c.one.start(ctx); err != nil {
		return err
	}
	armed, err := c.one.proxy.Arm(fault.Fault{Kind: fault.HoldAnswer})
	if err != nil {
		return err
	}
	defer armed.Release()
	// With its answer held, a partition sends nothing more: each hit is another one.
	for range 1 + times%chaosPartitions {
		if _, err := c.hit(ctx, armed); err != nil {
			return err
		}
	}
	c.one.kill()
	return nil
}

// hit waits for the next request that a fault hits.
func (s *stage) hit(ctx context.Context, armed *fault.Armed) (fault.Hit, error) {
	select {
	case h := <-armed.Hits():
		return h, nil
	case <-s.one.process.exited:
		return fault.Hit{}, s.one.process.ended()
	case <-time.After(chaosPatience):
		return fault.Hit{}, fmt.Errorf("no insert in %s: %s", chaosPatience, s.one.process.lastWords())
	case <-ctx.Done():
		return fault.Hit{}, ctx.Err()
	}
}

// begun has the ingester run.
func (s *stage) begun(ctx context.Context) error {
	if s.one.running() {
		return nil
	}
	return s.one.start(ctx)
}

// stormMembers is how many ingesters come and go in a storm, and stormRound how
// long one round of it is.
const (
	stormMembers = 4
	stormRound   = 8 * time.Second
)

// storm has ingesters without a name of their own join and leave the group all
// the time, in good order or killed. On the embedded broker they all leave in good
// order: when a member is killed between joining and its assignment, that broker
// waits the whole rebalance timeout for it, and is no evidence for groups anyway.
func (c *chaos) storm(ctx context.Context, run *phaseRun) error {
	if err := c.begun(ctx); err != nil { // so that there is a group with offsets
		return err
	}
	if err := c.advance(ctx); err != nil {
		return err
	}
	c.one.kill()
	run.kills++
	members := make([]*ingester, stormMembers)
	for i := range members {
		var err error
		if members[i], err = c.newIngester(&c.stage, fmt.Sprintf("storm-%d", i+1), ""); err != nil {
			return err
		}
	}
	before, err := c.lag(ctx)
	if err != nil {
		return err
	}
	until := time.Now().Add(time.Duration(c.cmd.Rounds) * stormRound)
	for time.Now().Before(until) {
		if err := c.stormy(ctx, members[c.rng.IntN(stormMembers)], run); err != nil {
			return err
		}
		if err := sleep(ctx, c.between(100*time.Millisecond, time.Second)); err != nil {
			return err
		}
		c.progress.show(time.Now(), "storm: %d joined and left", run.kills+run.faults)
	}
	for _, m := range members {
		if err := m.stop(); err != nil {
			return err
		}
	}
	after, err := c.lag(ctx)
	if err != nil {
		return err
	}
	run.note("%d offsets committed in it", after.sum()-before.sum())
	if after.sum() == before.sum() {
		return errors.New("nothing was committed during the storm")
	}
	return nil
}

// stormy starts a member that is not there, and ends one that is.
func (c *chaos) stormy(ctx context.Context, m *ingester, run *phaseRun) error {
	switch {
	case m.process == nil:
		run.faults++
		return m.start(ctx)
	case !m.running():
		return m.process.ended()
	case c.cmd.Broker == "apache" && c.rng.IntN(2) == 0:
		run.kills++
		m.kill()
		return nil
	}
	run.faults++
	return m.stop()
}

// brokerLost kills the broker and starts it again.
func (c *chaos) brokerLost(ctx context.Context, run *phaseRun) error {
	for range c.cmd.Rounds {
		if err := c.begun(ctx); err != nil {
			return err
		}
		if err := c.advance(ctx); err != nil {
			return err
		}
		if err := sleep(ctx, c.between(shortestLife, longestLife)); err != nil {
			return err
		}
		if err := c.broker.Kill(); err != nil {
			return err
		}
		run.faults++
		if err := sleep(ctx, c.between(shortestLife, longestLife)); err != nil {
			return err
		}
		if err := c.broker.Restart(ctx); err != nil {
			return err
		}
		if err := c.advance(ctx); err != nil {
			return err
		}
		c.progress.show(time.Now(), "broker: killed %d times", run.faults)
	}
	run.note("%s broker killed with -9", c.cmd.Broker)
	return nil
}
