package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Admin answers questions about a cluster and creates topics.
type Admin struct{ link *link }

// NewAdmin checks the configuration. It connects to nothing.
func NewAdmin(cfg Config) (*Admin, error) {
	l, err := open(cfg)
	if err != nil {
		return nil, err
	}
	return &Admin{link: l}, nil
}

// Close ends the connections.
func (a *Admin) Close() { a.link.close() }

// EnsureTopic creates a topic unless it exists, and waits until every broker that
// answers knows it; one that exists is left as it is. Replication is the cluster's
// default. configs are topic settings such as retention.ms.
func (a *Admin) EnsureTopic(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	t, err := a.link.topology(ctx, []string{topic})
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	if found, ok := t.topics[topic]; ok && !errors.Is(found.err, codeUnknownTopic) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	spec := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: -1}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		spec.ConfigEntries = append(spec.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: configs[name]})
	}
	res, err := a.link.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{spec}})
	if err == nil {
		err = res.Errors[topic]
	}
	switch {
	case errors.Is(err, kafka.TopicAlreadyExists): // by somebody else, just now
		return nil
	case errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.ClusterAuthorizationFailed):
		return fmt.Errorf("create topic %s: %w: give this user CREATE, or have the topic created by an operator", topic, err)
	case err != nil:
		return fmt.Errorf("create topic %s with %d partitions: %w", topic, partitions, err)
	}
	return a.awaitTopic(ctx, topic, t.brokers)
}

// awaitTopic waits until each of the brokers knows the topic. Brokers that do not
// answer are left out: they learn of it when they start.
func (a *Admin) awaitTopic(ctx context.Context, topic string, brokers map[int32]string) error {
	for _, addr := range brokers {
		var retry backoff
		for {
			res, err := a.link.askBroker(ctx, addr, metadataRequest([]string{topic}))
			if err != nil {
				break
			}
			if found := readTopology(res.(*kmsg.MetadataResponse)).topics[topic]; found.err == nil || !passing(found.err) {
				break
			}
			if err := retry.pause(ctx); err != nil {
				return fmt.Errorf("create topic %s: made, but not known to %s: %w", topic, addr, err)
			}
		}
	}
	return nil
}

// Description is what `gatehouse doctor` shows of a cluster.
type Description struct {
	Cluster string
	Brokers []BrokerState
	Topics  []TopicState
}

// BrokerState is one broker of the cluster.
type BrokerState struct {
	ID   int32
	Addr string // as the broker advertises itself
}

// TopicState is one topic and how far the group has come in it.
type TopicState struct {
	Name       string
	ID         string // 32 hex digits
	Err        error  // why nothing more is known, such as a missing topic
	Partitions []PartitionState
}

// PartitionState is one partition and how far the group has come in it.
type PartitionState struct {
	ID         int32
	Leader     int32
	First, End int64 // the first offset, and the one behind the last
	Committed  int64 // of Config.Group, or -1
	Metadata   string
	Lag        int64 // records between Committed (or First) and End
}

// Describe asks for the brokers, the topics of the Config (all but internal ones
// when it names none), their offsets and the offsets of the Config's group.
func (a *Admin) Describe(ctx context.Context) (Description, error) {
	names := a.link.cfg.Topics
	if len(names) == 0 {
		names = nil
	}
	t, err := a.link.topology(ctx, names)
	if err != nil {
		return Description{}, err
	}
	d := Description{Cluster: t.cluster}
	for id, addr := range t.brokers {
		d.Brokers = append(d.Brokers, BrokerState{id, addr})
	}
	slices.SortFunc(d.Brokers, func(a, b BrokerState) int { return cmp.Compare(a.ID, b.ID) })
	for _, name := range slices.Sorted(maps.Keys(t.topics)) {
		if found := t.topics[name]; !found.internal || names != nil {
			d.Topics = append(d.Topics, a.describeTopic(ctx, name, found))
		}
	}
	return d, nil
}

func (a *Admin) describeTopic(ctx context.Context, name string, found topic) TopicState {
	s := TopicState{Name: name, ID: found.id, Err: found.err}
	if s.Err != nil {
		return s
	}
	committed := map[int32]storedOffset{}
	if a.link.cfg.Group != "" {
		if committed, s.Err = a.link.groupOffsets(ctx, name, found.partitions); s.Err != nil {
			return s
		}
	}
	for _, id := range slices.Sorted(slices.Values(found.partitions)) {
		p := PartitionState{ID: id, Leader: found.leaders[id], Committed: -1}
		if p.First, p.End, s.Err = a.link.bounds(ctx, name, id); s.Err != nil {
			return s
		}
		if stored, ok := committed[id]; ok {
			p.Committed = stored.offset
			_, p.Metadata = splitMetadata(stored.metadata)
		}
		p.Lag = max(0, p.End-max(p.Committed, p.First))
		s.Partitions = append(s.Partitions, p)
	}
	return s
}

// coordinatorTries is how often offsets are asked for while the group's
// coordinator is being found.
const coordinatorTries = 20

// groupOffsets are the group's offsets in one topic.
func (l *link) groupOffsets(ctx context.Context, topic string, partitions []int32) (map[int32]storedOffset, error) {
	wanted := map[string][]int{topic: nil}
	for _, p := range partitions {
		wanted[topic] = append(wanted[topic], int(p))
	}
	var retry backoff
	for try := 1; ; try++ {
		stored, err := l.storedOffsets(ctx, wanted)
		if err == nil {
			out := map[int32]storedOffset{}
			for _, s := range stored {
				out[s.partition] = s
			}
			return out, nil
		}
		if !passing(err) || try == coordinatorTries {
			return nil, err
		}
		if err := retry.pause(ctx); err != nil {
			return nil, err
		}
	}
}
