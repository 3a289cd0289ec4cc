package detect

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Registerer takes metrics.
type Registerer = prometheus.Registerer

// metrics are the detector's. Counters of the engine are copied after each
// batch; the rule label is the set of loaded rules.
type metrics struct {
	seconds   prometheus.Histogram
	events    prometheus.Counter
	late      prometheus.Counter
	badClock  prometheus.Counter
	watermark prometheus.Gauge
	matched   *prometheus.CounterVec
	errors    *prometheus.CounterVec
	findings  *prometheus.CounterVec
	evicted   *prometheus.CounterVec
	saturated *prometheus.CounterVec
	old       *prometheus.CounterVec
	entities  *prometheus.GaugeVec
	last      Stats
}

func newMetrics(reg Registerer) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_detect_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	perRule := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_detect_" + name, Help: help}, []string{"rule"})
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_detect_evaluation_seconds", Help: "Time to run all rules over one batch of events.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}),
		events:    counter("events_total", "Events observed."),
		late:      counter("late_events_total", "Events further behind their partition than the lateness; not counted by rules."),
		badClock:  counter("bad_clock_events_total", "Events dropped because their clock was wrong."),
		watermark: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gatehouse_detect_watermark_seconds", Help: "Event time before which all windows are closed, as Unix time."}),
		matched:   perRule("matched_events_total", "Events that matched a rule's when."),
		errors:    perRule("rule_errors_total", "Expressions of a rule that could not be evaluated."),
		findings:  perRule("findings_total", "Findings."),
		evicted:   perRule("evicted_entities_total", "Entities that a rule forgot for want of room."),
		saturated: perRule("saturated_values_total", "Values that a rule could not tell apart for want of room."),
		old:       perRule("old_events_total", "Events older than the window that their entity had reached."),
		entities:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "gatehouse_detect_entities", Help: "Entities that a rule remembers."}, []string{"rule"}),
	}
	reg.MustRegister(m.seconds, m.watermark, m.entities)
	return m
}

func (m *metrics) batch(events int, took time.Duration) {
	if events > 0 {
		m.seconds.Observe(took.Seconds())
	}
}

// engine adds what changed since the last call.
func (m *metrics) engine(s Stats) {
	m.events.Add(float64(s.Observed - m.last.Observed))
	m.late.Add(float64(s.Late - m.last.Late))
	m.badClock.Add(float64(s.BadClock - m.last.BadClock))
	if s.Watermark != math.MinInt64 && s.Watermark != math.MaxInt64 {
		m.watermark.Set(float64(s.Watermark) / second)
	}
	for i, r := range s.Rules {
		var was RuleStats
		if i < len(m.last.Rules) {
			was = m.last.Rules[i]
		}
		m.matched.WithLabelValues(r.Rule).Add(float64(r.Matched - was.Matched))
		m.errors.WithLabelValues(r.Rule).Add(float64(r.Errors - was.Errors))
		m.findings.WithLabelValues(r.Rule).Add(float64(r.Findings - was.Findings))
		m.evicted.WithLabelValues(r.Rule).Add(float64(r.Evicted - was.Evicted))
		m.saturated.WithLabelValues(r.Rule).Add(float64(r.Saturated - was.Saturated))
		m.old.WithLabelValues(r.Rule).Add(float64(r.Old - was.Old))
		m.entities.WithLabelValues(r.Rule).Set(float64(r.Entities))
	}
	m.last = s
}
