package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Stage is how far a connection attempt came.
type Stage string

// The stages of a connection.
const (
	StageDial    Stage = "dial"
	StageTLS     Stage = "tls"
	StageSASL    Stage = "sasl"
	StageRequest Stage = "request"
)

// ConnectError says which broker could not be reached, how far it went and what
// to do next.
type ConnectError struct {
	Addr  string
	Stage Stage
	Err   error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("connect to kafka broker %s: %s: %v; %s", e.Addr, e.Stage, e.Err, e.advice())
}

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

func (e *ConnectError) advice() string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(e.Err, &unknown):
		return "set kafka.tls.ca_file to the PEM file of the authority that signed the broker's certificate"
	case errors.As(e.Err, &host):
		return "set kafka.tls.server_name to a name in the broker's certificate, or use that name in kafka.brokers"
	case errors.As(e.Err, &record):
		return "this listener speaks no TLS: set kafka.tls.enabled: false or use the TLS listener's port"
	case errors.As(e.Err, &op) && op.Op == "remote error": // a TLS alert, in TLS 1.3 as late as the first read
		return "the broker refused our certificate: set kafka.tls.cert_file and kafka.tls.key_file to one it trusts"
	case errors.Is(e.Err, kafka.SASLAuthenticationFailed):
		return "the broker refused this user and password: check kafka.sasl.user and the password's file or variable"
	case errors.Is(e.Err, kafka.UnsupportedSASLMechanism):
		return "set kafka.sasl.mechanism to one that the listener offers"
	case e.Stage == StageDial:
		return "check that the broker runs and that kafka.brokers names its listener"
	case e.Stage == StageTLS && broken(e.Err):
		return "the listener closed the connection: it may speak no TLS; set kafka.tls.enabled: false or use the TLS listener's port"
	case e.Stage == StageSASL && broken(e.Err):
		return "the listener closed the connection: it may want TLS or no SASL; check kafka.tls, kafka.sasl and the port"
	case e.Stage == StageRequest && broken(e.Err):
		return "the listener closed the connection: it may want TLS or SASL, or be older than Kafka 3.1; check kafka.tls, kafka.sasl and the port"
	}
	return "check kafka.brokers, kafka.tls and kafka.sasl"
}

// UnreachableError says that no broker answered, with one line per address.
type UnreachableError struct {
	Addrs []string
	Errs  []error
}

func (e *UnreachableError) Error() string {
	lines := make([]string, len(e.Errs))
	for i, err := range e.Errs {
		lines[i] = err.Error()
	}
	return fmt.Sprintf("reach kafka at %s: no broker answered:\n  %s", strings.Join(e.Addrs, ", "), strings.Join(lines, "\n  "))
}

// Unwrap returns the cause for each address.
func (e *UnreachableError) Unwrap() []error { return e.Errs }

// link is everything needed to talk to one cluster.
type link struct {
	cfg       Config
	addr      net.Addr
	client    *kafka.Client
	transport *kafka.Transport
	tls       *tls.Config
	sasl      sasl.Mechanism

	mu  sync.Mutex
	raw *rawConn // to any broker, reused; nil when the last one broke
}

// open checks the configuration and prepares connections; it makes none.
func open(cfg Config) (*link, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validateConnection(); err != nil {
		return nil, err
	}
	l := &link{cfg: cfg, addr: kafka.TCP(cfg.Brokers...)}
	var err error
	if l.tls, err = cfg.TLS.config(); err != nil {
		return nil, err
	}
	if l.sasl, err = cfg.SASL.mechanism(); err != nil {
		return nil, err
	}
	l.transport = l.newTransport(nil)
	l.client = &kafka.Client{Addr: l.addr, Transport: l.transport, Timeout: clientTimeout}
	return l, nil
}

// clientTimeout is longer than any deadline that a caller sets: kafka-go derives
// the broker's produce timeout from it, and uses half a second when it is 0.
const clientTimeout = 5 * time.Minute

// metadataTTL is how long kafka-go routes by what it knew of the cluster.
const metadataTTL = time.Second

// newTransport makes a pool of connections that knows the named topics; nil are
// all.
func (l *link) newTransport(topics []string) *kafka.Transport {
	return &kafka.Transport{
		ClientID:       l.cfg.ClientID,
		DialTimeout:    dialTimeout,
		MetadataTTL:    metadataTTL,
		MetadataTopics: topics,
		TLS:            l.tls,
		SASL:           l.sasl,
	}
}

func (t TLS) config() (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read kafka.tls.ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read kafka.tls.ca_file: %s holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read kafka.tls.cert_file and key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (s SASL) mechanism() (sasl.Mechanism, error) {
	if s.Mechanism == "" {
		return nil, nil
	}
	secret, err := s.password()
	if err != nil {
		return nil, err
	}
	if s.Mechanism == Plain {
		return plain.Mechanism{Username: s.User, Password: secret}, nil
	}
	algorithm := scram.SHA256
	if s.Mechanism == ScramSHA512 {
		algorithm = scram.SHA512
	}
	m, err := scram.Mechanism(algorithm, s.User, secret)
	if err != nil { // the library's text quotes what it was given
		return nil, errors.New("check kafka.sasl: user or password has characters that SCRAM does not allow (RFC 4013)")
	}
	return m, nil
}

// dialSecure connects to one broker and finishes the TLS handshake, so that what
// fails is known by its stage.
func (l *link) dialSecure(ctx context.Context, addr string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &ConnectError{Addr: addr, Stage: StageDial, Err: err}
	}
	if l.tls == nil {
		return conn, nil
	}
	cfg := l.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(addr) // addr was dialled, so it splits
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(&ConnectError{Addr: addr, Stage: StageTLS, Err: err}, conn.Close())
	}
	return secure, nil
}

// ask sends a request to any broker, trying each bootstrap address in turn.
func (l *link) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.raw != nil {
		if res, err := l.raw.ask(ctx, req); err == nil {
			return res, nil
		}
		l.dropRaw()
	}
	unreachable := &UnreachableError{Addrs: l.cfg.Brokers}
	for _, addr := range l.cfg.Brokers {
		res, err := l.askFirst(ctx, addr, req)
		if err == nil {
			return res, nil
		}
		if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
			return nil, ctx.Err()
		}
		unreachable.Errs = append(unreachable.Errs, err)
	}
	return nil, unreachable
}

// askFirst connects to a broker, keeps the connection and sends a request.
func (l *link) askFirst(ctx context.Context, addr string, req kmsg.Request) (kmsg.Response, error) {
	raw, err := l.dialRaw(ctx, addr)
	if err != nil {
		return nil, err
	}
	res, err := raw.ask(ctx, req)
	if err != nil {
		return nil, errors.Join(&ConnectError{Addr: addr, Stage: StageRequest, Err: err}, raw.close())
	}
	l.raw = raw
	return res, nil
}

// askBroker sends a request to one broker on a connection of its own.
func (l *link) askBroker(ctx context.Context, addr string, req kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	raw, err := l.dialRaw(ctx, addr)
	if err != nil {
		return nil, err
	}
	res, err := raw.ask(ctx, req)
	return res, errors.Join(err, raw.close())
}

func (l *link) dropRaw() {
	if l.raw != nil {
		_ = l.raw.close() // it is broken or no longer needed
		l.raw = nil
	}
}

// close ends idle connections.
func (l *link) close() {
	l.transport.CloseIdleConnections()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropRaw()
}
