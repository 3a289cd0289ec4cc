package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// verdict is what the comparison of journal and database came to.
type verdict struct {
	Events      int `json:"events"`             // acknowledged by Kafka
	Lost        int `json:"lost"`               // of them, not stored
	Duplicated  int `json:"duplicated"`         // rows too many
	Differing   int `json:"differing"`          // stored with other content than was sent
	Foreign     int `json:"foreign"`            // rows that no record in Kafka is the reason of
	Unacked     int `json:"unacknowledged"`     // stored, whose acknowledgement was lost
	Refused     int `json:"never_acknowledged"` // sent, and given up by the producer
	Poisoned    int `json:"poisoned"`           // records that cannot be events
	Unaccounted int `json:"unaccounted"`        // of them, not exactly once dead letters or a gap
	// lost and duplicated by phase, in which the event was sent.
	lost, duplicated []int
	examples         []string
}

// ok says whether nothing is wrong.
func (v *verdict) ok() bool {
	return v.Lost+v.Duplicated+v.Differing+v.Foreign+v.Unaccounted == 0
}

// maxExamples bounds what is listed of each run's mistakes.
const maxExamples = 20

// add counts another verdict in.
func (v *verdict) add(other *verdict) {
	v.Events, v.Lost, v.Duplicated = v.Events+other.Events, v.Lost+other.Lost, v.Duplicated+other.Duplicated
	v.Differing, v.Foreign = v.Differing+other.Differing, v.Foreign+other.Foreign
	v.Unacked, v.Refused = v.Unacked+other.Unacked, v.Refused+other.Refused
	v.Poisoned, v.Unaccounted = v.Poisoned+other.Poisoned, v.Unaccounted+other.Unaccounted
	v.examples = append(v.examples, other.examples...)
}

func (v *verdict) example(format string, args ...any) {
	if len(v.examples) < maxExamples {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}

// oracle compares what the producer has in its journal with what is stored,
// record by record.
type oracle struct {
	*stage
	broker  string
	seen    [chaosPartitions][]int // rows by offset
	found   verdict
	strange []strangeRow
}

// strangeRow is a row at an offset that the journal does not have: of a record
// whose acknowledgement was lost, or of none at all.
type strangeRow struct {
	partition int32
	offset    int64
	n         int
}

// judge compares a stage's journal with its database.
func (s *stage) judge(ctx context.Context, broker string) (*verdict, error) {
	o := &oracle{stage: s, broker: broker}
	o.found.lost, o.found.duplicated = make([]int, len(s.phases)), make([]int, len(s.phases))
	for p := range int32(chaosPartitions) {
		o.seen[p] = make([]int, len(s.load.journal.acked[p]))
		if err := o.readEvents(ctx, p); err != nil {
			return nil, err
		}
		o.count(p)
		if err := o.judgePoison(ctx, p); err != nil {
			return nil, err
		}
	}
	if err := o.readElsewhere(ctx); err != nil {
		return nil, err
	}
	o.found.Events, o.found.Refused = s.load.journal.calls, s.load.journal.failed
	if err := s.load.journal.err; err != nil {
		o.found.example("given up by the producer: %v", err)
	}
	return &o.found, o.explain(ctx)
}

// readElsewhere counts the rows that readEvents does not read: of another topic or
// partition than anything was sent to.
func (o *oracle) readElsewhere(ctx context.Context) error {
	n, err := o.db.number(ctx, fmt.Sprintf("SELECT count() FROM audit.events WHERE kafka_topic != '%s' OR kafka_partition NOT BETWEEN 0 AND %d", o.topic, chaosPartitions-1))
	if n > 0 {
		o.found.Foreign += int(n)
		o.found.example("foreign: %d rows of a topic or partition that nothing was sent to", n)
	}
	return err
}

// readEvents reads one partition's rows.
func (o *oracle) readEvents(ctx context.Context, partition int32) error {
	sql := fmt.Sprintf("SELECT kafka_offset, kafka_index, %s FROM audit.events WHERE kafka_topic = '%s' AND kafka_partition = %d FORMAT TSV",
		storedColumns, o.topic, partition)
	return o.db.rows(ctx, sql, func(line string) error {
		offsetText, rest, _ := strings.Cut(line, "\t")
		index, content, _ := strings.Cut(rest, "\t")
		offset, err := strconv.ParseInt(offsetText, 10, 64)
		if err != nil {
			return fmt.Errorf("read stored events: offset %q: %w", offsetText, err)
		}
		o.row(partition, offset, index, content)
		return nil
	})
}

// row looks at one stored row.
func (o *oracle) row(partition int32, offset int64, index, content string) {
	id, _, _ := strings.Cut(content, "\t")
	n, ok := o.load.call.number(id)
	j := o.load.journal
	acked := j.acked[partition]
	switch {
	case !ok || index != "0":
		o.found.Foreign++
		o.found.example("foreign: %d/%d holds %q", partition, offset, content)
	case offset >= int64(len(acked)) || acked[offset] == 0:
		o.strange = append(o.strange, strangeRow{partition, offset, n})
	case int(acked[offset])-1 != n || content != o.load.call.stored(n):
		o.found.Differing++
		o.found.example("differs: %d/%d holds %q, sent was %q", partition, offset, content, o.load.call.stored(int(acked[offset])-1))
		o.seen[partition][offset]++
	default:
		o.seen[partition][offset]++
	}
}

// count finds what is missing and what is there twice.
func (o *oracle) count(partition int32) {
	for _, n := range o.load.journal.replaced[partition] { // Kafka has lost it itself, after it had acknowledged it
		phase := o.phaseOf(int(n) - 1)
		o.found.Lost++
		o.found.lost[phase]++
		o.found.example("lost by Kafka: partition %d, call %d, whose offset was acknowledged again for another record", partition, n-1)
	}
	for offset, n := range o.load.journal.acked[partition] {
		if n == 0 {
			continue
		}
		phase := o.phaseOf(int(n) - 1)
		switch rows := o.seen[partition][offset]; {
		case rows == 0:
			o.found.Lost++
			o.found.lost[phase]++
			o.found.example("lost: %d/%d, call %d, sent during %s", partition, offset, n-1, o.phases[phase].name)
		case rows > 1:
			o.found.Duplicated += rows - 1
			o.found.duplicated[phase] += rows - 1
			o.found.example("duplicated: %d/%d, call %d, %d rows, sent during %s", partition, offset, n-1, rows, o.phases[phase].name)
		}
	}
}

// rejected is what is known of records that did not become events: how often a
// dead letter is there, by its index in the record, and how many gaps there are.
type rejected struct {
	letters map[int]int
	gaps    int
}

// once says whether a record is accounted for: by a gap, or by dead letters, each
// of another part of it.
func (r *rejected) once() bool {
	if r == nil {
		return false
	}
	for _, n := range r.letters {
		if n != 1 {
			return false
		}
	}
	return (len(r.letters) > 0) != (r.gaps > 0) && r.gaps <= 1
}

// judgePoison wants every poisoned record to be accounted for, and nothing else
// to be rejected.
func (o *oracle) judgePoison(ctx context.Context, partition int32) error {
	found := map[int64]*rejected{}
	if err := o.readRejected(ctx, partition, found); err != nil {
		return err
	}
	for offset, name := range o.load.journal.poison[partition] {
		o.found.Poisoned++
		if !found[offset].once() {
			o.found.Unaccounted++
			o.found.example("poison %s: %d/%d: want dead letters or a gap, once, have %+v", name, partition, offset, found[offset])
		}
		delete(found, offset)
	}
	for offset, r := range found {
		o.found.Unaccounted++
		o.found.example("rejected: %d/%d is no poison, and has %+v", partition, offset, r)
	}
	return nil
}

// readRejected reads the dead letters and gaps of one partition.
func (o *oracle) readRejected(ctx context.Context, partition int32, found map[int64]*rejected) error {
	at := func(offset int64) *rejected {
		if found[offset] == nil {
			found[offset] = &rejected{letters: map[int]int{}}
		}
		return found[offset]
	}
	where := fmt.Sprintf("WHERE kafka_topic = '%s' AND kafka_partition = %d FORMAT TSV", o.topic, partition)
	err := o.db.rows(ctx, "SELECT kafka_offset, kafka_index FROM audit.dead_letters "+where, func(line string) error {
		var offset int64
		var index int
		_, err := fmt.Sscanf(line, "%d\t%d", &offset, &index)
		if err == nil {
			at(offset).letters[index]++
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	err = o.db.rows(ctx, "SELECT first_offset, last_offset FROM audit.ingest_gaps "+where, func(line string) error {
		var first, last int64
		_, err := fmt.Sscanf(line, "%d\t%d", &first, &last)
		for ; err == nil && first <= last; first++ {
			at(first).gaps++
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read gaps: %w", err)
	}
	return nil
}

// explain looks in Kafka for rows that the journal does not have: a record whose
// acknowledgement never came may be stored, once.
func (o *oracle) explain(ctx context.Context) error {
	if len(o.strange) == 0 {
		return nil
	}
	log, err := o.readLog(ctx)
	if err != nil {
		return err
	}
	rows := map[strangeRow]int{}
	for _, r := range o.strange {
		rows[r]++
		switch n, ok := log[kafkaPosition{r.partition, r.offset}]; {
		case !ok || n != r.n:
			o.found.Foreign++
			o.found.example("foreign: %d/%d holds call %d, and Kafka does not", r.partition, r.offset, r.n)
		case rows[r] > 1:
			o.found.Duplicated++
			o.found.example("duplicated: %d/%d, call %d, which was never acknowledged", r.partition, r.offset, r.n)
		default:
			o.found.Unacked++
		}
	}
	return nil
}

type kafkaPosition struct {
	partition int32
	offset    int64
}

// readLog reads the call at each strange row's offset from Kafka.
func (o *oracle) readLog(ctx context.Context) (map[kafkaPosition]int, error) {
	from, until := map[int32]kgo.Offset{}, map[int32]int64{}
	for _, r := range o.strange {
		if first, ok := from[r.partition]; !ok || r.offset < first.EpochOffset().Offset {
			from[r.partition] = kgo.NewOffset().At(r.offset)
		}
		until[r.partition] = max(until[r.partition], r.offset)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(o.broker), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.topic: from}))
	if err != nil {
		return nil, fmt.Errorf("read the topic: %w", err)
	}
	defer client.Close()
	log := map[kafkaPosition]int{}
	ctx, cancel := context.WithTimeout(ctx, chaosPatience)
	defer cancel()
	for len(until) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read the topic: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if n, ok := o.load.call.numberIn(r.Value); ok {
				log[kafkaPosition{r.Partition, r.Offset}] = n
			}
			if last, ok := until[r.Partition]; ok && r.Offset >= last {
				delete(until, r.Partition)
			}
		})
	}
	return log, nil
}

// numberIn is the number of the call that a record is.
func (c call) numberIn(value []byte) (int, bool) {
	prefix := fmt.Sprintf("chaos-%d-", c.seed)
	_, rest, found := strings.Cut(string(value), prefix)
	if !found {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, `"`)
	return c.number(prefix + digits)
}

// rows runs a query as anybody with curl could and gives its lines one by one.
func (e *engine) rows(ctx context.Context, sql string, line func(string) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, strings.NewReader(sql))
	if err != nil {
		return fmt.Errorf("read what is stored: %w", err)
	}
	req.Header.Set("X-ClickHouse-User", e.User)
	req.Header.Set("X-ClickHouse-Key", e.Password)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("read what is stored: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("read what is stored: %s: %s", res.Status, strings.TrimSpace(string(text)))
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if lines.Text() == "" { // no row is empty: an exception follows, after rows were sent
			return fmt.Errorf("read what is stored: it broke off: %s", restOf(lines))
		}
		if err := line(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func restOf(lines *bufio.Scanner) string {
	var rest []string
	for lines.Scan() {
		rest = append(rest, strings.TrimSpace(lines.Text()))
	}
	return strings.Join(rest, " ")
}

// number is the answer of a query that has one.
func (e *engine) number(ctx context.Context, sql string) (n int64, err error) {
	err = e.rows(ctx, sql+" FORMAT TSV", func(line string) error {
		n, err = strconv.ParseInt(line, 10, 64)
		return err
	})
	return n, err
}
