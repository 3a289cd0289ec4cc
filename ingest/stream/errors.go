package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// ErrNotOwned is returned by Commit when the partition has, or may have, gone to
// another member. Nothing more may be stored for it.
var ErrNotOwned = errors.New("partition is no longer owned by this process")

// ErrUnknownOutcome is returned by Commit when the connection broke before the
// answer: the commit may have been stored. The consumer then joins the group
// anew and the next handler reads what is there.
var ErrUnknownOutcome = errors.New("outcome of the offset commit is unknown")

// ErrMetadataTooLong is returned by Commit for metadata over MaxMetadata.
var ErrMetadataTooLong = errors.New("offset metadata is too long")

// GapError says that the records at the position are gone for good, because
// retention or a DeleteRecords removed them. The caller records the offsets
// [From, To) as lost and seeks to To.
type GapError struct {
	Topic     string
	Partition int32
	From      int64 // the position
	To        int64 // the first offset that is still there
}

func (e *GapError) Error() string {
	return fmt.Sprintf("read %s/%d: offsets %d to %d are gone: the broker's first offset is %d",
		e.Topic, e.Partition, e.From, e.To-1, e.To)
}

// BeyondEndError says that the position is past the end of the log while the
// topic is the same: the broker lost records that it had acknowledged.
type BeyondEndError struct {
	Topic     string
	Partition int32
	Position  int64
	End       int64 // the offset of the next record to be written
}

func (e *BeyondEndError) Error() string {
	return fmt.Sprintf("read %s/%d: position %d is past the end of the log at %d: the cluster lost acknowledged records "+
		"(an unclean leader election, or a disk restored from a backup); seek to %d to go on with what comes next",
		e.Topic, e.Partition, e.Position, e.End, e.End)
}

// BatchError says that one stored batch of records can never be read: it unpacks
// to more than Config.MaxDecompressed, its checksum or its content is wrong, or it
// is in the format that Kafka wrote before 0.11. A wrong checksum is one that was
// wrong twice, over two connections; To is then where the next batch begins, or, with
// none behind, what this one claims, within what can be read. The caller records the
// offsets [From, To) as rejected and seeks to To.
type BatchError struct {
	Topic     string
	Partition int32
	From, To  int64
	Reason    BatchReason
	Err       error
}

// BatchReason is why a batch cannot be read; a closed set.
type BatchReason string

// The reasons of a BatchError.
const (
	BatchTooLarge BatchReason = "too_large"
	BatchCorrupt  BatchReason = "corrupt"
)

func (e *BatchError) Error() string {
	return fmt.Sprintf("read %s/%d: batch at offsets %d to %d is %s: %v",
		e.Topic, e.Partition, e.From, e.To-1, e.Reason, e.Err)
}

// Unwrap returns what reading the batch ended with.
func (e *BatchError) Unwrap() error { return e.Err }

// RecreatedError says that the topic was deleted and created again since the
// group committed: offsets of the old topic mean nothing in the new one, though
// the broker would accept them. The caller records that and seeks to First.
type RecreatedError struct {
	Topic     string
	Partition int32
	Was, Is   string // topic ids, 32 hex digits
	Committed int64  // the offset committed for the old topic, or -1
	First     int64  // the first offset of the new topic
}

func (e *RecreatedError) Error() string {
	return fmt.Sprintf("read %s/%d: topic was deleted and created again (id %s, now %s): committed offset %d belongs to the old one; "+
		"choose another kafka.group to read the new topic from its start", e.Topic, e.Partition, e.Was, e.Is, e.Committed)
}

// PositionLostError says that the group has no offset for a partition for which
// this process has committed one: the broker expired or lost it. Starting at the
// first offset would read everything again. Partition.Position has that commit with
// its metadata; a Seek to finish what it declares settles this error as well.
type PositionLostError struct {
	Topic     string
	Partition int32
	Committed int64 // the last offset that this process committed
}

func (e *PositionLostError) Error() string {
	return fmt.Sprintf("read %s/%d: the group lost its offset, last committed %d: seek to it to go on",
		e.Topic, e.Partition, e.Committed)
}

// kafka error codes that steer the group loop.
const (
	codeOffsetOutOfRange   = kafka.OffsetOutOfRange             // 1
	codeUnknownTopic       = kafka.UnknownTopicOrPartition      // 3
	codeLeaderNotAvailable = kafka.LeaderNotAvailable           // 5
	codeNotLeader          = kafka.NotLeaderForPartition        // 6
	codeLoading            = kafka.GroupLoadInProgress          // 14
	codeNoCoordinator      = kafka.GroupCoordinatorNotAvailable // 15
	codeNotCoordinator     = kafka.NotCoordinatorForGroup       // 16
	codeIllegalGeneration  = kafka.IllegalGeneration            // 22
	codeUnknownMember      = kafka.UnknownMemberId              // 25
	codeRebalance          = kafka.RebalanceInProgress          // 27
	codeMemberIDRequired   = kafka.MemberIDRequired             // 79
	codeFencedInstance     = kafka.FencedInstanceID             // 82
)

// passing says of an error that trying again may mend it.
func passing(err error) bool {
	var code kafka.Error
	if errors.As(err, &code) {
		return passingCode(code)
	}
	switch {
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition), errors.Is(err, protocol.ErrNoLeader):
		return true
	}
	return broken(err)
}

func passingCode(code kafka.Error) bool {
	switch code {
	case codeUnknownTopic, codeLeaderNotAvailable, codeNotLeader, codeLoading, codeNoCoordinator, codeNotCoordinator,
		kafka.RequestTimedOut, kafka.BrokerNotAvailable, kafka.ReplicaNotAvailable, kafka.NetworkException,
		kafka.NotEnoughReplicas, kafka.NotEnoughReplicasAfterAppend, kafka.FencedLeaderEpoch, kafka.UnknownLeaderEpoch,
		kafka.OffsetNotAvailable, kafka.UnstableOffsetCommit:
		return true
	}
	return false
}

// broken says that the connection, not the broker's judgement, ended a request.
func broken(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// unsent says that a request never left: no connection was made for it.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, kafka.BrokerNotAvailable)
}

// codeOf names an error for the metric, from a closed set.
func codeOf(err error) string {
	var code kafka.Error
	var batch *BatchError
	switch {
	case errors.As(err, &batch):
		return string(batch.Reason)
	case errors.As(err, &code):
		return nameOf(code)
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case unsent(err):
		return "dial"
	case broken(err):
		return "connection"
	}
	return "other"
}

func nameOf(code kafka.Error) string {
	switch code {
	case codeOffsetOutOfRange:
		return "offset"
	case codeUnknownTopic:
		return "topic"
	case codeNotLeader, codeLeaderNotAvailable:
		return "leader"
	case codeLoading, codeNoCoordinator, codeNotCoordinator:
		return "coordinator"
	case codeIllegalGeneration, codeUnknownMember, codeFencedInstance:
		return "fenced"
	case codeRebalance:
		return "rebalance"
	case kafka.SASLAuthenticationFailed, kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed:
		return "auth"
	}
	return "broker"
}
