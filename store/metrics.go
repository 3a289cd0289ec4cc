package store

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Registerer takes metrics.
type Registerer = prometheus.Registerer

type metrics struct {
	rows    *prometheus.CounterVec
	errors  *prometheus.CounterVec
	seconds prometheus.Histogram
}

func newMetrics(reg Registerer) *metrics {
	m := &metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_store_rows_total", Help: "Rows acknowledged by ClickHouse, by table.",
		}, []string{"table"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_store_errors_total", Help: "Inserts that failed, by ClickHouse error code (0 = no answer).",
		}, []string{"code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_store_insert_seconds", Help: "Seconds from the start of an insert to its acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 15),
		}),
	}
	for _, table := range []string{"events", "dead_letters"} {
		m.rows.WithLabelValues(table)
	}
	if reg != nil {
		reg.MustRegister(m.rows, m.errors, m.seconds)
	}
	return m
}

func (m *metrics) inserted(events, rejected int, took time.Duration) {
	m.rows.WithLabelValues("events").Add(float64(events))
	m.rows.WithLabelValues("dead_letters").Add(float64(rejected))
	m.seconds.Observe(took.Seconds())
}

func (m *metrics) failed(code int32) {
	m.errors.WithLabelValues(strconv.Itoa(int(code))).Inc()
}
