package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gatehouse/ingest/stream"
)

// stage is one database with a topic of its own: what is sent there, who stores
// it, and what is done to them.
type stage struct {
	name         string // "" is the main one
	topic, group string
	db           *engine
	admin        *stream.Admin
	one          *ingester // the ingester of most phases
	load         *load
	phases       []*phaseRun
	verdict      *verdict
}

// phaseOf is the index of the phase during which a call was sent.
func (s *stage) phaseOf(n int) int {
	for i := len(s.phases) - 1; i > 0; i-- {
		if n >= s.phases[i].first {
			return i
		}
	}
	return 0
}

// writeJournal keeps the journal, for whoever wants to look with SQL.
func (s *stage) writeJournal(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	defer f.Close()
	s.load.journal.mu.Lock()
	defer s.load.journal.mu.Unlock()
	out := bufio.NewWriter(f)
	fmt.Fprint(out, "partition\toffset\tcontent\n") // Flush has the error
	for p, acked := range s.load.journal.acked {
		for offset, n := range acked {
			if n != 0 {
				fmt.Fprintf(out, "%d\t%d\t%s\n", p, offset, s.load.call.stored(int(n)-1))
			}
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// lag is how far the group's commits are in each partition, and how many records
// it has not committed; pending says that a batch is declared and not acknowledged.
type lag struct {
	committed [chaosPartitions]int64
	open      int64
	pending   bool
}

func (l lag) sum() (n int64) {
	for _, offset := range l.committed {
		n += offset
	}
	return n
}

// ahead says whether every partition is further than it was.
func (l lag) ahead(of lag) bool {
	for p := range l.committed {
		if l.committed[p] <= of.committed[p] {
			return false
		}
	}
	return true
}

func (s *stage) lag(ctx context.Context) (lag, error) {
	d, err := s.admin.Describe(ctx)
	if err != nil {
		return lag{}, err
	}
	if len(d.Topics) != 1 {
		return lag{}, fmt.Errorf("look at topic %s: Kafka told of %d topics", s.topic, len(d.Topics))
	}
	t := d.Topics[0]
	if t.Err != nil {
		return lag{}, t.Err
	}
	if len(t.Partitions) != chaosPartitions { // what is not told of must not pass for done
		return lag{}, fmt.Errorf("look at topic %s: Kafka told of %d partitions: want %d", s.topic, len(t.Partitions), chaosPartitions)
	}
	var l lag
	for _, p := range t.Partitions {
		l.committed[p.ID] = p.Committed
		l.open += p.Lag
		l.pending = l.pending || p.Metadata != ""
	}
	return l, nil
}

// advance waits until the group has committed more in every partition than it has
// now.
func (s *stage) advance(ctx context.Context) error {
	before, err := s.look(ctx)
	if err != nil {
		return err
	}
	return s.advanceFrom(ctx, before)
}

// look is lag once Kafka answers.
func (s *stage) look(ctx context.Context) (l lag, err error) {
	var last error
	err = poll(ctx, "the group's offsets", func() bool {
		l, last = s.lag(ctx)
		return last == nil
	})
	if err != nil {
		return l, errors.Join(err, last)
	}
	return l, nil
}

func (s *stage) advanceFrom(ctx context.Context, before lag) error {
	return poll(ctx, "the ingesters to go on in every partition", func() bool {
		l, err := s.lag(ctx)
		return err == nil && l.ahead(before)
	})
}

// settle lets one ingester store all that is in Kafka. Nothing may be sent
// meanwhile. It gives up when nothing moves for chaosPatience.
func (c *chaos) settle(ctx context.Context, s *stage) error {
	if !s.one.running() {
		if err := s.one.start(ctx); err != nil {
			return err
		}
	}
	last, moved := lag{}, time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := s.lag(ctx)
		switch {
		case err == nil && l.open == 0 && !l.pending:
			return nil
		case err == nil && l != last:
			last, moved = l, time.Now()
		case !s.one.running():
			return s.one.process.ended()
		case time.Since(moved) > chaosPatience:
			return errors.Join(err, fmt.Errorf("catch up: %d records are not committed and nothing has moved for %s: %s",
				last.open, chaosPatience, s.one.process.lastWords()))
		}
		c.progress.show(time.Now(), "catching up: %d events to go", last.open)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
