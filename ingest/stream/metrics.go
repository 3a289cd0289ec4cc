package stream

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Registerer is where metrics go.
type Registerer = prometheus.Registerer

type metrics struct {
	lag        *prometheus.GaugeVec
	records    *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	produced   *prometheus.CounterVec
	rebalances prometheus.Counter
	commit     prometheus.Histogram
	errors     *prometheus.CounterVec
}

// errorCodes is the closed set of the errors' label.
var errorCodes = [...]string{
	"too_large", "corrupt", "timeout", "dial", "connection", "offset", "topic", "leader",
	"coordinator", "fenced", "rebalance", "auth", "broker", "other",
}

// newMetrics registers the metrics, or takes those that another part of this
// process registered before: consumer and producer share them.
func newMetrics(reg Registerer) (*metrics, error) {
	m := &metrics{}
	err := errors.Join(
		register(reg, &m.lag, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatehouse_stream_lag", Help: "Records between the committed offset and the end of the log, for partitions owned here.",
		}, []string{"topic", "partition"})),
		register(reg, &m.records, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_stream_records_total", Help: "Records fetched, without control and aborted ones.",
		}, []string{"topic"})),
		register(reg, &m.bytes, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_stream_bytes_total", Help: "Bytes of keys and values of the records fetched.",
		}, []string{"topic"})),
		register(reg, &m.produced, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_stream_produced_total", Help: "Records that all in-sync replicas acknowledged.",
		}, []string{"topic"})),
		register(reg, &m.rebalances, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_stream_rebalances_total", Help: "Times that this process got partitions assigned.",
		})),
		register(reg, &m.commit, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_stream_commit_seconds", Help: "Seconds from an offset commit to its acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		})),
		register(reg, &m.errors, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_stream_errors_total", Help: "Errors met, by kind; most are retried.",
		}, []string{"code"})),
	)
	for _, code := range errorCodes {
		m.errors.WithLabelValues(code)
	}
	return m, err
}

// register stores c, or what is already registered under its name, in *into.
func register[C prometheus.Collector](reg Registerer, into *C, c C) error {
	*into = c
	if reg == nil {
		return nil
	}
	err := reg.Register(c)
	var taken prometheus.AlreadyRegisteredError
	if errors.As(err, &taken) {
		if existing, ok := taken.ExistingCollector.(C); ok {
			*into = existing
			return nil
		}
	}
	return err
}

func (m *metrics) fetched(topic string, got fetched) {
	m.records.WithLabelValues(topic).Add(float64(len(got.records)))
	m.bytes.WithLabelValues(topic).Add(float64(got.bytes))
}

func (m *metrics) setLag(topic string, partition int32, lag int64) {
	m.lag.WithLabelValues(topic, strconv.Itoa(int(partition))).Set(float64(max(lag, 0)))
}

func (m *metrics) dropLag(topic string, partition int32) {
	m.lag.DeleteLabelValues(topic, strconv.Itoa(int(partition)))
}

func (m *metrics) committed(took time.Duration) { m.commit.Observe(took.Seconds()) }

func (m *metrics) failed(err error) { m.errors.WithLabelValues(codeOf(err)).Inc() }
