package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/detect"
)

// detectionMetrics are the detector's figures; the engine itself is pure and
// only counts.
type detectionMetrics struct {
	events    prometheus.Counter
	seconds   prometheus.Histogram
	findings  *prometheus.CounterVec
	late      prometheus.Gauge
	badClock  prometheus.Gauge
	watermark prometheus.Gauge
	entities  *prometheus.GaugeVec
	evicted   *prometheus.GaugeVec
	errors    *prometheus.GaugeVec
}

func newDetectionMetrics(reg prometheus.Registerer) *detectionMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	byRule := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"rule"})
	}
	m := &detectionMetrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_detect_events_total", Help: "Events the detector has looked at.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_detect_event_seconds", Help: "Seconds of evaluation per event, averaged over a batch.",
			Buckets: prometheus.ExponentialBuckets(1e-7, 4, 10),
		}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_detect_findings_total", Help: "Findings, by rule.",
		}, []string{"rule"}),
		late:      gauge("gatehouse_detect_late_events", "Events behind their partition by more than the lateness, since the start."),
		badClock:  gauge("gatehouse_detect_bad_clock_events", "Events dropped because their clock was wrong, since the start."),
		watermark: gauge("gatehouse_detect_watermark_seconds", "Event time before which every window is closed, as a Unix time."),
		entities:  byRule("gatehouse_detect_entities", "Entities remembered, by rule."),
		evicted:   byRule("gatehouse_detect_evicted_entities", "Entities forgotten for want of room since the start, by rule."),
		errors:    byRule("gatehouse_detect_rule_errors", "Expressions that could not be evaluated since the start, by rule."),
	}
	reg.MustRegister(m.events, m.seconds, m.findings, m.late, m.badClock, m.watermark, m.entities, m.evicted, m.errors)
	return m
}

func (m *detectionMetrics) looked(events int, took time.Duration) {
	if events == 0 {
		return
	}
	m.events.Add(float64(events))
	m.seconds.Observe(took.Seconds() / float64(events))
}

func (m *detectionMetrics) stats(s detect.Stats) {
	m.late.Set(float64(s.Late))
	m.badClock.Set(float64(s.BadClock))
	m.watermark.Set(float64(s.Watermark) / 1e6)
	for _, r := range s.Rules {
		m.entities.WithLabelValues(r.Rule).Set(float64(r.Entities))
		m.evicted.WithLabelValues(r.Rule).Set(float64(r.Evicted))
		m.errors.WithLabelValues(r.Rule).Set(float64(r.Errors))
	}
}
