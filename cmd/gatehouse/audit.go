package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
	"gatehouse/store"
)

// audit holds what ClickHouse has against what Kafka has, for the doctor and for
// the standing audit.
type audit struct {
	db    *store.DB
	conf  stream.Config
	admin *stream.Admin
	// noRecord are the missing offsets of the audit before of which Kafka has said
	// that they hold no record: it is asked once.
	noRecord map[ledgerKey][]store.Offsets
}

// ledgerKey is one partition of one incarnation of a topic.
type ledgerKey struct {
	topic, topicID string
	partition      int32
}

func newAudit(db *store.DB, conf stream.Config, topic string) (*audit, error) {
	if topic != "" {
		conf.Topics = []string{topic}
	}
	admin, err := stream.NewAdmin(conf)
	if err != nil {
		return nil, err
	}
	return &audit{db: db, conf: conf, admin: admin, noRecord: map[ledgerKey][]store.Offsets{}}, nil
}

func (a *audit) close() { a.admin.Close() }

// ledgerReport is the outcome of an audit.
type ledgerReport struct{ Partitions []partitionReport }

// partitionReport is what the store found of a partition, and what Kafka says to
// that.
type partitionReport struct {
	store.PartitionAudit
	// Kafka is the partition's log and the group's place in it; nil when the topic,
	// or this incarnation of it, is gone from Kafka.
	Kafka *kafkaLog `json:"kafka"`
	// NoRecord are missing offsets that never held a record for a consumer: markers
	// of transactions, aborted records, compaction.
	NoRecord   int64           `json:"no_record"`
	NoRecordAt []store.Offsets `json:"no_record_at,omitempty"`
	// LostAt are missing offsets that hold a record in Kafka.
	LostAt []store.Offsets `json:"lost_at,omitempty"`
	// GoneAt are missing offsets that Kafka no longer has.
	GoneAt []store.Offsets `json:"gone_at,omitempty"`
}

// kafkaLog is a partition as Kafka has it.
type kafkaLog struct {
	First     int64 `json:"first"`     // offset of the first record
	End       int64 `json:"end"`       // offset behind the last record
	Committed int64 `json:"committed"` // of the group; -1 if there is none
	Lag       int64 `json:"lag"`
}

func (p *partitionReport) key() ledgerKey { return ledgerKey{p.Topic, p.TopicID, p.Partition} }

func (p *partitionReport) name() string {
	if p.Kafka == nil && len(p.TopicID) >= shortID {
		return fmt.Sprintf("%s/%d (was %s)", p.Topic, p.Partition, p.TopicID[:shortID])
	}
	return fmt.Sprintf("%s/%d", p.Topic, p.Partition)
}

// shortID is how much of a topic's id tells it from its namesakes.
const shortID = 8

// missing are the offsets that are not explained.
func (p *partitionReport) missing() int64 { return p.Missing - p.NoRecord }

// run reads what is acknowledged, then what is stored, then asks Kafka about what
// is missing. The order matters: what was acknowledged before is stored by now.
func (a *audit) run(ctx context.Context, scope store.AuditScope) (ledgerReport, error) {
	d, err := a.admin.Describe(ctx)
	if err != nil {
		return ledgerReport{}, err
	}
	logs := map[ledgerKey]*kafkaLog{}
	past := scope.Until.Before(time.Now()) // then what is acknowledged now says nothing
	for _, topic := range d.Topics {
		if topic.Err != nil {
			return ledgerReport{}, fmt.Errorf("topic %s: %w: create it, or name the right one in kafka.topics", topic.Name, topic.Err)
		}
		for _, p := range topic.Partitions {
			logs[ledgerKey{topic.Name, topic.ID, p.ID}] = &kafkaLog{p.First, p.End, p.Committed, p.Lag}
			if !past && p.Committed > 0 && p.Committed <= p.End {
				scope.Acknowledged = append(scope.Acknowledged, event.Range{Topic: topic.Name, TopicID: topic.ID, Partition: p.ID, Last: p.Committed - 1})
			}
		}
	}
	found, err := a.db.Audit(ctx, scope)
	if err != nil {
		return ledgerReport{}, err
	}
	var report ledgerReport
	for i := range found {
		p := partitionReport{PartitionAudit: found[i]}
		p.Kafka = logs[p.key()]
		report.Partitions = append(report.Partitions, p)
	}
	slices.SortFunc(report.Partitions, func(x, y partitionReport) int {
		return strings.Compare(fmt.Sprintf("%s/%08d", x.Topic, x.Partition), fmt.Sprintf("%s/%08d", y.Topic, y.Partition))
	})
	return report, a.explain(ctx, &report)
}

// explain asks Kafka what the missing offsets hold, unless it has said before.
func (a *audit) explain(ctx context.Context, r *ledgerReport) error {
	ask := map[string]map[int32][]store.Offsets{}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		open := store.WithoutOffsets(p.MissingAt, a.noRecord[p.key()])
		if p.Kafka == nil || len(open) == 0 {
			continue
		}
		if ask[p.Topic] == nil {
			ask[p.Topic] = map[int32][]store.Offsets{}
		}
		ask[p.Topic][p.Partition] = open
	}
	seen := map[ledgerKey]holdings{}
	for topic, spans := range ask {
		look := &look{topic: topic, spans: spans, seen: seen}
		if err := look.run(ctx, a.conf); err != nil {
			return fmt.Errorf("ask Kafka about missing offsets of %s: %w", topic, err)
		}
	}
	known := map[ledgerKey][]store.Offsets{}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		p.settle(a.noRecord[p.key()], seen[p.key()])
		known[p.key()] = p.NoRecordAt
	}
	a.noRecord = known
	return nil
}

// settle sorts the missing offsets of a partition by what Kafka has there: known
// are those of which it has said before that they hold no record.
func (p *partitionReport) settle(known []store.Offsets, held holdings) {
	empty := known
	if held.looked {
		empty = store.WithoutOffsets(store.WithoutOffsets(p.MissingAt, held.records), store.JoinOffsets(held.gone))
	}
	unexplained := store.WithoutOffsets(p.MissingAt, empty)
	p.LostAt = held.records
	p.GoneAt = store.WithoutOffsets(unexplained, held.records)
	p.NoRecordAt = store.WithoutOffsets(p.MissingAt, unexplained)
	p.NoRecord = store.CountOffsets(p.NoRecordAt)
}

// ledgerVerdict is the last word on a ledger.
type ledgerVerdict struct {
	Verdict    string `json:"verdict"` // complete, gaps, incomplete
	Text       string `json:"text"`
	Offsets    int64  `json:"offsets"` // stored
	GapOffsets int64  `json:"gap_offsets"`
	NoRecord   int64  `json:"no_record"`
	Missing    int64  `json:"missing"`
	Duplicated int64  `json:"duplicated"`
}

// Verdicts.
const (
	ledgerComplete   = "complete"
	ledgerGaps       = "gaps"
	ledgerIncomplete = "incomplete"
)

func (r ledgerReport) verdict() ledgerVerdict {
	v := ledgerVerdict{Verdict: ledgerComplete}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		v.Offsets, v.GapOffsets, v.NoRecord = v.Offsets+p.Stored, v.GapOffsets+p.GapOffsets, v.NoRecord+p.NoRecord
		v.Missing, v.Duplicated = v.Missing+p.missing(), v.Duplicated+p.Duplicated
	}
	switch {
	case v.Missing > 0 || v.Duplicated > 0:
		v.Verdict = ledgerIncomplete
		v.Text = fmt.Sprintf("NOT COMPLETE: %d offsets are missing, %d rows are stored again (%d offsets are stored, %d lie in recorded gaps)", v.Missing, v.Duplicated, v.Offsets, v.GapOffsets)
	case v.GapOffsets > 0:
		v.Verdict = ledgerGaps
		v.Text = fmt.Sprintf("complete but for recorded gaps: %d offsets are stored, each once; %d were lost before they could be read (audit.ingest_gaps)", v.Offsets, v.GapOffsets)
	default:
		v.Text = fmt.Sprintf("complete: %d offsets are stored, each once; none is missing", v.Offsets)
	}
	return v
}

// err carries the exit code.
func (v ledgerVerdict) err() error {
	switch v.Verdict {
	case ledgerIncomplete:
		return exitCode(exitError)
	case ledgerGaps:
		return exitCode(exitGaps)
	}
	return nil
}

func (v ledgerVerdict) colour() string {
	if v.Verdict == ledgerIncomplete {
		return red
	}
	return green
}

// detail is one kind of trouble with a partition.
type detail struct {
	what  string
	spans []store.Offsets
	sql   string // shows it
}

func (p *partitionReport) details() []detail {
	all := func(spans []store.Offsets) string {
		if len(spans) == 0 {
			return ""
		}
		return fmt.Sprintf("kafka_topic_id = '%s' AND kafka_partition = %d AND kafka_offset BETWEEN %d AND %d", p.TopicID, p.Partition, spans[0].First, spans[len(spans)-1].Last)
	}
	rows := func(spans []store.Offsets) string {
		return "SELECT kafka_offset, ingested_at, rejected FROM audit.v_ledger_rows WHERE " + all(spans) + " ORDER BY kafka_offset"
	}
	twice := "SELECT kafka_offset, slot, count(), groupArray(ingested_at) FROM audit.v_ledger_rows WHERE " + all(p.DuplicatedAt) + " GROUP BY ALL HAVING count() > 1 ORDER BY kafka_offset"
	gaps := fmt.Sprintf("SELECT * FROM audit.ingest_gaps WHERE topic_id = '%s' AND kafka_partition = %d ORDER BY first_offset", p.TopicID, p.Partition)
	return []detail{
		{"missing, Kafka has records there", p.LostAt, rows(p.LostAt)},
		{"missing, and gone from Kafka", p.GoneAt, rows(p.GoneAt)},
		{"stored again", p.DuplicatedAt, twice},
		{"recorded gaps", p.Gaps, gaps},
	}
}
