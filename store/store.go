// Package store is ClickHouse and nothing else: the schema and its migrations,
// the ledger that events are appended to, append-only tables for everything
// else, read-only queries, and replay of stored events in order.
//
// Writing has one verb, Append. Nothing here can change or delete a row.
//
// The store speaks ClickHouse's HTTP protocol only, to a server, a cluster's
// load balancer or the embedded engine alike, because that protocol takes a
// block that was encoded once and can be sent again byte for byte.
package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Database is the ClickHouse database that holds every table.
const Database = "audit"

// MinVersion is the oldest ClickHouse that the schema and the pinned insert
// settings are right for: 26.2 changed the defaults of both.
const MinVersion = "26.2"

// Defaults of Config.
const (
	DefaultTimeout = 60 * time.Second
	dialTimeout    = 5 * time.Second
)

// Config says which ClickHouse to use and as whom.
type Config struct {
	// URL is the HTTP address, such as http://127.0.0.1:8123 or
	// https://clickhouse.internal:8443. Required.
	URL string
	// User and Password; User defaults to "default".
	User, Password string
	// CAFile is a PEM file of the authority that signed the server's
	// certificate; empty means the system's.
	CAFile string
	// Compression of inserts: CompressionAuto, CompressionLZ4 or CompressionNone.
	Compression string
	// Timeout bounds one statement, an insert included. Default 60 s.
	Timeout time.Duration
	// Log receives what the store does in the background; nil discards it.
	Log *slog.Logger
	// Metrics registers the store's metrics; nil keeps them to itself.
	Metrics Registerer
}

// DB is an open ClickHouse. It is safe for concurrent use.
type DB struct {
	conn    driver.Conn
	timeout time.Duration
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	url     string
	lz4     bool // inserts are compressed
}

// Open connects and checks that the server answers and is new enough. It does
// not look at the schema: see Migrate and Check.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	u, err := cfg.address()
	if err != nil {
		return nil, err
	}
	lz4, err := cfg.compresses(u)
	if err != nil {
		return nil, err
	}
	opts, err := cfg.options(u)
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db := &DB{conn: conn, timeout: opts.ReadTimeout, log: log, metrics: newMetrics(cfg.Metrics), now: time.Now, url: cfg.URL, lz4: lz4}
	if err := db.checkVersion(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return db, nil
}

func (cfg Config) address() (*url.URL, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("open ClickHouse: url %q: want http://host:port or https://host:port", redactURL(cfg.URL))
	}
	if u.User != nil {
		return nil, errors.New("open ClickHouse: url holds a user or password: give them as user and password_file")
	}
	return u, nil
}

func (cfg Config) options(u *url.URL) (opts *clickhouse.Options, err error) {
	opts = &clickhouse.Options{
		Protocol:     clickhouse.HTTP,
		Addr:         []string{u.Host},
		Auth:         clickhouse.Auth{Username: cfg.User, Password: cfg.Password},
		DialTimeout:  dialTimeout,
		ReadTimeout:  cfg.Timeout,
		MaxOpenConns: maxConns, MaxIdleConns: maxConns,
	}
	if opts.Auth.Username == "" {
		opts.Auth.Username = "default"
	}
	if opts.ReadTimeout == 0 {
		opts.ReadTimeout = DefaultTimeout
	}
	if u.Scheme == "https" {
		if opts.TLS, err = tlsConfig(cfg.CAFile); err != nil {
			return nil, err
		}
	}
	return opts, nil
}

// maxConns bounds the store's connections: ingest needs one for each partition
// whose batch is being stored, and the driver gives up on waiting for one after
// the time for dialling.
const maxConns = 64

func tlsConfig(caFile string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read ClickHouse ca_file: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read ClickHouse ca_file %s: no PEM certificate in it", caFile)
	}
	return cfg, nil
}

func redactURL(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

func (db *DB) checkVersion(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, errors.New("ClickHouse did not answer in 5 s"))
	defer cancel()
	var version string
	if err := db.conn.QueryRow(ctx, "SELECT version()").Scan(&version); err != nil {
		return fmt.Errorf("reach ClickHouse at %s: %w", db.url, describe(ctx, err))
	}
	if older(version, MinVersion) {
		return fmt.Errorf("ClickHouse at %s is version %s: want %s or newer", db.url, version, MinVersion)
	}
	return nil
}

// older compares dotted versions by their first two numbers.
func older(version, floor string) bool {
	a, b := strings.Split(version, "."), strings.Split(floor, ".")
	for i := range 2 {
		if i >= len(a) || i >= len(b) {
			return false
		}
		x, errX := strconv.Atoi(a[i])
		y, errY := strconv.Atoi(b[i])
		if errX != nil || errY != nil || x == y {
			continue
		}
		return x < y
	}
	return false
}

// Close closes the connections. The DB cannot be used after it.
func (db *DB) Close() error {
	if err := db.conn.Close(); err != nil {
		return fmt.Errorf("close ClickHouse: %w", err)
	}
	return nil
}

// describe turns a driver's error into one that says what to do, without the
// statement: statements hold values.
func describe(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		return cause
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%w: is ClickHouse up, and is clickhouse.url its HTTP port?", op)
	}
	var ex *clickhouse.Exception
	if !errors.As(err, &ex) {
		return err
	}
	switch ex.Code {
	case codeAuthenticationFailed, codeWrongPassword, codeRequiredPassword:
		return &advice{"wrong user or password: check clickhouse.user and clickhouse.password_file", ex}
	case codeUnknownDatabase, codeUnknownTable:
		return &advice{"the schema is not there: run `gatehouse migrate`", ex}
	case codeViolatedConstraint:
		return &advice{"the block was too old or from the future: do the clocks of this host and of ClickHouse differ by more than 5 minutes?", ex}
	}
	return err
}

// advice is a ClickHouse error in words that say what to do. The error itself
// stays reachable; its text does not show, because it can quote the statement.
type advice struct {
	text string
	err  *clickhouse.Exception
}

func (a *advice) Error() string { return fmt.Sprintf("%s (code %d)", a.text, a.err.Code) }

// Unwrap returns what ClickHouse said.
func (a *advice) Unwrap() error { return a.err }

// Codes of ClickHouse errors that say what to do.
const (
	codeUnknownTable         = 60
	codeUnknownDatabase      = 81
	codeWrongPassword        = 193
	codeRequiredPassword     = 194
	codeAuthenticationFailed = 516
	codeViolatedConstraint   = 469
)
