package alert

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/rules"
)

// Registerer takes metrics.
type Registerer = prometheus.Registerer

type metrics struct {
	attempts  *prometheus.CounterVec
	lookbacks *prometheus.CounterVec
	tooRich   *prometheus.CounterVec
	depth     prometheus.Gauge
	open      *prometheus.GaugeVec
	e2e       *prometheus.HistogramVec
}

func newMetrics(reg Registerer) *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_alert_notify_attempts_total", Help: "Messages and edits tried, by outcome.",
		}, []string{"outcome"}),
		lookbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_alert_notify_readback_total", Help: "Looks in the channel for a message of unknown outcome, by result.",
		}, []string{"result"}),
		tooRich: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_alert_notify_degraded_total", Help: "Messages refused as too rich, by the level tried next.",
		}, []string{"level"}),
		depth: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_alert_notify_queue_depth", Help: "Incidents whose channel is owed a message or an edit.",
		}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatehouse_alert_incidents_open", Help: "Incidents that are not resolved, by severity.",
		}, []string{"severity"}),
		e2e: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_alert_e2e_seconds", Help: "Seconds from a finding's event time until the channel took its incident.",
			Buckets: []float64{0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300, 1800, 7200},
		}, []string{"severity"}),
	}
	m.start()
	if reg != nil {
		reg.MustRegister(m.attempts, m.lookbacks, m.tooRich, m.depth, m.open, m.e2e)
	}
	return m
}

// start makes every series exist, at zero.
func (m *metrics) start() {
	for _, o := range []string{
		StatusAccepted, StatusPrinted, StatusUpdated,
		string(Unknown), string(RetryAfter), string(Unsent), string(TooRich), string(Gone), string(Denied), string(Permanent),
	} {
		m.attempts.WithLabelValues(o)
	}
	for _, r := range []string{"found", "absent", "not_allowed", "error"} {
		m.lookbacks.WithLabelValues(r)
	}
	for l := LevelNoTable; l <= LevelText; l++ {
		m.tooRich.WithLabelValues(l.String())
	}
	for _, s := range rules.Severities() {
		m.open.WithLabelValues(string(s))
		m.e2e.WithLabelValues(string(s))
	}
}

func (m *metrics) attempt(err error, success string) {
	if err != nil {
		outcome, _ := outcomeOf(err)
		success = string(outcome)
	}
	m.attempts.WithLabelValues(success).Inc()
}

func (m *metrics) lookedBack(result string) { m.lookbacks.WithLabelValues(result).Inc() }

func (m *metrics) degraded(l Level) { m.tooRich.WithLabelValues(l.String()).Inc() }

func (m *metrics) set(open map[rules.Severity]int, depth int) {
	for _, s := range rules.Severities() {
		m.open.WithLabelValues(string(s)).Set(float64(open[s]))
	}
	m.depth.Set(float64(depth))
}

func (m *metrics) endToEnd(s rules.Severity, took time.Duration) {
	m.e2e.WithLabelValues(string(s)).Observe(took.Seconds())
}
