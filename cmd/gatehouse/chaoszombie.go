package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"gatehouse/deploy/fault"
)

// zombies freezes ingesters with an insert under way, has others take over, and
// lets the insert arrive and the frozen ones go on.
func (c *chaos) zombies(ctx context.Context, run *phaseRun) error {
	again, err := c.newIngester(&c.stage, "one-again", "one") // as an orchestrator starts a pod anew
	if err != nil {
		return err
	}
	other, err := c.newIngester(&c.stage, "two", "two")
	if err != nil {
		return err
	}
	for range c.cmd.Rounds {
		for _, successor := range []*ingester{again, other} {
			if err := c.zombie(ctx, run, successor); err != nil {
				return fmt.Errorf("taken over by %s: %w", successor.name, err)
			}
			c.progress.show(time.Now(), "zombie: %d frozen", run.faults)
		}
	}
	return c.refuseStale(ctx, run)
}

// zombie is one life of a zombie.
func (c *chaos) zombie(ctx context.Context, run *phaseRun, successor *ingester) error {
	if err := c.begun(ctx); err != nil {
		return err
	}
	armed, err := c.one.proxy.Arm(fault.Fault{Kind: fault.HoldRequest, Statement: "INSERT INTO audit.events"})
	if err != nil {
		return err
	}
	defer armed.Release()
	late, err := c.hit(ctx, armed)
	if err != nil {
		return err
	}
	if err := c.one.freeze(); err != nil {
		return err
	}
	run.faults++
	if err := c.takeOver(ctx, successor); err != nil {
		return err
	}
	added, err := c.arriveLate(ctx, successor, armed, late)
	if err != nil {
		return err
	}
	end, err := c.wake(ctx, successor)
	if err != nil {
		return err
	}
	run.tell("taken over by %s: the late insert was answered and added %d rows; the zombie's group said %s", successor.name, added, end)
	if added != 0 {
		return fmt.Errorf("the late insert of the zombie added %d rows", added)
	}
	successor.kill()
	run.kills++
	return nil
}

// staleInsert is a block as a zombie leaves it that was frozen for longer than the
// tables remember tokens: it was made too long ago.
const staleInsert = "INSERT INTO audit.events (kind, ts, kafka_topic, kafka_partition, kafka_offset, request_id, ingested_at)" +
	" SELECT 'access', now64(6), '%s', 0, 0, 'zombie', now64(3) - INTERVAL 11 MINUTE"

// violatedConstraint is ClickHouse's code for a row that a CHECK refuses.
const violatedConstraint = 469

// refuseStale wants ClickHouse itself to refuse what comes too late for its token
// to be remembered. If it did not, the row would be found as foreign.
func (c *chaos) refuseStale(ctx context.Context, run *phaseRun) error {
	err := c.db.rows(ctx, fmt.Sprintf(staleInsert, c.topic), func(string) error { return nil })
	want := fmt.Sprintf("Code: %d", violatedConstraint)
	if err == nil || !strings.Contains(err.Error(), want) {
		return fmt.Errorf("an insert made 11 minutes ago: %w: want %s, the constraint fresh", accepted(err), want)
	}
	run.faults++
	run.note("an insert made 11 minutes ago was refused by ClickHouse, code %d", violatedConstraint)
	return nil
}

var errAccepted = errors.New("it was accepted")

func accepted(err error) error {
	if err == nil {
		return errAccepted
	}
	return err
}

// takeOver starts the successor and waits until it is behind what the frozen one
// had declared, in every partition. Then it is frozen too.
func (c *chaos) takeOver(ctx context.Context, successor *ingester) error {
	before, err := c.lag(ctx)
	if err != nil {
		return err
	}
	if err := successor.start(ctx); err != nil {
		return err
	}
	if err := c.advanceFrom(ctx, before); err != nil {
		return fmt.Errorf("%w: %s", err, successor.process.lastWords())
	}
	return successor.freeze()
}

// arriveLate lets the held insert arrive while nobody else inserts, and counts
// the rows that it adds.
func (c *chaos) arriveLate(ctx context.Context, successor *ingester, armed *fault.Armed, late fault.Hit) (int64, error) {
	before, err := c.steadyCount(ctx, successor)
	if err != nil {
		return 0, err
	}
	armed.Release()
	select {
	case a := <-late.Answer:
		if a.Err != nil || a.Code != 0 {
			return 0, fmt.Errorf("late insert: code %d: %w", a.Code, orClean(a.Err))
		}
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, err := c.steadyCount(ctx, successor)
	return after - before, err
}

// steadyLooks is how many looks at the table in a row must see the same.
const steadyLooks = 10

// steadyCount is the number of stored events once neither the zombie nor the
// successor, which are frozen, has an insert under way any more.
func (c *chaos) steadyCount(ctx context.Context, successor *ingester) (int64, error) {
	last, same := int64(-1), 0
	err := poll(ctx, "the last inserts to end", func() bool {
		n, err := c.db.number(ctx, "SELECT count() FROM audit.events")
		if err != nil || n != last || c.one.proxy.Busy()+successor.proxy.Busy() > 0 {
			last, same = n, 0
			return false
		}
		same++
		return same >= steadyLooks
	})
	return last, err
}

// wake has both go on, and waits until the zombie knows that it is none of the
// group any more. It returns how it knows.
func (c *chaos) wake(ctx context.Context, successor *ingester) (string, error) {
	before := c.one.logSize()
	if err := successor.thaw(); err != nil {
		return "", err
	}
	if err := c.one.thaw(); err != nil {
		return "", err
	}
	if successor.name == "one-again" { // it has the zombie's place, and the zombie must go
		select {
		case <-c.one.process.exited:
			c.one.process = nil
		case <-time.After(chaosPatience):
			return "", fmt.Errorf("the zombie did not end: %s", c.one.process.lastWords())
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	line, err := c.one.logged(ctx, before, "generation ended")
	return groupCode.FindString(line), err
}

// groupCode is what the group said in a line of the log: code and name.
var groupCode = regexp.MustCompile(`\[\d+\] [A-Za-z ]+`)
