package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// config is gatehouse.yaml: one strict file. The zero value of every field is
// its default; a member that is not here is an error.
type config struct {
	// DataDir holds the embedded engines, the fingerprint keys and their lock.
	DataDir string `yaml:"data_dir"`
	// Listen is the address of /metrics, /healthz and /readyz.
	Listen     string           `yaml:"listen"`
	Log        logConfig        `yaml:"log"`
	Kafka      kafkaConfig      `yaml:"kafka"`
	ClickHouse clickhouseConfig `yaml:"clickhouse"`
	Redaction  redactionConfig  `yaml:"redaction"`
	Ingest     ingestConfig     `yaml:"ingest"`
	Rules      rulesConfig      `yaml:"rules"`
	Slack      slackConfig      `yaml:"slack"`
}

type logConfig struct {
	Level  string `yaml:"level"`  // debug, info (default), warn, error
	Format string `yaml:"format"` // text (default), json
}

type kafkaConfig struct {
	// Brokers are host:port addresses. Empty starts the embedded broker.
	Brokers []string `yaml:"brokers"`
	// Listen is the loopback address of the embedded broker.
	Listen string `yaml:"listen"`
	// Topics to ingest, each with the source type of its records ("" = by the
	// record's header, else by its look).
	Topics map[string]string `yaml:"topics"`
	// Group is the consumer group. InstanceID makes this process a static member
	// of it, which a restart does not rebalance.
	Group          string        `yaml:"group"`
	InstanceID     string        `yaml:"instance_id"`
	SessionTimeout time.Duration `yaml:"session_timeout"`
	// FeedTopic carries redacted events from --role ingest to --role detect. "-" =
	// nobody detects, and ingest need not write them a second time.
	FeedTopic string     `yaml:"feed_topic"`
	TLS       tlsConfig  `yaml:"tls"`
	SASL      saslConfig `yaml:"sasl"`
}

type tlsConfig struct {
	Enabled    bool   `yaml:"enabled"`
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

type saslConfig struct {
	Mechanism    string `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
}

type clickhouseConfig struct {
	// URL is the HTTP address of a server. Empty starts the embedded engine.
	URL          string `yaml:"url"`
	Listen       string `yaml:"listen"` // loopback address of the embedded engine
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	CAFile       string `yaml:"ca_file"`
	Compression  string `yaml:"compression"` // of inserts: lz4, none, "" = lz4 except to this machine
}

type redactionConfig struct {
	KeyFile string `yaml:"key_file"` // default: keys.yaml in data_dir
}

type ingestConfig struct {
	FlushInterval time.Duration `yaml:"flush_interval"`
	BatchEvents   int           `yaml:"batch_events"`
	BatchBytes    int           `yaml:"batch_bytes"`
	Memory        int           `yaml:"memory_bytes"` // of the batches of all partitions
}

type rulesConfig struct {
	Dir string `yaml:"dir"` // rules of your own, beside the built-in ones
}

type slackConfig struct {
	TokenFile string `yaml:"token_file"`
	TokenEnv  string `yaml:"token_env"` // default GATEHOUSE_SLACK_TOKEN
	Channel   string `yaml:"channel"`   // channel id, such as C0123456789
	APIURL    string `yaml:"api_url"`

	fixed string // the token of the demo's stand-in, which is no secret
}

// Defaults of config.
const (
	defaultListen           = "127.0.0.1:9470"
	defaultKafkaListen      = "127.0.0.1:19092"
	defaultClickHouseListen = "127.0.0.1:18123"
	defaultTopic            = "gateway-logs"
	defaultGroup            = "gatehouse"
	defaultFeedTopic        = "gatehouse-feed"
	noFeed                  = "-" // kafka.feed_topic of an ingester that nobody listens to
	defaultSlackTokenEnv    = "GATEHOUSE_SLACK_TOKEN"
	configFileName          = "gatehouse.yaml"
)

// loadConfig reads path, or gives the defaults when path is "".
func loadConfig(path string) (config, error) {
	var c config
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return config{}, usageError{fmt.Errorf("read configuration: %w", err)}
		}
		if c, err = parseConfig(path, text); err != nil {
			return config{}, usageError{err}
		}
	}
	return c.withDefaults()
}

func parseConfig(path string, text []byte) (config, error) {
	var c config
	err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&c)
	if err != nil && !errors.Is(err, io.EOF) {
		return config{}, fmt.Errorf("read configuration %s: %s", path, yamlError(err))
	}
	return c, c.validate(path)
}

// yamlError keeps of a YAML error the place and the reason. The line itself is
// not shown: it may hold a password that was put where it does not belong.
func yamlError(err error) string {
	return strings.TrimSpace(yaml.FormatError(err, false, false))
}

func (c *config) validate(path string) error {
	bad := func(field, value, want string) error {
		return fmt.Errorf("read configuration %s: field %s: %q: want %s", path, field, value, want)
	}
	switch {
	case !oneOf(c.Log.Level, "", "debug", "info", "warn", "error"):
		return bad("log.level", c.Log.Level, "debug, info, warn or error")
	case !oneOf(c.Log.Format, "", "text", "json"):
		return bad("log.format", c.Log.Format, "text or json")
	case !oneOf(c.ClickHouse.Compression, "", "lz4", "none"):
		return bad("clickhouse.compression", c.ClickHouse.Compression, "lz4 or none")
	case c.Slack.Channel != "" && !strings.ContainsAny(c.Slack.Channel[:1], "CGD"):
		return bad("slack.channel", c.Slack.Channel, "a channel id such as C0123456789 (in Slack: the channel's name, then About)")
	case c.Ingest.FlushInterval < 0:
		return bad("ingest.flush_interval", c.Ingest.FlushInterval.String(), "a positive duration")
	}
	for _, l := range [][2]string{{"listen", c.Listen}, {"kafka.listen", c.Kafka.Listen}, {"clickhouse.listen", c.ClickHouse.Listen}} {
		if _, port, err := net.SplitHostPort(l[1]); l[1] != "" && (err != nil || !isPort(port)) {
			return bad(l[0], l[1], "host:port such as 127.0.0.1:9470")
		}
	}
	for _, b := range c.Kafka.Brokers {
		if !strings.Contains(b, ":") {
			return bad("kafka.brokers", b, "host:port")
		}
	}
	return nil
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func oneOf(s string, values ...string) bool {
	for _, v := range values {
		if s == v {
			return true
		}
	}
	return false
}

func (c config) withDefaults() (config, error) {
	if c.DataDir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return config{}, usageError{fmt.Errorf("find a data directory: %w: set data_dir in %s", err, configFileName)}
		}
		c.DataDir = filepath.Join(home, ".local", "share", "gatehouse")
	}
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	set(&c.Listen, defaultListen)
	set(&c.Kafka.Listen, defaultKafkaListen)
	set(&c.Kafka.Group, defaultGroup)
	set(&c.Kafka.FeedTopic, defaultFeedTopic)
	set(&c.ClickHouse.Listen, defaultClickHouseListen)
	set(&c.Redaction.KeyFile, c.defaultKeyFile())
	set(&c.Slack.TokenEnv, defaultSlackTokenEnv)
	if len(c.Kafka.Topics) == 0 {
		c.Kafka.Topics = map[string]string{defaultTopic: ""}
	}
	return c, nil
}

func (c config) defaultKeyFile() string { return filepath.Join(c.DataDir, "keys.yaml") }

// secret reads a secret from a file or else from an environment variable; both
// may be unset. The trailing line break of a file is not part of it.
func secret(field, file, env string) (string, error) {
	if file == "" {
		return os.Getenv(env), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", usageError{fmt.Errorf("read %s: %w", field, err)}
	}
	s := strings.TrimRight(string(text), "\r\n")
	if s == "" {
		return "", usageError{fmt.Errorf("read %s: %s is empty", field, file)}
	}
	return s, nil
}

// logger makes the process's log as configured.
func (c logConfig) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
