package store

import (
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/ingest/event"
)

// plant stores events, dead letters and gaps of one partition of a topic that no
// other case uses, as they are given.
type plant struct {
	t  *testing.T
	db *DB
}

func (p plant) events(first, last int64) {
	b := rows{Range: event.Range{Cluster: "c", Topic: p.t.Name(), TopicID: p.t.Name(), Partition: 3, First: first, Last: last}}
	for offset := first; offset <= last; offset++ {
		b.Events = append(b.Events, event.Event{
			Origin: event.Origin{Topic: p.t.Name(), Partition: 3, Offset: offset}, TS: baseTime.Add(time.Duration(offset) * time.Second).UnixMicro(),
		})
	}
	p.append(b)
}

func (p plant) rejected(offset int64, index int32) {
	b := rows{Range: event.Range{Cluster: "c", Topic: p.t.Name(), TopicID: p.t.Name(), Partition: 3, First: offset, Last: offset}}
	b.Rejected = []event.Rejection{{Origin: event.Origin{Topic: p.t.Name(), Partition: 3, Offset: offset, Index: index}, Reason: event.ReasonSyntax}}
	p.append(b)
}

func (p plant) append(b rows) {
	p.t.Helper()
	if err := b.append(p.t.Context(), p.db.Ledger()); err != nil {
		p.t.Fatal(err)
	}
}

func (p plant) gap(first, last int64) {
	p.t.Helper()
	sql := "INSERT INTO audit.ingest_gaps (kafka_topic, topic_id, kafka_partition, first_offset, last_offset, reason, at) VALUES (?, ?, 3, ?, ?, 'retention', now64(6))"
	if err := p.db.exec(p.t.Context(), sql, p.t.Name(), p.t.Name(), first, last); err != nil {
		p.t.Fatal(err)
	}
}

// audited is the audit of the last day, of the case's topic. acknowledged is the
// last offset that the group has, -1 for an audit without Kafka.
func (p plant) audited(acknowledged int64) PartitionAudit {
	p.t.Helper()
	now := p.db.now()
	scope := AuditScope{Since: now.Add(-24 * time.Hour), Until: now.Add(time.Minute), Topic: p.t.Name()}
	if acknowledged >= 0 {
		scope.Acknowledged = []event.Range{{Topic: p.t.Name(), TopicID: p.t.Name(), Partition: 3, Last: acknowledged}}
	}
	got, err := p.db.Audit(p.t.Context(), scope)
	if err != nil {
		p.t.Fatal(err)
	}
	if len(got) != 1 {
		p.t.Fatalf("%d partitions, want 1: %+v", len(got), got)
	}
	return got[0]
}

func (p plant) check(acknowledged int64, want PartitionAudit) {
	p.t.Helper()
	want.Topic, want.TopicID, want.Partition = p.t.Name(), p.t.Name(), 3
	if d := cmp.Diff(want, p.audited(acknowledged), cmpopts.IgnoreUnexported(PartitionAudit{}), cmpopts.EquateEmpty()); d != "" {
		p.t.Errorf("-want +got:\n%s", d)
	}
}

func onPlants(t *testing.T, run func(p plant)) {
	onEach(t, func(t *testing.T, db *DB) { run(plant{t, db}) })
}

func TestAuditOfACompleteLedger(t *testing.T) {
	onPlants(t, func(p plant) {
		p.events(0, 99)
		p.rejected(100, 0)
		p.events(101, 150)
		want := PartitionAudit{First: 0, Last: 150, Events: 150, Rejected: 1, Stored: 151}
		p.check(-1, want)
		p.check(150, want)
	})
}

func TestAuditFindsWhatIsMissing(t *testing.T) {
	onPlants(t, func(p plant) {
		p.events(0, 99)
		p.events(110, 150)
		p.events(153, 160)
		p.gap(155, 170) // rows count, also inside a gap
		p.events(180, 199)
		p.check(-1, PartitionAudit{
			First: 0, Last: 199, Events: 169, Stored: 169, Missing: 10 + 2 + 9, MissingAt: []Offsets{{100, 109}, {151, 152}, {171, 179}},
			GapOffsets: 10, Gaps: []Offsets{{161, 170}},
		})
	})
}

// What the group has acknowledged behind the last row is missing; what lies
// behind that is on its way.
func TestAuditGoesUpToWhatIsAcknowledged(t *testing.T) {
	onPlants(t, func(p plant) {
		p.events(0, 99)
		p.check(119, PartitionAudit{First: 0, Last: 119, Events: 100, Stored: 100, Missing: 20, MissingAt: []Offsets{{100, 119}}})
		p.events(130, 150)
		p.check(99, PartitionAudit{First: 0, Last: 99, Events: 100, Stored: 100})
	})
}

// Overlapping records of the same loss count once.
func TestAuditJoinsGaps(t *testing.T) {
	onPlants(t, func(p plant) {
		p.events(0, 9)
		p.gap(10, 19)
		p.gap(10, 24)
		p.gap(15, 20)
		p.events(25, 29)
		p.check(-1, PartitionAudit{First: 0, Last: 29, Events: 15, Stored: 15, GapOffsets: 15, Gaps: []Offsets{{10, 24}}})
	})
}

func TestAuditFindsWhatIsStoredTwice(t *testing.T) {
	onPlants(t, func(p plant) {
		p.events(0, 99)
		p.events(40, 41) // a range of its own: another token
		p.rejected(70, 0)
		p.rejected(71, 1) // another element of a record
		p.check(-1, PartitionAudit{First: 0, Last: 99, Events: 102, Rejected: 2, Stored: 100, Duplicated: 3, DuplicatedAt: []Offsets{{40, 41}, {70, 70}}})
	})
}

// A record that is stored again much later shows, although the first row of it
// lies before the time that is looked at; and so does what is missing at the edge.
func TestAuditLooksAcrossTheEdgeOfItsTime(t *testing.T) {
	onPlants(t, func(p plant) {
		old := "INSERT INTO audit.dead_letters (kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, kafka_index, ingested_at) SELECT ?, ?, 3, number, 0, now64(3) - INTERVAL 9 MINUTE FROM numbers(50)"
		if err := p.db.exec(p.t.Context(), old, p.t.Name(), p.t.Name()); err != nil {
			p.t.Fatal(err)
		}
		p.events(60, 69)
		now := p.db.now()
		scope := AuditScope{Since: now.Add(-5 * time.Minute), Until: now.Add(time.Minute), Topic: p.t.Name(), History: true}
		for _, want := range []PartitionAudit{ // the second: after offset 20 is stored again
			{First: 50, Last: 69, Events: 10, Stored: 10, Missing: 10, MissingAt: []Offsets{{50, 59}}},
			{First: 20, Last: 69, Events: 11, Rejected: 30, Stored: 40, Missing: 10, MissingAt: []Offsets{{50, 59}}, Duplicated: 1, DuplicatedAt: []Offsets{{20, 20}}},
		} {
			got, err := p.db.Audit(p.t.Context(), scope)
			if err != nil {
				p.t.Fatal(err)
			}
			want.Topic, want.TopicID, want.Partition = p.t.Name(), p.t.Name(), 3
			if d := cmp.Diff([]PartitionAudit{want}, got, cmpopts.IgnoreUnexported(PartitionAudit{})); d != "" {
				p.t.Errorf("-want +got:\n%s", d)
			}
			p.events(20, 20)
		}
	})
}

// A partition in which nothing was stored lately is held against what the group
// has acknowledged of it.
func TestAuditOfAQuietPartition(t *testing.T) {
	onPlants(t, func(p plant) {
		p.check(9, PartitionAudit{First: 0, Last: 9, Missing: 10, MissingAt: []Offsets{{0, 9}}})
		p.gap(0, 9)
		p.check(9, PartitionAudit{First: 0, Last: 9, GapOffsets: 10, Gaps: []Offsets{{0, 9}}})
	})
}

// More holes than are listed are counted all the same.
func TestAuditCountsWhatItDoesNotList(t *testing.T) {
	onPlants(t, func(p plant) {
		sql := "INSERT INTO audit.dead_letters (kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, kafka_index, ingested_at) SELECT ?, ?, 3, number * 2, 0, now64(3) FROM numbers(100001)"
		if err := p.db.exec(p.t.Context(), sql, p.t.Name(), p.t.Name()); err != nil {
			p.t.Fatal(err)
		}
		got := p.audited(-1)
		if got.Missing != 100_000 || len(got.MissingAt) != MaxSpans || got.MissingAt[0] != (Offsets{1, 1}) {
			p.t.Errorf("missing %d, %d spans from %v: want 100000, %d spans from 1", got.Missing, len(got.MissingAt), got.MissingAt[:1], MaxSpans)
		}
	})
}

// The CPU of an audit, this process's and the engine's, which is in it: per
// million rows of four partitions, all stored in the time that is looked at, in
// an order that has nothing to do with their offsets.
func BenchmarkAudit(b *testing.B) {
	db, err := Open(b.Context(), backends["embedded"].cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // read only
	if _, err := db.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	const rows = 1_000_000
	err = db.exec(b.Context(), `INSERT INTO audit.events (kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, ingested_at, ts, tenant, principal)
SELECT 'bench', 'bench', number % 4, intDiv(number, 4), now64(3) - toIntervalSecond(300 - intDiv(number, 4000)), toDateTime64('2026-03-04 05:00:00', 6) + toIntervalMillisecond(number),
toString(number % 7), toString(cityHash64(number) % 1000) FROM numbers(1000000)`)
	if err != nil {
		b.Fatal(err)
	}
	before := cpuTime(b)
	for b.Loop() {
		now := time.Now()
		got, err := db.Audit(b.Context(), AuditScope{Since: now.Add(-time.Hour), Until: now.Add(time.Minute), Topic: "bench", History: true})
		if err != nil || len(got) != 4 || got[0].Stored*4 != rows || got[0].Missing != 0 {
			b.Fatalf("%+v, %v", got, err)
		}
	}
	b.ReportMetric((cpuTime(b)-before).Seconds()/float64(b.N), "cpu-s/Mrow")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestWithoutOffsets(t *testing.T) {
	for _, c := range []struct{ spans, others, want []Offsets }{
		{nil, nil, nil},
		{[]Offsets{{1, 9}}, nil, []Offsets{{1, 9}}},
		{[]Offsets{{1, 9}}, []Offsets{{0, 0}, {3, 4}, {9, 12}}, []Offsets{{1, 2}, {5, 8}}},
		{[]Offsets{{1, 9}, {20, 29}, {40, 40}}, []Offsets{{5, 25}, {40, 41}}, []Offsets{{1, 4}, {26, 29}}},
		{[]Offsets{{1, 9}, {11, 12}}, []Offsets{{0, 100}}, nil},
	} {
		if d := cmp.Diff(c.want, WithoutOffsets(c.spans, c.others)); d != "" {
			t.Errorf("%v without %v (-want +got):\n%s", c.spans, c.others, d)
		}
	}
}
