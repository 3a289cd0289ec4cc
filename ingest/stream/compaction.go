package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CompactedTopicError refuses a topic whose records the broker may remove one by
// one: a range of offsets that is read again after a crash could then hold fewer
// records than when it was stored first.
type CompactedTopicError struct {
	Topic  string
	Policy string // the topic's cleanup.policy
	Broker string
}

func (e *CompactedTopicError) Error() string {
	return fmt.Sprintf("read topic %s: its cleanup.policy is %s: compaction removes single records, so that a range of offsets "+
		"read again after a crash could hold fewer than before, and no audit could tell them from lost ones; "+
		"keep records by age instead: kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config cleanup.policy=delete",
		e.Topic, e.Policy, e.Broker, e.Topic)
}

const (
	describeConfigsVersion = 1
	cleanupPolicy          = "cleanup.policy"
)

// refuseCompacted asks for the cleanup policy of topics. Where the brokers do not
// say it, which is a matter of rights, that is logged and no reason to refuse.
func (l *link) refuseCompacted(ctx context.Context, topics []string) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.SetVersion(describeConfigsVersion)
	for _, name := range topics {
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, name, []string{cleanupPolicy}
		req.Resources = append(req.Resources, resource)
	}
	res, err := l.ask(ctx, req)
	if err != nil {
		l.cfg.Log.WarnContext(ctx, "cleanup policy not checked", "topics", topics, "error", err)
		return ctx.Err()
	}
	var refusals []error
	for _, found := range res.(*kmsg.DescribeConfigsResponse).Resources {
		if found.ErrorCode != 0 {
			l.cfg.Log.WarnContext(ctx, "cleanup policy not checked, give this user DESCRIBE_CONFIGS on the topic",
				"topic", found.ResourceName, "error", kafka.Error(found.ErrorCode))
			continue
		}
		if policy := policyOf(found); slices.Contains(strings.Split(policy, ","), "compact") {
			refusals = append(refusals, &CompactedTopicError{Topic: found.ResourceName, Policy: policy, Broker: l.cfg.Brokers[0]})
		}
	}
	return errors.Join(refusals...)
}

func policyOf(found kmsg.DescribeConfigsResponseResource) string {
	for _, c := range found.Configs {
		if c.Name == cleanupPolicy && c.Value != nil {
			return strings.ReplaceAll(*c.Value, " ", "")
		}
	}
	return ""
}
