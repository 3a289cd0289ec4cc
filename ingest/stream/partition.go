package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"gatehouse/ingest/event"
)

// Partition is one owned partition for as long as it is owned. Its methods may be
// called from several goroutines; Next and Seek by one at a time.
type Partition struct {
	consumer   *Consumer
	generation *generation
	reader     fetcher
	topic      string
	partition  int32
	topicID    string
	cluster    string
	stored     int64
	metadata   string

	mu        sync.Mutex
	position  int64
	committed int64 // or where reading started
	end       int64 // of the log, as last seen
	pending   error // what the caller must settle with Seek before reading
}

// partition makes an owned partition of what the group keeps for it.
func (c *Consumer) partition(ctx context.Context, g *generation, s storedOffset) (p *Partition, err error) {
	shape := g.shape.topics[s.topic]
	if shape.err != nil {
		return nil, fmt.Errorf("find topic %s: %w", s.topic, shape.err)
	}
	if shape.id == "" {
		return nil, fmt.Errorf("find topic %s: %w", s.topic, codeUnknownTopic)
	}
	p = &Partition{
		consumer: c, generation: g, topic: s.topic, partition: s.partition,
		reader:  fetcher{link: c.link, topic: s.topic, partition: s.partition, life: g.owned},
		topicID: shape.id, cluster: g.shape.cluster, stored: s.offset, position: s.offset,
	}
	var tag string
	tag, p.metadata = splitMetadata(s.metadata)
	if s.offset < 0 || (tag != "" && tag != shape.id) {
		if p.position, _, err = c.link.bounds(ctx, s.topic, s.partition); err != nil {
			return nil, err
		}
	}
	p.pending = c.doubt(s, tag, p)
	p.committed = p.position
	return p, nil
}

// doubt is why the group's offset cannot be trusted, or nil. tag is the id of the
// topic that the offset was committed for, if the commit says. A broker drops the
// offsets of a deleted topic, and old ones after offsets.retention.minutes. Where
// only the offset is lost this process still knows its commit, and p goes on from it.
func (c *Consumer) doubt(s storedOffset, tag string, p *Partition) error {
	made, known := c.committedHere(s.partitionKey)
	switch {
	case tag != "" && tag != p.topicID:
		return &RecreatedError{Topic: s.topic, Partition: s.partition, Was: tag, Is: p.topicID, Committed: s.offset, First: p.position}
	case s.offset < 0 && known && made.topicID != p.topicID:
		return &RecreatedError{Topic: s.topic, Partition: s.partition, Was: made.topicID, Is: p.topicID, Committed: made.offset, First: p.position}
	case s.offset < 0 && known:
		p.stored, p.position, p.metadata = made.offset, made.offset, made.metadata
		return &PositionLostError{Topic: s.topic, Partition: s.partition, Committed: made.offset}
	}
	return nil
}

// bounds asks for the first offset of a partition and the one behind its last.
func (l *link) bounds(ctx context.Context, topic string, partition int32) (first, end int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := l.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(int(partition)), kafka.LastOffsetOf(int(partition))},
	}})
	if err != nil {
		return 0, 0, fmt.Errorf("list offsets of %s/%d: %w", topic, partition, err)
	}
	found := res.Topics[topic]
	if len(found) != 1 {
		return 0, 0, fmt.Errorf("list offsets of %s/%d: %w", topic, partition, errAnswer)
	}
	if found[0].Error != nil {
		return 0, 0, fmt.Errorf("list offsets of %s/%d: %w", topic, partition, found[0].Error)
	}
	return found[0].FirstOffset, found[0].LastOffset, nil
}

// Topic is the name of the partition's topic.
func (p *Partition) Topic() string { return p.topic }

// ID is the partition's number.
func (p *Partition) ID() int32 { return p.partition }

// Range names the offsets first to last of this partition in the present
// incarnation of its topic, in this cluster.
func (p *Partition) Range(first, last int64) event.Range {
	return event.Range{Cluster: p.cluster, Topic: p.topic, TopicID: p.topicID, Partition: p.partition, First: first, Last: last}
}

// Position is the group's committed offset, -1 if there is none, and the
// metadata of that commit. It was read behind a write of the group's coordinator,
// so that no commit of an earlier owner can be missing. Where there is none
// reading starts at the first offset. Where the group lost it (PositionLostError)
// it is the last commit of this process.
func (p *Partition) Position() (offset int64, metadata string) { return p.stored, p.metadata }

// Behind is how many offsets the log had behind the position that Next has come
// to, as of the last fetch.
func (p *Partition) Behind() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.end-p.position, 0)
}

// Owned is the context for what must still be finished when the handler's own
// context has ended: storing the batch at hand and committing it. It ends when
// nothing may be stored any more: at once when another process may own the
// partition, else Config.DrainTimeout after the end of the handler's context, or
// when all handlers have returned.
func (p *Partition) Owned() context.Context { return p.generation.owned }

// Offset is a place in a partition. (The name also tells go vet that Seek is not
// io.Seeker's.)
type Offset = int64

// Seek sets where Next goes on, and settles the error that Next returned.
func (p *Partition) Seek(to Offset) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.position, p.pending = to, nil
}

// Next blocks until there are records behind the position and returns them, with
// the offset to go on from. Control records and aborted transactions are passed
// over, so next may advance with no records at all. What records refer to is never
// modified: see Record.
//
// Errors that a caller can settle with Seek: *GapError, *BatchError,
// *BeyondEndError, *RecreatedError, *PositionLostError. Losses of a broker are
// waited out. When ctx ends Next returns its error.
func (p *Partition) Next(ctx context.Context) (records []Record, next int64, err error) {
	var retry backoff
	for {
		position, pending := p.reading()
		if pending != nil {
			return nil, position, pending
		}
		got, err := p.reader.fetch(ctx, position)
		switch {
		case err == nil && got.next > position:
			p.advance(position, got)
			return got.records, got.next, nil
		case err == nil:
			p.advance(position, got)
			retry = backoff{}
			if ctx.Err() != nil {
				return nil, position, ctx.Err()
			}
			continue
		case ctx.Err() != nil:
			return nil, position, ctx.Err()
		}
		if retry.wait == 0 { // the first of a row; a long outage is not worth a line a second
			p.consumer.link.cfg.Log.WarnContext(ctx, "fetch failed",
				"topic", p.topic, "partition", p.partition, "offset", position, "error", err)
		}
		if err = p.recover(ctx, position, err); err != nil {
			return nil, position, err
		}
		if err := retry.pause(ctx); err != nil {
			return nil, position, err
		}
	}
}

func (p *Partition) reading() (position int64, pending error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.position, p.pending
}

// advance moves on from where the fetch started, unless a Seek came in between.
func (p *Partition) advance(from int64, got fetched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.position == from {
		p.position = got.next
	}
	p.end = got.end
	p.consumer.metrics.fetched(p.topic, got)
	p.consumer.metrics.setLag(p.topic, p.partition, p.end-p.committed)
}

// recover returns nil if fetching again may succeed.
func (p *Partition) recover(ctx context.Context, position int64, err error) error {
	p.consumer.metrics.failed(err)
	if errors.Is(err, codeOffsetOutOfRange) {
		return p.outOfRange(ctx, position)
	}
	if !passing(err) {
		return fmt.Errorf("fetch %s/%d at offset %d: %w", p.topic, p.partition, position, err)
	}
	if errors.Is(err, codeUnknownTopic) || errors.Is(err, codeNotLeader) {
		p.generation.compareTopics(ctx)
	}
	return nil
}

// outOfRange finds out what a position outside the log means.
func (p *Partition) outOfRange(ctx context.Context, position int64) error {
	p.generation.compareTopics(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	first, end, err := p.consumer.link.bounds(ctx, p.topic, p.partition)
	switch {
	case err != nil && passing(err):
		return nil
	case err != nil:
		return err
	case position < first:
		return &GapError{Topic: p.topic, Partition: p.partition, From: position, To: first}
	case position > end:
		return &BeyondEndError{Topic: p.topic, Partition: p.partition, Position: position, End: end}
	}
	return nil // the log has moved on since
}

// Commit stores next as the offset from which the group goes on, with metadata of
// at most MaxMetadata. It fails with ErrNotOwned when the partition has gone to
// somebody else, and with ErrUnknownOutcome when nobody can say whether the commit
// was stored; after either nothing may be stored for this partition any more,
// and the handler's context has ended.
//
// A commit is not begun when ctx has ended; use Owned to commit while draining.
// One that is on its way is waited for even so, because nobody would know whether
// it was stored, and that would cost the whole generation.
func (p *Partition) Commit(ctx context.Context, next int64, metadata string) error {
	tagged, err := tagMetadata(p.topicID, metadata)
	if err != nil {
		return fmt.Errorf("commit %s/%d: %w", p.topic, p.partition, err)
	}
	start := time.Now()
	var retry backoff
	for {
		// The broker takes commits for partitions that the member does not own, so
		// this check is ours to make.
		if !p.generation.owns() {
			return fmt.Errorf("commit %s/%d: %w", p.topic, p.partition, ErrNotOwned)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("commit %s/%d: %w", p.topic, p.partition, ctx.Err())
		}
		err := p.commit(ctx, next, tagged)
		if err == nil {
			p.acknowledged(next, metadata, time.Since(start))
			return nil
		}
		p.consumer.metrics.failed(err)
		if err := p.judgeCommit(err); err != nil {
			return fmt.Errorf("commit %s/%d: %w", p.topic, p.partition, err)
		}
		if err := retry.pause(ctx); err != nil {
			return fmt.Errorf("commit %s/%d: %w", p.topic, p.partition, err)
		}
	}
}

func (p *Partition) commit(ctx context.Context, next int64, metadata string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	cfg := p.consumer.link.cfg
	res, err := p.consumer.link.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID:      cfg.Group,
		GenerationID: p.generation.generation,
		MemberID:     p.generation.memberID,
		InstanceID:   cfg.InstanceID,
		Topics:       map[string][]kafka.OffsetCommit{p.topic: {{Partition: int(p.partition), Offset: next, Metadata: metadata}}},
	})
	if err != nil {
		return err
	}
	answer := res.Topics[p.topic]
	if len(answer) != 1 {
		return errAnswer
	}
	return answer[0].Error
}

// judgeCommit returns nil if the commit was surely not stored and may be sent
// again.
func (p *Partition) judgeCommit(err error) error {
	var code kafka.Error
	switch {
	case errors.Is(err, codeIllegalGeneration), errors.Is(err, codeUnknownMember), errors.Is(err, codeFencedInstance), errors.Is(err, codeRebalance):
		p.generation.fence(fmt.Errorf("%w: %w", errFenced, err))
		return fmt.Errorf("%w: %w", ErrNotOwned, err)
	case unsent(err):
		return nil
	case errors.As(err, &code) && !halfDone(code):
		if passingCode(code) {
			return nil
		}
		return code
	}
	// Sent, but not answered: it may be stored now or in a moment. Joining anew
	// fences it, and reading after that tells.
	p.generation.fence(fmt.Errorf("%w: %w", ErrUnknownOutcome, err))
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// halfDone says of an error code that the broker may have stored the commit
// nevertheless.
func halfDone(code kafka.Error) bool {
	return code == kafka.RequestTimedOut || code == kafka.NetworkException || code == kafka.NotEnoughReplicasAfterAppend
}

func (p *Partition) acknowledged(next int64, metadata string, took time.Duration) {
	p.consumer.remember(partitionKey{p.topic, p.partition}, commitment{p.topicID, next, metadata})
	p.consumer.metrics.committed(took)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed = next
	p.consumer.metrics.setLag(p.topic, p.partition, p.end-p.committed)
}
