package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"
)

// Defaults and limits of Config.
const (
	DefaultClientID        = "gatehouse"
	DefaultSessionTimeout  = 10 * time.Second
	DefaultDrainTimeout    = 30 * time.Second
	DefaultFetchMaxBytes   = 256 << 10
	DefaultMaxDecompressed = 32 << 20

	minFetchBytes     = 1 << 10
	maxFetchBytes     = 256 << 20
	minSessionTimeout = time.Second
	dialTimeout       = 5 * time.Second
	requestTimeout    = 15 * time.Second
)

// SASL mechanisms.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// Config says how to reach the brokers and what to consume. One Config serves
// NewConsumer, NewProducer and NewAdmin; each reads the fields that concern it.
type Config struct {
	// Brokers are the bootstrap addresses, host:port. At least one.
	Brokers []string
	// Topics to consume. At least one for a consumer.
	Topics []string
	// Group is the consumer group that holds the offsets. Required for a consumer.
	Group string
	// InstanceID makes the membership static: a process that restarts within
	// SessionTimeout has its partitions back at once and nobody rebalances. It must
	// be unique in the group. Empty is a dynamic member, which leaves on stop.
	InstanceID string
	// ClientID names this process to the brokers. Default DefaultClientID.
	ClientID string

	TLS  TLS
	SASL SASL

	// SessionTimeout is the silence after which the group gives this member's
	// partitions to others. Default DefaultSessionTimeout.
	SessionTimeout time.Duration
	// DrainTimeout bounds how long handlers may go on with what they have after
	// their context ended, on a rebalance or a shutdown. They have a tenth more to
	// return. Default DefaultDrainTimeout.
	DrainTimeout time.Duration
	// FetchMaxBytes is the size, as stored, that one fetch of one partition asks
	// for; a single larger batch still comes whole. Default DefaultFetchMaxBytes.
	FetchMaxBytes int
	// MaxDecompressed is the size to which one batch may unpack; a larger one is a
	// *BatchError. Default DefaultMaxDecompressed.
	MaxDecompressed int

	// Log takes what happens to the group. nil discards.
	Log *slog.Logger
	// Metrics takes the metrics. nil registers nothing.
	Metrics Registerer
}

// TLS is how the connection is protected.
type TLS struct {
	Enabled bool
	// CAFile is a PEM file with the authorities to trust. Default: the system's.
	CAFile string
	// CertFile and KeyFile are the client's certificate, for brokers that ask.
	CertFile, KeyFile string
	// ServerName is the name expected in the broker's certificate. Default: the
	// host of the address.
	ServerName string
}

// SASL is who we are to the broker.
type SASL struct {
	// Mechanism is Plain, ScramSHA256 or ScramSHA512; empty is no authentication.
	Mechanism string
	User      string
	// PasswordFile is a file that holds the password, or PasswordEnv the name of an
	// environment variable that does; exactly one. A final newline is cut.
	PasswordFile, PasswordEnv string
}

func (cfg Config) withDefaults() Config {
	if cfg.ClientID == "" {
		cfg.ClientID = DefaultClientID
	}
	if cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = DefaultSessionTimeout
	}
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = DefaultDrainTimeout
	}
	if cfg.FetchMaxBytes == 0 {
		cfg.FetchMaxBytes = DefaultFetchMaxBytes
	}
	if cfg.MaxDecompressed == 0 {
		cfg.MaxDecompressed = DefaultMaxDecompressed
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// validateConsumer checks what a consumer needs on top of a connection.
func (cfg Config) validateConsumer() error {
	switch {
	case len(cfg.Topics) == 0:
		return errors.New("check kafka.topics: empty: name at least one topic to consume")
	case cfg.Group == "":
		return errors.New("check kafka.group: empty: name the consumer group that holds the offsets")
	case cfg.SessionTimeout < minSessionTimeout:
		return fmt.Errorf("check kafka.session_timeout: %v: want at least %v", cfg.SessionTimeout, minSessionTimeout)
	case cfg.DrainTimeout < 0:
		return fmt.Errorf("check kafka.drain_timeout: %v: want a positive duration", cfg.DrainTimeout)
	}
	for i, topic := range cfg.Topics {
		if topic == "" {
			return fmt.Errorf("check kafka.topics: entry %d is empty: want a topic's name", i+1)
		}
	}
	return nil
}

// validateConnection checks what every connection needs.
func (cfg Config) validateConnection() error {
	if len(cfg.Brokers) == 0 {
		return errors.New("check kafka.brokers: empty: name at least one broker as host:port")
	}
	for _, addr := range cfg.Brokers {
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
			return fmt.Errorf("check kafka.brokers: %q: want host:port such as kafka-1:9092", addr)
		}
	}
	if cfg.FetchMaxBytes < minFetchBytes || cfg.FetchMaxBytes > maxFetchBytes {
		return fmt.Errorf("check kafka.fetch_max_bytes: %d: want %d to %d", cfg.FetchMaxBytes, minFetchBytes, maxFetchBytes)
	}
	if cfg.MaxDecompressed < 1<<20 {
		return fmt.Errorf("check kafka.max_decompressed: %d: want at least %d", cfg.MaxDecompressed, 1<<20)
	}
	return errors.Join(cfg.TLS.validate(), cfg.SASL.validate())
}

func (t TLS) validate() error {
	switch {
	case !t.Enabled && (t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" || t.ServerName != ""):
		return errors.New("check kafka.tls: fields are set but enabled is not: set kafka.tls.enabled: true or remove them")
	case (t.CertFile == "") != (t.KeyFile == ""):
		return errors.New("check kafka.tls: cert_file and key_file go together: set both or neither")
	}
	return nil
}

func (s SASL) validate() error {
	switch s.Mechanism {
	case "":
		if s != (SASL{}) {
			return errors.New("check kafka.sasl: fields are set but mechanism is not: want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
		}
		return nil
	case Plain, ScramSHA256, ScramSHA512:
	default:
		return fmt.Errorf("check kafka.sasl.mechanism: %q: want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
	}
	switch {
	case s.User == "":
		return errors.New("check kafka.sasl.user: empty: name the user")
	case (s.PasswordFile == "") == (s.PasswordEnv == ""):
		return errors.New("check kafka.sasl: want exactly one of password_file and password_env")
	}
	return nil
}

// password reads the secret. Errors name its place, never its value.
func (s SASL) password() (string, error) {
	if s.PasswordEnv != "" {
		v, ok := os.LookupEnv(s.PasswordEnv)
		if !ok || v == "" {
			return "", fmt.Errorf("read kafka password: environment variable %s is not set", s.PasswordEnv)
		}
		return v, nil
	}
	b, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read kafka password: %w", err)
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("read kafka password: file %s is empty", s.PasswordFile)
	}
	return secret, nil
}
