package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// broker is the in-process broker.
type broker struct {
	cluster *kfake.Cluster
	addr    string
}

const clusterIDName = "kafka.cluster-id"

// startKafka starts one broker with its log and group offsets on disk, each
// write synced before it is acknowledged.
func startKafka(cfg Config) (*broker, error) {
	id, err := clusterID(filepath.Join(cfg.Dir, clusterIDName))
	if err != nil {
		return nil, err
	}
	ln, err := listen("kafka", cfg.KafkaAddr)
	if err != nil {
		return nil, err
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ClusterID(id),
		kfake.DataDir(filepath.Join(cfg.Dir, "kafka")),
		kfake.SyncWrites(),
		// The broker advertises the address of its listener, so handing it ours
		// makes the advertised address the one that was asked for.
		kfake.ListenFn(func(string, string) (net.Listener, error) { return ln, nil }),
		kfake.WithLogger(kafkaLogger{cfg.Log.With("engine", "kafka")}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded kafka in %s: %w", cfg.Dir, err), ln.Close())
	}
	k := &broker{cluster: cluster, addr: ln.Addr().String()}
	if err := k.ensureTopics(cfg.Topics); err != nil {
		return nil, errors.Join(err, k.close())
	}
	return k, nil
}

// topicRetention is how long records stay on disk. They are as they were sent,
// so they do not stay for ever.
const topicRetention = 7 * 24 * time.Hour

// ensureTopics creates the topics that are missing. The partitions of one that
// exists stay as they are.
func (k *broker) ensureTopics(topics map[string]int32) error {
	for name, partitions := range topics {
		if k.cluster.TopicInfo(name) != nil {
			continue
		}
		retention := map[string]string{"retention.ms": strconv.FormatInt(topicRetention.Milliseconds(), 10)}
		if err := k.cluster.CreateTopic(name, partitions, retention); err != nil {
			return fmt.Errorf("create topic %q: %w", name, err)
		}
	}
	return nil
}

func (k *broker) close() error {
	k.cluster.Close()
	return nil
}

// clusterID is made once per data directory: a directory that was wiped gives
// another cluster, so offsets that start again are not taken for old ones.
func clusterID(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err == nil && len(text) > 0 {
		return strings.TrimSpace(string(text)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read kafka cluster id: %w", err)
	}
	raw := make([]byte, 11)
	_, _ = rand.Read(raw) // never fails, as documented
	id := "gatehouse-" + hex.EncodeToString(raw)
	if err := writeFileAtomic(path, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("write kafka cluster id: %w", err)
	}
	return id, nil
}

// kafkaLogger passes the broker's messages on. Its text is free, so it goes
// into a field and the log message stays constant.
type kafkaLogger struct{ log *slog.Logger }

// Logf implements kfake.Logger.
func (k kafkaLogger) Logf(level kfake.LogLevel, msg string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		k.log.Error("kafka broker error", "detail", fmt.Sprintf(msg, args...))
	case kfake.LogLevelWarn:
		k.log.Warn("kafka broker warning", "detail", fmt.Sprintf(msg, args...))
	}
}
