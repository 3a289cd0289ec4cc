package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/ingest/event"
)

// Registerer takes metrics.
type Registerer = prometheus.Registerer

type metrics struct {
	events   prometheus.Counter
	rejected *prometheus.CounterVec
	batch    prometheus.Histogram
	delay    prometheus.Histogram
	retries  prometheus.Counter
	replays  prometheus.Counter
	gaps     *prometheus.CounterVec
}

func newMetrics(reg Registerer) *metrics {
	m := &metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_ingest_events_total", Help: "Events that every sink has acknowledged.",
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_ingest_rejected_total", Help: "Records and elements that became dead letters, by reason.",
		}, []string{"reason"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_ingest_batch_events", Help: "Events in a stored batch.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 9),
		}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_ingest_delay_seconds", Help: "Seconds from the newest request of a batch to its acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 14),
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_ingest_retries_total", Help: "Attempts to store a batch that failed and were repeated.",
		}),
		replays: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_ingest_replays_total", Help: "Declared batches of an earlier owner that were replayed.",
		}),
		gaps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_ingest_gap_offsets_total", Help: "Offsets lost before they could be read, by reason.",
		}, []string{"reason"}),
	}
	for _, r := range event.Reasons() {
		m.rejected.WithLabelValues(string(r))
	}
	for _, r := range GapReasons() {
		m.gaps.WithLabelValues(r)
	}
	if reg != nil {
		reg.MustRegister(m.events, m.rejected, m.batch, m.delay, m.retries, m.replays, m.gaps)
	}
	return m
}

// stored counts a batch that every sink has.
func (m *metrics) stored(b *filling, now time.Time) {
	m.events.Add(float64(b.count))
	for i := range b.rejected {
		m.rejected.WithLabelValues(string(b.rejected[i].Reason)).Inc()
	}
	m.batch.Observe(float64(b.count))
	if b.newest > 0 {
		m.delay.Observe(max(now.Sub(time.UnixMicro(b.newest)).Seconds(), 0))
	}
}
