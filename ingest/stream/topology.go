package stream

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadataVersion is the first Metadata version that carries topic ids and takes
// topics by nullable name; Kafka has it since 3.1.
const metadataVersion = 12

// topology is what a broker knew of the cluster when it was asked.
type topology struct {
	cluster string
	brokers map[int32]string // id → host:port
	topics  map[string]topic
}

type topic struct {
	id         string  // 32 hex digits
	partitions []int32 // sorted as the broker lists them
	leaders    map[int32]int32
	internal   bool
	err        error
}

// topology asks a broker about the named topics, or about all for nil. A topic's
// own error is in it.
func (l *link) topology(ctx context.Context, names []string) (topology, error) {
	res, err := l.ask(ctx, metadataRequest(names))
	if err != nil {
		return topology{}, err
	}
	return readTopology(res.(*kmsg.MetadataResponse)), nil
}

func metadataRequest(names []string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(metadataVersion)
	if names != nil {
		req.Topics = []kmsg.MetadataRequestTopic{}
	}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	return req
}

func readTopology(res *kmsg.MetadataResponse) topology {
	t := topology{brokers: map[int32]string{}, topics: map[string]topic{}}
	if res.ClusterID != nil {
		t.cluster = *res.ClusterID
	}
	for _, b := range res.Brokers {
		t.brokers[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	for _, in := range res.Topics {
		if in.Topic == nil {
			continue
		}
		out := topic{id: hex.EncodeToString(in.TopicID[:]), leaders: map[int32]int32{}, internal: in.IsInternal}
		if in.ErrorCode != 0 {
			out.err = kafka.Error(in.ErrorCode)
		}
		for _, p := range in.Partitions {
			out.partitions = append(out.partitions, p.Partition)
			out.leaders[p.Partition] = p.Leader
		}
		t.topics[*in.Topic] = out
	}
	return t
}

// MissingTopicError names topics that do not exist and how to make them.
type MissingTopicError struct {
	Topics []string
	Broker string
}

func (e *MissingTopicError) Error() string {
	return fmt.Sprintf("find topic %s: not on this cluster; create it, for example: kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions 12",
		strings.Join(e.Topics, ", "), e.Broker, e.Topics[0])
}

// check says of the named topics that each exists and may be read.
func (t topology) check(names []string, broker string) error {
	missing := &MissingTopicError{Broker: broker}
	for _, name := range names {
		found, ok := t.topics[name]
		switch {
		case !ok, errors.Is(found.err, codeUnknownTopic):
			missing.Topics = append(missing.Topics, name)
		case errors.Is(found.err, kafka.TopicAuthorizationFailed):
			return fmt.Errorf("find topic %s: %w: give this user READ and DESCRIBE on it", name, found.err)
		case found.err != nil && !passing(found.err):
			return fmt.Errorf("find topic %s: %w", name, found.err)
		}
	}
	if len(missing.Topics) > 0 {
		return missing
	}
	return nil
}

// topicPatience is how long a topic may be missing: each broker learns of a new
// one in its own time, and another than the one that made it may be asked first.
const topicPatience = 500 * time.Millisecond

// existing is the topology of topics that must be there.
func (l *link) existing(ctx context.Context, names []string) (topology, error) {
	start := time.Now()
	var retry backoff
	for {
		t, err := l.topology(ctx, names)
		if err != nil {
			return topology{}, err
		}
		err = t.check(names, l.cfg.Brokers[0])
		var missing *MissingTopicError
		if !errors.As(err, &missing) || time.Since(start) > topicPatience {
			return t, err
		}
		if err := retry.pause(ctx); err != nil {
			return topology{}, err
		}
	}
}

// leader is the address of the broker that serves a partition.
func (t topology) leader(name string, partition int32) (string, error) {
	id, ok := t.topics[name].leaders[partition]
	if !ok {
		return "", fmt.Errorf("find leader of %s/%d: %w", name, partition, codeUnknownTopic)
	}
	addr, ok := t.brokers[id]
	if !ok {
		return "", fmt.Errorf("find leader of %s/%d: %w", name, partition, codeLeaderNotAvailable)
	}
	return addr, nil
}
