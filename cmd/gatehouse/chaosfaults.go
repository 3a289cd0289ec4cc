package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gatehouse/deploy/fault"
)

// databaseFaults are the ways in which ClickHouse fails an insert. Where it has
// done its work all the same, the retry must add nothing.
func databaseFaults() []fault.Fault {
	return []fault.Fault{
		{Kind: fault.Delay, Delay: 2 * time.Second},
		{Kind: fault.Refuse},
		{Kind: fault.Fail, Code: 252}, // too many parts
		{Kind: fault.Fail, Code: 243}, // no space on the disk
		{Kind: fault.Fail, Code: 241}, // out of memory
		{Kind: fault.CutRequest},
		{Kind: fault.CutAnswer},
		{Kind: fault.LoseAnswer},
	}
}

// databaseBroken has ClickHouse fail in every way, one after the other, and kills
// it in the end.
func (c *chaos) databaseBroken(ctx context.Context, run *phaseRun) error {
	if err := c.begun(ctx); err != nil {
		return err
	}
	for range c.cmd.Rounds {
		for _, f := range databaseFaults() {
			if err := c.breakInserts(ctx, run, f); err != nil {
				return fmt.Errorf("fault %s: %w", f.Kind, err)
			}
			c.progress.show(time.Now(), "database: %d faults", run.faults)
		}
		if err := c.killDatabase(ctx, run); err != nil {
			return err
		}
	}
	run.note("slow, refused, codes 252, 243 and 241, cut off in the request and in the answer, answer lost after the insert; killed with -9")
	return nil
}

// enoughHits is how many inserts meet a fault: the retries of a batch are among
// them.
const enoughHits = 3

// breakInserts puts one fault in place until it has hit, and waits until the ingester
// has overcome it.
func (c *chaos) breakInserts(ctx context.Context, run *phaseRun, f fault.Fault) error {
	armed, err := c.one.proxy.Arm(f)
	if err != nil {
		return err
	}
	defer armed.Release()
	answered := f.Kind == fault.CutAnswer || f.Kind == fault.LoseAnswer // before it is a hit
	stored := 0
	for range enoughHits {
		h, err := c.hit(ctx, armed)
		if err != nil {
			return err
		}
		if answered && (<-h.Answer == fault.Answer{Status: http.StatusOK}) {
			stored++
		}
	}
	armed.Release()
	run.faults += armed.Count()
	if answered && stored == 0 {
		return errors.New("ClickHouse itself refused each of the inserts, so no answer of a stored one was lost")
	}
	return c.advance(ctx)
}

func (c *chaos) killDatabase(ctx context.Context, run *phaseRun) error {
	if err := c.db.Kill(); err != nil {
		return err
	}
	run.faults++
	if err := sleep(ctx, c.between(shortestLife, longestLife)); err != nil {
		return err
	}
	if err := c.db.Restart(ctx); err != nil {
		return err
	}
	return c.advance(ctx)
}

// copies is how often each insert of the phase duplicates arrives.
const copies = 100

// duplicates has ClickHouse get each insert a hundred times.
func (c *chaos) duplicates(ctx context.Context, run *phaseRun) error {
	if err := c.begun(ctx); err != nil {
		return err
	}
	armed, err := c.one.proxy.Arm(fault.Fault{Kind: fault.Repeat, Copies: copies, Times: c.cmd.Rounds})
	if err != nil {
		return err
	}
	defer armed.Release()
	for range c.cmd.Rounds {
		h, err := c.hit(ctx, armed)
		if err != nil {
			return err
		}
		select {
		case a := <-h.Answer:
			if a.Err != nil || a.Code != 0 {
				return fmt.Errorf("insert sent %d times: code %d: %w", copies, a.Code, orClean(a.Err))
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		run.faults += copies - 1
		c.progress.show(time.Now(), "duplicates: %d inserts too many", run.faults)
	}
	run.note("%d inserts, each sent %d times", c.cmd.Rounds, copies)
	return c.advance(ctx)
}

// Sizes of what is too large: a record over the limit of one, and a batch that
// unpacks to more than an ingester takes.
const (
	giantBytes = 4 << 20
	bombBytes  = 64 << 20
)

// poisons are records that cannot be events.
func poisons() []poison {
	return []poison{
		{"not-json", "canonical", []byte(`{"ts": `)},
		{"empty", "canonical", []byte{}},
		{"null", "canonical", nil},
		{"other-json", "canonical", []byte(`17`)},
		{"nan", "canonical", []byte(`{"ts": NaN}`)},
		{"deep", "canonical", []byte(strings.Repeat(`[`, 10_000))},
		{"binary", "kong", []byte{0, 1, 2, 0xff, 0xfe, '\n', 0}},
		{"not-utf8", "clf", []byte("\xff\xfe - - [")},
		{"unknown", "", []byte("hello, is this thing on?")},
		{"giant", "canonical", make([]byte, giantBytes)},
		{"bomb", "canonical", make([]byte, bombBytes)},
	}
}

// poison sends what cannot be stored between the calls, with a kill in the
// middle of it.
func (c *chaos) poison(ctx context.Context, run *phaseRun) error {
	if err := c.begun(ctx); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.broker.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(bombBytes+1<<20))
	if err != nil {
		return fmt.Errorf("start producer: %w", err)
	}
	defer client.Close()
	for range c.cmd.Rounds {
		all := poisons()
		for i, p := range all {
			if err := c.load.sendPoison(ctx, client, p, int32(c.rng.IntN(chaosPartitions))); err != nil {
				return err
			}
			run.faults++
			if i == len(all)/2 {
				c.one.kill()
				run.kills++
				if err := c.one.start(ctx); err != nil {
					return err
				}
			}
			if !c.one.running() {
				return c.one.process.ended()
			}
		}
		if err := c.advance(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Disk of the phase disk: ClickHouse fits, and the balloon does the rest.
const (
	smallDisk = 256 << 20
	fullFor   = 2 * time.Second
)

// diskFull fills the disk of a ClickHouse and clears it again. It is another one,
// with a topic of its own, because its disk lives in memory and ends with it.
func (c *chaos) diskFull(ctx context.Context, run *phaseRun) error {
	if err := c.trySmallDisk(ctx); err != nil {
		if slices.Contains(c.cmd.Only, run.name) || ctx.Err() != nil {
			return fmt.Errorf("have a disk of %d MiB: %w", smallDisk>>20, err)
		}
		run.leftOut = firstLine(err)
		return nil
	}
	db, err := c.startDatabase(ctx, "small", smallDisk)
	if err != nil {
		return err
	}
	// What is sent meanwhile to the main database belongs to this phase too.
	s := &stage{name: "small-", topic: "small-" + c.topic, group: "small-" + c.group, db: db}
	c.beside = append(c.beside, s)
	if err := c.open(ctx, s); err != nil {
		return err
	}
	beside := &phaseRun{name: "disk, small"}
	s.phases = append(s.phases, beside)
	if err := s.begun(ctx); err != nil {
		return err
	}
	for range c.cmd.Rounds {
		failed, err := s.fillDisk(ctx)
		if err != nil {
			return err
		}
		run.faults += failed
		c.progress.show(time.Now(), "disk: %d inserts found it full", run.faults)
	}
	run.note("%d MiB filled up %d times; ClickHouse's exceptions by code: %v", smallDisk>>20, c.cmd.Rounds, s.one.proxy.Exceptions())
	return c.finish(ctx, s)
}

// trySmallDisk says why this machine does not let a process have a disk of its own.
func (c *chaos) trySmallDisk(ctx context.Context) error {
	attr, err := smallDiskAttributes()
	if err != nil {
		return err
	}
	probe := &engine{
		args: []string{"--dir=" + filepath.Join(c.dir, "no-disk"), fmt.Sprintf("--disk=%d", smallDisk)}, attr: attr,
		logs: filepath.Join(c.dir, "no-disk.log"),
	}
	if err := probe.start(ctx); err != nil {
		return err
	}
	return probe.Stop()
}

// fillDisk has the disk full for a while, and counts the inserts that failed.
func (s *stage) fillDisk(ctx context.Context) (int, error) {
	if err := s.advance(ctx); err != nil {
		return 0, err
	}
	before := s.one.exceptions()
	if err := s.db.say("full"); err != nil {
		return 0, err
	}
	err := poll(ctx, "ClickHouse to run out of space", func() bool { return s.one.exceptions() > before })
	if err == nil {
		err = sleep(ctx, fullFor)
	}
	failed := s.one.exceptions() - before
	if err == nil {
		err = s.db.say("free")
	}
	if err == nil {
		err = s.advance(ctx)
	}
	return failed, err
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
