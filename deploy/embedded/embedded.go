package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
)

// Default addresses: next to the well-known ports of ClickHouse and Kafka, so
// that a laptop which already runs those still starts.
const (
	DefaultClickHouseAddr = "127.0.0.1:18123"
	DefaultKafkaAddr      = "127.0.0.1:19092"
)

// Config says where the engines keep their data and where they listen.
type Config struct {
	// Dir holds everything: clickhouse/, kafka/, the lock and the password
	// file. It is created if missing, and one process at a time may hold it.
	// Required.
	Dir string
	// ClickHouseAddr is the HTTP address, DefaultClickHouseAddr if empty. Port 0
	// takes any free port. The host must be a loopback address.
	ClickHouseAddr string
	// KafkaAddr is the broker address, DefaultKafkaAddr if empty; as above.
	KafkaAddr string
	// NoClickHouse and NoKafka leave that engine out.
	NoClickHouse, NoKafka bool
	// Topics are created if missing, name → partitions (at least 1). The broker
	// creates no topic by itself.
	Topics map[string]int32
	// Measuring starts the SQL engine for a benchmark: the writer may do anything,
	// DROP and the Kafka table engine included, and memory is bounded by the
	// machine alone, so that other ways into ClickHouse can be measured in the
	// same engine. Never for data that matters: nothing is append-only then.
	Measuring bool
	// Progress is where the one-time engine download is shown, as a bar on a
	// terminal and as lines elsewhere; nil = silent.
	Progress io.Writer
	// Log receives the engines' own events; nil = discard.
	Log *slog.Logger
}

// ClickHouse says how to reach the SQL engine.
type ClickHouse struct {
	// URL is http://host:port, for clickhouse-go's HTTP protocol, curl and
	// Grafana. Without a user it is read-only.
	URL string
	// WriteUser and WritePassword open connections that may create and insert.
	// The password is random per data directory.
	WriteUser, WritePassword string
}

// Engines are the running engines of one data directory.
type Engines struct {
	clickhouse *sqlEngine
	kafka      *broker
	stops      []func() error // run last to first
}

// Start locks cfg.Dir and starts the engines in this process. On first use it
// fetches the SQL engine (see the package comment). Cancelling ctx stops a
// start in progress; a started engine runs until Close.
//
// Errors: a data directory held by another process, an address that is not
// loopback or is taken, an engine that cannot be fetched or loaded. Each says
// what to do next.
func Start(ctx context.Context, cfg Config) (*Engines, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engines{}
	if err := e.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engines) start(ctx context.Context, cfg Config) error {
	lock, err := acquireDir(cfg.Dir)
	if err != nil {
		return err
	}
	e.stops = append(e.stops, lock.release)
	if !cfg.NoKafka {
		if e.kafka, err = startKafka(cfg); err != nil {
			return err
		}
		e.stops = append(e.stops, e.kafka.close)
	}
	if !cfg.NoClickHouse {
		if e.clickhouse, err = startClickHouse(ctx, cfg); err != nil {
			return err
		}
		e.stops = append(e.stops, e.clickhouse.close)
	}
	return nil
}

// ClickHouse returns how to reach the SQL engine; the zero value if it was
// left out.
func (e *Engines) ClickHouse() ClickHouse {
	if e.clickhouse == nil {
		return ClickHouse{}
	}
	return e.clickhouse.access
}

// Kafka returns the broker's host:port; empty if it was left out.
func (e *Engines) Kafka() string {
	if e.kafka == nil {
		return ""
	}
	return e.kafka.addr
}

// Close stops the engines: running statements are cancelled, data is left
// clean on disk, the lock is released. It must run before the process exits,
// because the SQL engine does not survive a bare exit. Later calls do nothing.
func (e *Engines) Close() error {
	var errs []error
	for i := len(e.stops) - 1; i >= 0; i-- {
		errs = append(errs, e.stops[i]())
	}
	e.stops = nil
	return errors.Join(errs...)
}

func (cfg Config) withDefaults() (Config, error) {
	if cfg.Dir == "" {
		return cfg, errors.New("start embedded engines: Dir is empty: name a directory for the data")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return cfg, fmt.Errorf("start embedded engines: data directory %q: %w", cfg.Dir, err)
	}
	cfg.Dir = dir
	if cfg.ClickHouseAddr == "" {
		cfg.ClickHouseAddr = DefaultClickHouseAddr
	}
	if cfg.KafkaAddr == "" {
		cfg.KafkaAddr = DefaultKafkaAddr
	}
	if cfg.Progress == nil {
		cfg.Progress = io.Discard
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for topic, partitions := range cfg.Topics {
		if partitions < 1 {
			return cfg, fmt.Errorf("start embedded kafka: topic %q has %d partitions: want at least 1", topic, partitions)
		}
	}
	return cfg, errors.Join(requireLoopback("ClickHouseAddr", cfg.ClickHouseAddr), requireLoopback("KafkaAddr", cfg.KafkaAddr))
}

// requireLoopback refuses an address other machines could reach: the engines
// know no TLS and let anybody read.
func requireLoopback(field, addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("start embedded engines: %s %q: want host:port such as 127.0.0.1:0: %w", field, addr, err)
	}
	if !isLoopback(host) {
		return fmt.Errorf("start embedded engines: %s %q is not a loopback address: embedded engines serve this machine only; "+
			"use 127.0.0.1, or real servers in gatehouse.yaml to be reached from elsewhere", field, addr)
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// listen opens a loopback listener; an address in use is the error people
// meet, so it says what to do.
func listen(what, addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start embedded %s on %s: %w; stop what listens there or choose another port", what, addr, err)
	}
	return ln, nil
}

// makeDir creates a data directory only this user can read.
func makeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("create data directory: %w; choose another data_dir", err)
	}
	return nil
}
