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
	passes  int
	trouble string // the verdict of the pass before, if it was not that all is well
}

// A pass looks at what was stored since some time before the pass before. Every
// twelfth looks hours back, and whether anything was stored again that is older
// still; so does each after one that found trouble, so that trouble stays to be
// seen.
const (
	auditFirst  = time.Minute
	auditEvery  = 5 * time.Minute
	auditRecent = 15 * time.Minute
	auditHours  = 6 * time.Hour
	auditLong   = 12 // every how many passes
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

func (s *standingAudit) scope(now time.Time) store.AuditScope {
	scope := store.AuditScope{Since: now.Add(-auditRecent), Until: now.Add(clockSlack)}
	if s.passes%auditLong == 0 || s.trouble != "" {
		scope.Since, scope.History = now.Add(-auditHours), true
	}
	return scope
}

// pass audits once, and says what changed.
func (s *standingAudit) pass(ctx context.Context) error {
	start := time.Now()
	report, err := s.audit.run(ctx, s.scope(start))
	if err != nil {
		return err
	}
	v := report.verdict()
	s.passes++
	s.metrics.passed(v, start)
	before, now := s.trouble, v.Text
	if v.Verdict == ledgerComplete {
		now = ""
	}
	s.trouble = now
	switch {
	case now == before:
	case now == "":
		s.log.InfoContext(ctx, "ledger adds up again", "verdict", v.Text)
	default:
		s.log.ErrorContext(ctx, "ledger does not add up, see gatehouse doctor ledger", "verdict", v.Text)
		s.name(ctx, report)
	}
	return nil
}

// name logs the offsets that are not well.
func (s *standingAudit) name(ctx context.Context, report ledgerReport) {
	for i := range report.Partitions {
		p := &report.Partitions[i]
		for _, d := range p.details() {
			if len(d.spans) > 0 {
				s.log.ErrorContext(ctx, "offsets of the ledger", "partition", p.name(), "what", d.what, "offsets", spanList(d.spans))
			}
		}
	}
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
		missing:    gauge("missing_offsets", "Acknowledged offsets that have no row and no recorded gap, though Kafka has a record there, or cannot say any more; they stay for 6 hours."),
		duplicated: gauge("duplicated_rows", "Rows of an offset and index that has another row; they stay for 6 hours."),
		gaps:       gauge("gap_offsets", "Offsets that lie in gaps recorded in the last 6 hours."),
		noRecord:   gauge("no_record_offsets", "Offsets looked at that never held a record: markers of transactions, aborted records, compaction."),
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
