package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"gatehouse/deploy/embedded"
	real "gatehouse/deploy/kafka"
)

// A test that waits longer than this for something has failed.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		child(spec)
	}
	code := m.Run()
	for _, end := range []func() error{broker.stop, threeNodes.stop} {
		if err := end(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

const user, password = "alice", "correct-horse"

// shared is something that the first test that asks for it starts, and that
// lives until the last has run.
type shared[T interface{ Stop() error }] struct {
	start func(dir string) (T, error)
	once  sync.Once
	dir   string
	got   T
	err   error
	up    bool
}

func (s *shared[T]) get() (T, error) {
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "gatehouse-kafka-"); s.err != nil {
			return
		}
		s.got, s.err = s.start(s.dir)
		s.up = s.err == nil
	})
	return s.got, s.err
}

func (s *shared[T]) stop() error {
	if !s.up {
		return os.RemoveAll(s.dir)
	}
	return errors.Join(s.got.Stop(), os.RemoveAll(s.dir))
}

var (
	broker = &shared[*real.Broker]{start: func(dir string) (*real.Broker, error) {
		return real.Start(context.Background(), real.Options{
			Dir: dir, Secure: &real.Secure{User: user, Password: password},
			// Everybody may do everything, except with what a test makes rules for.
			Properties: map[string]string{
				"authorizer.class.name":          "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
				"super.users":                    "User:ANONYMOUS",
				"allow.everyone.if.no.acl.found": "true",
			},
		})
	}}
	threeNodes = &shared[*real.Cluster]{start: func(dir string) (*real.Cluster, error) {
		return real.StartCluster(context.Background(), real.ClusterOptions{Dir: dir})
	}}
)

// requireBroker returns the one Apache Kafka broker of this test run. Without a
// JDK or Maven the test is skipped, except in CI, where that is a failure.
func requireBroker(t testing.TB) *real.Broker { return require(t, broker) }

// requireThreeNodes is requireBroker for the one cluster of this test run. What an
// earlier test killed lives again.
func requireThreeNodes(t testing.TB) *real.Cluster {
	t.Helper()
	nodes := require(t, threeNodes)
	if err := nodes.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	return nodes
}

func require[T interface{ Stop() error }](t testing.TB, s *shared[T]) T {
	t.Helper()
	real.Require(t)
	got, err := s.get()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// backend is a kind of broker that a conformance case runs on.
type backend struct {
	name  string
	start func(t *testing.T) (addr string)
}

var backends = []backend{
	{"kfake", func(t *testing.T) string {
		e, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), NoClickHouse: true, KafkaAddr: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		return e.Kafka()
	}},
	{"kafka", func(t *testing.T) string { return requireBroker(t).Addr() }},
}

// onEach runs a case on every backend.
func onEach(t *testing.T, run func(t *testing.T, k *cluster)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) { run(t, newCluster(t, b.start(t))) })
	}
}

// cluster is a broker with a topic and a group of the test's own.
type cluster struct {
	t     testing.TB
	cfg   Config
	topic string
	admin *Admin
	out   *Producer
}

var names atomic.Int64

func newCluster(t testing.TB, addrs ...string) *cluster {
	t.Helper()
	base := strings.NewReplacer("/", "-", "#", "-").Replace(t.Name())
	name := fmt.Sprintf("%s-%d-%d", base, os.Getpid(), names.Add(1))
	k := &cluster{t: t, topic: name, cfg: Config{
		Brokers: addrs, Topics: []string{name}, Group: name, SessionTimeout: 6 * time.Second, DrainTimeout: 10 * time.Second,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	var err error
	if k.admin, err = NewAdmin(k.cfg); err != nil {
		t.Fatal(err)
	}
	if k.out, err = NewProducer(k.cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.admin.Close(); k.out.Close() })
	return k
}

// withTopic makes the topic. It keeps records however old they say they are:
// the broker looks for old ones every second.
func (k *cluster) withTopic(partitions int) *cluster {
	k.t.Helper()
	if err := k.admin.EnsureTopic(k.t.Context(), k.topic, partitions, map[string]string{"retention.ms": "-1"}); err != nil {
		k.t.Fatal(err)
	}
	return k
}

// configure sets one setting of the topic and waits until the broker says it.
func (k *cluster) configure(name, value string) {
	k.t.Helper()
	topic := kafka.ResourceTypeTopic
	res, err := k.admin.link.client.IncrementalAlterConfigs(k.t.Context(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: topic, ResourceName: k.topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet}},
		}},
	})
	if err == nil && len(res.Resources) == 1 {
		err = res.Resources[0].Error
	}
	if err != nil {
		k.t.Fatal(err)
	}
	until(k.t, "the setting", func() bool {
		res, err := k.admin.link.client.DescribeConfigs(k.t.Context(), &kafka.DescribeConfigsRequest{
			Resources: []kafka.DescribeConfigRequestResource{{ResourceType: topic, ResourceName: k.topic, ConfigNames: []string{name}}},
		})
		return err == nil && len(res.Resources) == 1 && len(res.Resources[0].ConfigEntries) == 1 && res.Resources[0].ConfigEntries[0].ConfigValue == value
	})
}

// write appends count numbered records to a partition, from number first on.
func (k *cluster) write(partition int32, first, count int) {
	k.t.Helper()
	msgs := make([]Message, count)
	for i := range msgs {
		msgs[i] = Message{Value: fmt.Appendf(nil, "record %d", first+i)}
	}
	if err := k.out.AppendTo(k.t.Context(), k.topic, partition, msgs...); err != nil {
		k.t.Fatal(err)
	}
}

// deleteTopic removes the topic and waits until the broker no longer knows it.
func (k *cluster) deleteTopic() {
	k.t.Helper()
	res, err := k.admin.link.client.DeleteTopics(k.t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{k.topic}})
	if err == nil {
		err = res.Errors[k.topic]
	}
	if err != nil {
		k.t.Fatal(err)
	}
	until(k.t, "the topic to be gone", func() bool {
		t, err := k.admin.link.topology(k.t.Context(), []string{k.topic})
		return err == nil && t.topics[k.topic].err != nil
	})
}

// until polls for something that no signal tells.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// take receives from a channel, but not for ever.
func take[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// running is a consumer at work.
type running struct {
	t      testing.TB
	cancel context.CancelFunc
	done   chan error
}

// consume runs a consumer until stop.
func (k *cluster) consume(cfg Config, handler func(context.Context, *Partition) error) *running {
	k.t.Helper()
	c, err := NewConsumer(cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	return k.run(c, handler)
}

// run runs a consumer until stop.
func (k *cluster) run(c *Consumer, handler func(context.Context, *Partition) error) *running {
	ctx, cancel := context.WithCancel(k.t.Context())
	r := &running{k.t, cancel, make(chan error, 1)}
	go func() {
		err := c.Run(ctx, handler)
		if err != nil { // a test that waits for something else would not tell
			k.cfg.Log.Error("consumer ended", "error", err)
		}
		r.done <- err
	}()
	return r
}

// stop cancels the consumer and expects a clean end.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	if err := take(r.t, "the consumer to stop", r.done); err != nil {
		r.t.Fatal(err)
	}
}

// onPartition runs one consumer whose handler of one partition is inspect, and
// returns what inspect returned.
func (k *cluster) onPartition(inspect func(ctx context.Context, p *Partition) error) {
	k.t.Helper()
	got := make(chan error, 1)
	r := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
		err := inspect(ctx, p)
		select {
		case got <- err:
		default:
		}
		return nil
	})
	if err := take(k.t, "the handler", got); err != nil {
		k.t.Error(err)
	}
	r.stop()
}
