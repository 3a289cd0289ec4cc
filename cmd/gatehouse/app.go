package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"gatehouse/alert"
	"gatehouse/alert/slack"
	"gatehouse/deploy/embedded"
	"gatehouse/ingest"
	"gatehouse/ingest/stream"
	"gatehouse/rules"
	"gatehouse/store"
)

// app is one running gatehouse: what run, demo and bench share. Its parts are
// made by start in the order in which they need one another and closed in the
// reverse order.
type app struct {
	cfg      config
	role     string
	con      *console
	log      *slog.Logger
	registry *prometheus.Registry
	ready    *readiness
	printTo  io.Writer // where incidents go without Slack

	engines         *embedded.Engines
	db              *store.DB
	ops             *operations
	rules           rules.Set
	missing, stored string // what to do when acknowledged and stored differ, see guard
	guard           *guard
	standing        *standingAudit
	ingester        *ingest.Ingester
	consumer        *stream.Consumer
	feed            *feed
	feedConsumer    *stream.Consumer
	detection       *detection
	manager         *alert.Manager
	alerting        *alerting

	duties []*duty
	stops  []stop
}

// stop is one thing to close, by name.
type stop struct {
	name string
	run  func() error
}

// Roles of a process: the whole pipeline or one loop of it.
const (
	roleAll    = "all"
	roleIngest = "ingest"
	roleDetect = "detect"
	roleAlert  = "alert"
)

// has says whether this process runs a loop.
func (a *app) has(role string) bool { return a.role == roleAll || a.role == role }

// start makes the parts. It is one straight line, because the order is the
// design: engines, then the store, then who writes to it, last who reads Kafka.
func (a *app) start(ctx context.Context) error {
	a.registry = newRegistry()
	a.ready = newReadiness("store")
	var err error
	if a.rules, err = loadRules(a.cfg.Rules.Dir); err != nil {
		return err
	}
	if err := a.startEngines(ctx); err != nil {
		return err
	}
	if err := a.startStore(ctx); err != nil {
		return err
	}
	if a.ops, err = newOperations(a.cfg.Listen, a.registry, a.ready); err != nil {
		return err
	}
	a.onStop("operations", a.ops.close)
	if err := a.takeDuties(ctx); err != nil {
		return err
	}
	if a.has(roleAlert) {
		if err := a.startAlerting(ctx); err != nil {
			return err
		}
	}
	if a.has(roleDetect) {
		if a.detection, err = a.startDetection(ctx); err != nil {
			return err
		}
	}
	if a.has(roleIngest) {
		if err := a.startIngest(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) onStop(name string, run func() error) { a.stops = append(a.stops, stop{name, run}) }

// close stops the parts, last made first. Each is tried, whatever the others do.
func (a *app) close() error {
	var errs []error
	for _, s := range slices.Backward(a.stops) {
		if err := s.run(); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", s.name, err))
		}
	}
	a.stops = nil
	return errors.Join(errs...)
}

// startEngines starts the embedded engines for whatever has no address.
func (a *app) startEngines(ctx context.Context) error {
	withKafka, withClickHouse := len(a.cfg.Kafka.Brokers) == 0 && a.has(roleIngest), a.cfg.ClickHouse.URL == ""
	if !withKafka && !withClickHouse {
		return nil
	}
	if a.role != roleAll {
		return usageError{fmt.Errorf("role %s needs services to meet the other roles at: set kafka.brokers and clickhouse.url in %s, or run without --role", a.role, configFileName)}
	}
	topics := map[string]int32{}
	for name := range a.cfg.Kafka.Topics {
		topics[name] = embeddedPartitions
	}
	engines, err := embedded.Start(ctx, embedded.Config{
		Dir: a.cfg.DataDir, ClickHouseAddr: a.cfg.ClickHouse.Listen, KafkaAddr: a.cfg.Kafka.Listen,
		NoKafka: !withKafka, NoClickHouse: !withClickHouse, Topics: topics,
		Progress: a.con.err, Log: a.log.With("component", "embedded"),
	})
	if err != nil {
		return portTaken(err, "kafka.listen or clickhouse.listen")
	}
	a.engines = engines
	a.onStop("embedded engines", engines.Close)
	if withKafka {
		a.cfg.Kafka.Brokers = []string{engines.Kafka()}
		if a.cfg.Kafka.InstanceID == "" {
			// The only member there can be: after a kill it is back at once, and
			// need not wait for its own session to expire.
			a.cfg.Kafka.InstanceID = "embedded"
		}
	}
	return nil
}

// embeddedPartitions is how many partitions the embedded broker gives a topic:
// one per core of a laptop that is used by other things too.
const embeddedPartitions = 2

// startStore opens ClickHouse. The embedded schema is brought up to date; a
// server's is only checked, since who may migrate it is its owner's business.
func (a *app) startStore(ctx context.Context) error {
	var conf store.Config
	var err error
	if a.cfg.ClickHouse.URL == "" {
		conf = embeddedStore(a.engines)
	} else if conf, err = a.cfg.ClickHouse.store(); err != nil {
		return err
	}
	conf.Log, conf.Metrics = a.log.With("component", "store"), a.registry
	if a.db, err = store.Open(ctx, conf); err != nil {
		return err
	}
	a.onStop("store", a.db.Close)
	if a.cfg.ClickHouse.URL == "" {
		if _, err := a.db.Migrate(ctx); err != nil {
			return err
		}
	}
	if err := a.db.Check(ctx); err != nil {
		return err
	}
	a.ready.set("store")
	return nil
}

// takeDuties makes sure that this process alone detects and tells. The embedded
// engine has one process anyway.
func (a *app) takeDuties(ctx context.Context) error {
	if a.cfg.ClickHouse.URL == "" {
		return nil
	}
	for _, role := range []string{roleDetect, roleAlert} {
		if !a.has(role) {
			continue
		}
		d, err := newDuty(a, role)
		if err != nil {
			return err
		}
		if err := d.take(ctx); err != nil {
			return err
		}
		a.duties = append(a.duties, d)
		a.onStop("duty of role "+role, d.release)
	}
	return nil
}

// startAlerting restores the incidents from their journals.
func (a *app) startAlerting(ctx context.Context) error {
	notifier, channel, err := a.notifier()
	if err != nil {
		return err
	}
	incidents := store.NewTable(a.db, "incident_log", func(r alert.IncidentEvent) string {
		return fmt.Sprintf("incident:%s:%d", r.IncidentID, r.Seq)
	})
	deliveries := store.NewTable[alert.Delivery](a.db, "deliveries", nil)
	runbooks := map[string]*rules.Runbook{}
	for _, r := range a.rules.Rules() {
		runbooks[r.ID] = r.Runbook
	}
	a.manager, err = alert.New(alert.Config{
		Incidents: incidents, Deliveries: deliveries, Notifier: notifier, Channel: channel, Runbooks: runbooks,
		Samples: sampler{a.db}, Registerer: a.registry, Log: a.log.With("component", "alert"),
	})
	if err != nil {
		return err
	}
	a.alerting = newAlerting(a)
	return a.alerting.restore(ctx, incidents, deliveries)
}

// notifier is Slack, or the terminal when there is no token.
func (a *app) notifier() (alert.Notifier, string, error) {
	token, err := a.cfg.Slack.token()
	if err != nil {
		return nil, "", err
	}
	if token.IsZero() {
		return alert.NewPrinter(a.printTo, a.con.outIsTerm), "terminal", nil
	}
	if a.cfg.Slack.Channel == "" {
		return nil, "", usageError{fmt.Errorf("slack.channel is empty: set it in %s to the id of the channel for incidents, such as C0123456789", configFileName)}
	}
	client, err := slack.New(slack.Config{Token: token, APIURL: a.cfg.Slack.APIURL})
	return client, a.cfg.Slack.Channel, err
}

// token is the bot token of the configuration; the zero Token when there is none.
func (c slackConfig) token() (slack.Token, error) {
	if c.fixed != "" {
		return slack.NewToken(c.fixed)
	}
	if c.TokenFile != "" {
		token, err := slack.ReadToken(c.TokenFile)
		if err != nil {
			return slack.Token{}, usageError{err}
		}
		return token, nil
	}
	text, err := secret("slack.token_env", "", c.TokenEnv)
	if err != nil || text == "" {
		return slack.Token{}, err
	}
	return slack.NewToken(text)
}

func (a *app) startDetection(ctx context.Context) (*detection, error) {
	a.feed = newFeed()
	a.ready.add("detector")
	if !a.has(roleIngest) {
		if err := a.startFeedReader(ctx); err != nil {
			return nil, err
		}
	}
	return newDetection(a)
}

// addFeed adds where stored events go on to: the detector of this process, or a
// topic for the one in another, or nowhere.
func (a *app) addFeed(ctx context.Context, sinks []ingest.Sink) ([]ingest.Sink, error) {
	switch {
	case a.feed != nil:
		return append(sinks, a.feed), nil
	case a.cfg.Kafka.FeedTopic == noFeed:
		return sinks, nil
	}
	feed, err := a.startKafkaFeed(ctx)
	return append(sinks, feed), err
}

// startKafkaFeed is where an ingester of its own sends what it has stored.
func (a *app) startKafkaFeed(ctx context.Context) (*kafkaFeed, error) {
	conf := a.cfg.Kafka.stream()
	if err := ensureFeedTopic(ctx, conf, a.cfg.Kafka.FeedTopic); err != nil {
		return nil, err
	}
	conf.Log, conf.Metrics = a.log.With("component", "feed"), a.registry
	producer, err := stream.NewProducer(conf)
	if err != nil {
		return nil, err
	}
	a.onStop("feed", func() error { producer.Close(); return nil })
	return &kafkaFeed{producer, a.cfg.Kafka.FeedTopic, ctx, feedGrace}, nil
}

// startFeedReader is where a detector of its own gets its events.
func (a *app) startFeedReader(ctx context.Context) error {
	if a.cfg.Kafka.FeedTopic == noFeed {
		return usageError{fmt.Errorf("kafka.feed_topic is %q in %s: a detector in a process of its own needs a topic to read", noFeed, configFileName)}
	}
	conf := a.cfg.Kafka.stream()
	if err := ensureFeedTopic(ctx, conf, a.cfg.Kafka.FeedTopic); err != nil {
		return err
	}
	conf.Topics, conf.Group = []string{a.cfg.Kafka.FeedTopic}, conf.Group+"-detect"
	conf.Log, conf.Metrics = a.log.With("component", "feed"), a.registry
	var err error
	a.feedConsumer, err = stream.NewConsumer(conf)
	return err
}

func ensureFeedTopic(ctx context.Context, conf stream.Config, topic string) error {
	admin, err := stream.NewAdmin(conf)
	if err != nil {
		return err
	}
	defer admin.Close()
	return admin.EnsureTopic(ctx, topic, 1, nil)
}

// startIngest makes the loop that everything begins with.
func (a *app) startIngest(ctx context.Context) error {
	redactor, err := openRedactor(a.cfg, a.con)
	if err != nil {
		return err
	}
	ledger := a.db.Ledger()
	sinks := []ingest.Sink{ledger}
	if sinks, err = a.addFeed(ctx, sinks); err != nil {
		return err
	}
	gaps := store.NewTable(a.db, "ingest_gaps", func(g ingest.Gap) string {
		return fmt.Sprintf("gap:%s:%d:%d:%d:%s", g.TopicID, g.Partition, g.First, g.Last, g.Reason)
	})
	failpoint, err := plantedFailpoint()
	if err != nil {
		return err
	}
	a.ingester, err = ingest.New(ingest.Config{
		Redactor: redactor, Sinks: sinks, Gaps: gaps, Gateways: a.cfg.Kafka.Topics,
		FlushInterval: a.cfg.Ingest.FlushInterval, BatchEvents: a.cfg.Ingest.BatchEvents, BatchBytes: a.cfg.Ingest.BatchBytes, Memory: a.cfg.Ingest.Memory,
		Permanent: store.Permanent, Stored: ledger.Stored, Failpoint: failpoint, Log: a.log.With("component", "ingest"), Metrics: a.registry,
	})
	if err != nil {
		return err
	}
	a.guard = newGuard(a, gaps)
	if a.standing, err = newStandingAudit(a); err != nil {
		return err
	}
	conf := a.cfg.Kafka.stream()
	conf.Log, conf.Metrics = a.log.With("component", "stream"), a.registry
	a.consumer, err = stream.NewConsumer(conf)
	return err
}

// stream is the kafka section as the stream package takes it.
func (c kafkaConfig) stream() stream.Config {
	conf := stream.Config{
		Brokers: c.Brokers, Group: c.Group, InstanceID: c.InstanceID, SessionTimeout: c.SessionTimeout,
		TLS:  stream.TLS{Enabled: c.TLS.Enabled, CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile, ServerName: c.TLS.ServerName},
		SASL: stream.SASL{Mechanism: c.SASL.Mechanism, User: c.SASL.User, PasswordFile: c.SASL.PasswordFile, PasswordEnv: c.SASL.PasswordEnv},
	}
	if len(conf.Brokers) == 0 {
		conf.Brokers = []string{c.Listen}
	}
	for name := range c.Topics {
		conf.Topics = append(conf.Topics, name)
	}
	slices.Sort(conf.Topics)
	return conf
}

// run runs the loops until ctx ends or one of them fails.
func (a *app) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.ops.run(ctx) })
	for _, d := range a.duties {
		group.Go(func() error { return d.run(ctx) })
	}
	if a.alerting != nil {
		group.Go(func() error { return a.alerting.run(ctx) })
		group.Go(func() error { a.manager.Run(ctx); return nil })
	}
	if a.detection != nil {
		group.Go(func() error { return a.detection.run(ctx) })
	}
	if a.feedConsumer != nil {
		group.Go(func() error { return a.feedConsumer.Run(ctx, a.feed.readFeed) })
	}
	if a.consumer != nil {
		group.Go(func() error {
			return a.consumer.Run(ctx, a.ingest)
		})
		group.Go(func() error { return a.standing.run(ctx) })
	}
	return group.Wait()
}
