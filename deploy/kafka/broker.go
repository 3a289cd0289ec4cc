package kafka

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Options says what broker to run.
type Options struct {
	// Dir holds the broker's data, configuration and log. Required.
	Dir string
	// Secure adds two more listeners: one with TLS and SASL, one with mutual TLS.
	Secure *Secure
	// Properties are added to server.properties and override what is there.
	Properties map[string]string
}

// Secure is the one user that the SASL listener knows, by PLAIN, SCRAM-SHA-256
// and SCRAM-SHA-512.
type Secure struct{ User, Password string }

// Broker is a running broker.
type Broker struct {
	opts   Options
	libs   string
	ports  ports
	member member
	certs  certificates

	process *process
}

// member is a broker's place in its cluster.
type member struct {
	cluster string // its id
	node    int    // from 1 on
	voters  string // the controllers of all nodes
	nodes   int
}

// process is one life of the broker.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // how it ended, once exited is closed
}

// ports of the listeners.
type ports struct{ plain, controller, secure, mutual int }

const (
	stopTimeout  = 10 * time.Second
	readyTimeout = 60 * time.Second
	pollInterval = 50 * time.Millisecond
)

// Start formats a data directory and starts a broker in it, a cluster of one. It
// returns when the broker answers. The broker dies with this process at the
// latest.
func Start(ctx context.Context, opts Options) (*Broker, error) {
	nodes, err := prepare(ctx, opts, 1)
	if err != nil {
		return nil, err
	}
	if err := nodes[0].begin(ctx); err != nil {
		return nil, err
	}
	return nodes[0], nil
}

// prepare lays out a cluster: ports, jars and names, nothing on disk yet.
func prepare(ctx context.Context, opts Options, nodes int) ([]*Broker, error) {
	if opts.Dir == "" {
		return nil, errors.New("start kafka: Dir is empty: name a directory for its data")
	}
	if err := Available(); err != nil {
		return nil, err
	}
	libs, err := jars(ctx)
	if err != nil {
		return nil, err
	}
	free, err := freePorts(nodes)
	if err != nil {
		return nil, err
	}
	cluster, voters := clusterID(), make([]string, nodes)
	for i, p := range free {
		voters[i] = fmt.Sprintf("%d@%s", i+1, loopback(p.controller))
	}
	out := make([]*Broker, nodes)
	for i, p := range free {
		out[i] = &Broker{opts: opts, libs: libs, ports: p, member: member{cluster, i + 1, strings.Join(voters, ","), nodes}}
	}
	return out, nil
}

// begin is the broker's first start.
func (b *Broker) begin(ctx context.Context) (err error) {
	if err := os.MkdirAll(b.opts.Dir, 0o755); err != nil {
		return fmt.Errorf("create kafka's directory: %w", err)
	}
	if b.opts.Secure != nil {
		if b.certs, err = makeCertificates(b.opts.Dir); err != nil {
			return err
		}
	}
	if err := os.WriteFile(b.properties(), b.config(), 0o600); err != nil {
		return fmt.Errorf("write kafka's configuration: %w", err)
	}
	if err := b.format(ctx); err != nil {
		return err
	}
	return b.start(ctx)
}

// Addr is the plaintext listener.
func (b *Broker) Addr() string { return loopback(b.ports.plain) }

// SecureAddr is the listener with TLS and SASL.
func (b *Broker) SecureAddr() string { return loopback(b.ports.secure) }

// MutualAddr is the listener that asks for a client certificate.
func (b *Broker) MutualAddr() string { return loopback(b.ports.mutual) }

// CAFile is the PEM file of the authority behind the broker's certificate.
func (b *Broker) CAFile() string { return b.certs.ca }

// ClientFiles are the PEM files of a certificate that MutualAddr accepts.
func (b *Broker) ClientFiles() (cert, key string) { return b.certs.clientCert, b.certs.clientKey }

// Kill ends the broker with SIGKILL.
func (b *Broker) Kill() error {
	if err := b.process.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill kafka: %w", err)
	}
	<-b.process.exited
	return nil
}

// Restart starts the broker again, on the same addresses and data, after Kill or
// Stop.
func (b *Broker) Restart(ctx context.Context) error { return b.start(ctx) }

// Stop ends the broker: SIGTERM, and SIGKILL if that takes too long.
func (b *Broker) Stop() error {
	if err := b.process.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop kafka: %w", err)
	}
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	select {
	case <-b.process.exited:
		return nil
	case <-patience.C:
		return b.Kill()
	}
}

func (b *Broker) properties() string { return filepath.Join(b.opts.Dir, "server.properties") }

func (b *Broker) logFile() string { return filepath.Join(b.opts.Dir, "kafka.log") }

// format prepares the data directory and adds the user.
func (b *Broker) format(ctx context.Context) error {
	args := []string{"-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(b.libs, "*"),
		"kafka.tools.StorageTool", "format", "-t", b.member.cluster, "-c", b.properties()}
	if s := b.opts.Secure; s != nil {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, s.User, s.Password))
		}
	}
	if out, err := exec.CommandContext(ctx, "java", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("format kafka's data: %w:\n%s", err, tail(out))
	}
	return nil
}

func (b *Broker) start(ctx context.Context) error {
	out, err := os.OpenFile(b.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open kafka's log: %w", err)
	}
	defer out.Close()
	// Not bound to ctx: the broker outlives the start.
	cmd := exec.Command("java", b.flags()...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = processAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start kafka: %w", err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	b.process = p
	return b.awaitReady(ctx)
}

// flags are the arguments of java. Nodes of a cluster are compiled quickly rather
// than well, since three of them start at once and nobody measures them.
func (b *Broker) flags() []string {
	out := []string{"-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:ActiveProcessorCount=2", "-XX:-UsePerfData",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(b.libs, "*")}
	if b.member.nodes > 1 {
		out = append(out, "-XX:TieredStopAtLevel=1")
	}
	return append(out, "kafka.Kafka", b.properties())
}

// awaitReady asks until the broker knows of a controller and of itself.
func (b *Broker) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := b.await(ctx, b.ports.plain); err != nil {
		return errors.Join(err, b.Kill())
	}
	return nil
}

// await asks until the broker knows of a controller and of the brokers at ports.
func (b *Broker) await(ctx context.Context, ports ...int) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := probe(ctx, b.Addr(), ports...)
		if err == nil {
			return nil
		}
		select {
		case <-b.process.exited:
			return fmt.Errorf("start kafka: it ended (%v):\n%s", b.process.err, b.logTail())
		case <-ctx.Done():
			return fmt.Errorf("start kafka: not ready: %w; last answer: %w:\n%s", ctx.Err(), err, b.logTail())
		case <-tick.C:
		}
	}
}

func (b *Broker) running() bool {
	select {
	case <-b.process.exited:
		return false
	default:
		return true
	}
}

func (b *Broker) logTail() []byte {
	out, err := os.ReadFile(b.logFile())
	if err != nil {
		return []byte(err.Error())
	}
	return tail(bytes.ToValidUTF8(out, nil))
}

// clusterID is a fresh id in Kafka's own form: 16 bytes, URL-safe base64.
func clusterID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails, as documented
	raw[0] &= 0x7f           // an id that starts with "-" would be taken for an option
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// freePorts takes four ports per node that nobody listens on.
func freePorts(nodes int) ([]ports, error) {
	out := make([]ports, nodes)
	for i := range out {
		p := &out[i]
		for _, port := range []*int{&p.plain, &p.controller, &p.secure, &p.mutual} {
			ln, err := net.Listen("tcp", loopback(0))
			if err != nil {
				return nil, fmt.Errorf("find a free port: %w", err)
			}
			defer ln.Close() // held until all are known, so that they differ
			*port = ln.Addr().(*net.TCPAddr).Port
		}
	}
	return out, nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
