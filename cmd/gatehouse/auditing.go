package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/store"
)

// standingAudit is `gatehouse doctor ledger` every few minutes, as metrics and as
// an error in the log. Every process that ingests does it, each for the whole
// group: it is cheap, and then none has to be the one.
type standingAudit struct {
	audit   *audit
	metrics ledgerMetrics
	log     *slog.Logger
	last    string // verdict of the pass before
}

const (
	auditFirst  = time.Minute
	auditEvery  = 5 * time.Minute
	auditWindow = 6 * time.Hour
)

func newStandingAudit(a *app) (*standingAudit, error) {
	audit, err := newAudit(a.db, a.cfg.Kafka.stream(), "")
	if err != nil {
		return nil, err
	}
	a.onStop("audit", func() error { audit.close(); return nil })
	return &standingAudit{audit: audit, metrics: newLedgerMetrics(a.registry), log: a.log.With("component", "audit")}, nil
}

// run audits until ctx ends.
func (s *standingAudit) run(ctx context.Context) error {
	for wait := auditFirst; ; wait = auditEvery {
		if err := sleep(ctx, wait); err != nil {
			return nil
		}
		if err := s.pass(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "ledger not audited", "error", err)
		}
	}
}

// pass audits what was stored in the last hours, and whatever the group has
// acknowledged beyond.
func (s *standingAudit) pass(ctx context.Context) error {
	start := time.Now()
	report, err := s.audit.run(ctx, store.AuditScope{Since: start.Add(-auditWindow), Until: start.Add(clockSlack)})
	if err != nil {
		return err
	}
	v := report.verdict()
	s.metrics.passed(v, start)
	if v.Text == s.last || (v.Verdict == ledgerComplete && s.last == "") {
		return nil
	}
	s.last = v.Text
	if v.Verdict == ledgerComplete {
		s.log.InfoContext(ctx, "ledger adds up again", "verdict", v.Text)
		s.last = ""
		return nil
	}
	s.log.ErrorContext(ctx, "ledger does not add up, see gatehouse doctor ledger", "verdict", v.Text)
	for i := range report.Partitions {
		p := &report.Partitions[i]
		for _, d := range p.details() {
			if len(d.spans) > 0 {
				s.log.ErrorContext(ctx, "offsets of the ledger", "partition", p.name(), "what", d.what, "offsets", spanList(d.spans))
			}
		}
	}
	return nil
}

// ledgerMetrics are what the last audit found.
type ledgerMetrics struct {
	missing, duplicated, gaps, noRecord, at, seconds prometheus.Gauge
}

func newLedgerMetrics(reg prometheus.Registerer) ledgerMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "gatehouse_store_ledger_" + name, Help: help})
		reg.MustRegister(g)
		return g
	}
	return ledgerMetrics{
		missing:    gauge("missing_offsets", "Acknowledged offsets of the last 6 hours that have no row and no recorded gap, though Kafka has a record there, or cannot say any more."),
		duplicated: gauge("duplicated_rows", "Rows, stored in the last 6 hours or beside such, of an offset and index that has another row."),
		gaps:       gauge("gap_offsets", "Offsets among those of the last 6 hours that lie in recorded gaps."),
		noRecord:   gauge("no_record_offsets", "Offsets of the last 6 hours that never held a record: markers of transactions, aborted records, compaction."),
		at:         gauge("last_success_timestamp_seconds", "Unix time of the last audit that was carried through; 0 before the first."),
		seconds:    gauge("audit_seconds", "How long the last audit took."),
	}
}

func (m *ledgerMetrics) passed(v ledgerVerdict, start time.Time) {
	m.missing.Set(float64(v.Missing))
	m.duplicated.Set(float64(v.Duplicated))
	m.gaps.Set(float64(v.GapOffsets))
	m.noRecord.Set(float64(v.NoRecord))
	m.at.SetToCurrentTime()
	m.seconds.Set(time.Since(start).Seconds())
}
