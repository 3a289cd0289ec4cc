package detect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"gatehouse/ingest/event"
)

// Source hands out stored events.
//
// Next gives the next events, in the order of their partition, and blocks for at
// most about a second: with nothing to give it returns an empty slice, so that
// time can move on. io.EOF ends the run in good order. Events from one call stay
// unchanged until the next. Ack says that everything handed out so far has been
// dealt with, findings included; until then a restart hands it out again.
type Source interface {
	Next(ctx context.Context) ([]event.Event, error)
	Ack(ctx context.Context) error
}

// Sink takes findings. When Append returns nil they are durable. It may be given
// a finding again after a restart: the id is the same then.
type Sink interface {
	Append(ctx context.Context, findings ...Finding) error
}

// Config is what a Detector needs.
type Config struct {
	Engine EngineConfig
	Source Source
	Sink   Sink
	// Now is the clock. Default time.Now. In a replay it is the time to which
	// the stream has progressed.
	Now     func() time.Time
	Metrics Registerer   // nil = none
	Log     *slog.Logger // nil = discard
}

// Detector is the loop around an Engine: it takes events, hands findings on, and
// acknowledges events only after that.
type Detector struct {
	cfg     Config
	engine  *Engine
	metrics *metrics
	log     *slog.Logger
}

// New checks the configuration and makes a Detector.
func New(cfg Config) (*Detector, error) {
	switch {
	case cfg.Source == nil:
		return nil, errors.New("detect: no Source: want where events come from")
	case cfg.Sink == nil:
		return nil, errors.New("detect: no Sink: want where findings go")
	case cfg.Engine.Rules.Len() == 0:
		return nil, errors.New("detect: no rules: want at least one, such as those of rules.Catalog")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Detector{cfg: cfg, engine: NewEngine(cfg.Engine), metrics: newMetrics(cfg.Metrics), log: cfg.Log}, nil
}

// Warm lets the engine see events that were looked at before, so that it knows
// what it knew. What they bring to light is not reported and not counted. Call it
// before Run.
func (d *Detector) Warm(events iter.Seq2[event.Event, error]) error {
	for ev, err := range events {
		if err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
		d.engine.Observe(&ev)
	}
	d.metrics.last = d.engine.Stats()
	return nil
}

// Run works until ctx ends, which is no error, or source or sink fail. At the
// end of the source (io.EOF) it closes all windows first.
func (d *Detector) Run(ctx context.Context) error {
	d.log.Info("detector started", "rules", d.cfg.Engine.Rules.Len())
	for {
		events, err := d.cfg.Source.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF):
			return d.deliver(ctx, append(d.observe(events), d.engine.Flush()...))
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
		if err := d.deliver(ctx, d.observe(events)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

func (d *Detector) observe(events []event.Event) []Finding {
	start := d.cfg.Now()
	var found []Finding
	for i := range events {
		found = append(found, d.engine.Observe(&events[i])...)
	}
	now := d.cfg.Now()
	found = append(found, d.engine.Advance(now.UnixMicro())...)
	d.metrics.batch(len(events), now.Sub(start))
	return found
}

// deliver hands findings on and then acknowledges the events behind them.
func (d *Detector) deliver(ctx context.Context, found []Finding) error {
	if len(found) > 0 {
		if err := d.cfg.Sink.Append(ctx, found...); err != nil {
			return fmt.Errorf("append findings: %w", err)
		}
		for i := range found {
			f := &found[i]
			d.log.Info("rule fired", "rule", f.Rule, "severity", string(f.Severity), "finding", f.ID, "events", f.Events)
		}
	}
	d.metrics.engine(d.engine.Stats())
	if err := d.cfg.Source.Ack(ctx); err != nil {
		return fmt.Errorf("acknowledge events: %w", err)
	}
	return nil
}

// Stats are the counters of the engine. Not to be called while Run works.
func (d *Detector) Stats() Stats { return d.engine.Stats() }
