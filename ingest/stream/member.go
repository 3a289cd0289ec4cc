package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

const protocolType = "consumer"

// rejoinGrace is added to the drain time: members that drain must not be thrown
// out of the group while they do.
const rejoinGrace = 15 * time.Second

// member is this process in its group.
type member struct {
	link  *link
	beats *kafka.Client // to the coordinator by address
	id    string        // given by the coordinator, kept over rebalances
	joins uint32

	last      assignment // what it claims when it joins again
	protocols []string   // offered in this order

	beatTransport *kafka.Transport
}

// assignment is what one generation of the group gave this member.
type assignment struct {
	generation  int
	protocol    string
	memberID    string
	coordinator string
	leader      bool
	partitions  map[string][]int
}

func newMember(l *link) *member {
	t := l.newTransport([]string{}) // heartbeats need to know of no topic
	return &member{link: l, beats: &kafka.Client{Transport: t}, beatTransport: t,
		last: assignment{generation: -1}, protocols: []string{protocolSticky, protocolRoundRobin}}
}

func (m *member) rebalanceTimeout() time.Duration {
	drain := m.link.cfg.DrainTimeout
	return drain + drain/drainNotice + rejoinGrace
}

// errRejoin says that a join was overtaken by another rebalance.
var errRejoin = errors.New("group is rebalancing again")

// join enters the group, or its next generation, and waits for the assignment.
// Errors that passing says may mend, and errRejoin, are worth another try.
func (m *member) join(ctx context.Context) (assignment, error) {
	coordinator, err := m.coordinator(ctx)
	if err != nil {
		return assignment{}, err
	}
	joined, err := m.joinGroup(ctx)
	if err != nil {
		return assignment{}, err
	}
	a := assignment{generation: joined.GenerationID, protocol: joined.ProtocolName, memberID: m.id, coordinator: coordinator, leader: joined.LeaderID == m.id}
	var plan []kafka.SyncGroupRequestAssignment
	if a.leader {
		if plan, err = m.plan(ctx, joined); err != nil {
			return assignment{}, err
		}
	}
	if a.partitions, err = m.syncGroup(ctx, a, plan); err != nil {
		return assignment{}, err
	}
	m.last = a
	return a, nil
}

// coordinator finds the broker that keeps the group.
func (m *member) coordinator(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := m.link.client.FindCoordinator(ctx, &kafka.FindCoordinatorRequest{
		Key: m.link.cfg.Group, KeyType: kafka.CoordinatorKeyTypeConsumer,
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return "", fmt.Errorf("find coordinator of group %s: %w", m.link.cfg.Group, groupAdvice(err))
	}
	return net.JoinHostPort(res.Coordinator.Host, fmt.Sprint(res.Coordinator.Port)), nil
}

func (m *member) joinGroup(ctx context.Context) (*kafka.JoinGroupResponse, error) {
	cfg := m.link.cfg
	ctx, cancel := context.WithTimeout(ctx, m.rebalanceTimeout()+cfg.SessionTimeout+requestTimeout)
	defer cancel()
	protocols := m.offer()
	for {
		res, err := m.link.client.JoinGroup(ctx, &kafka.JoinGroupRequest{
			GroupID:          cfg.Group,
			SessionTimeout:   cfg.SessionTimeout,
			RebalanceTimeout: m.rebalanceTimeout(),
			MemberID:         m.id,
			GroupInstanceID:  cfg.InstanceID,
			ProtocolType:     protocolType,
			Protocols:        protocols,
		})
		if err == nil {
			err = res.Error
		}
		switch {
		case err == nil:
			m.id = res.MemberID
			m.joins++
			return res, nil
		case errors.Is(err, codeMemberIDRequired):
			m.id = res.MemberID
		case errors.Is(err, codeUnknownMember) && m.id != "":
			m.id = ""
		default:
			return nil, fmt.Errorf("join group %s: %w", cfg.Group, groupAdvice(err))
		}
	}
}

// offer is what this member says of itself, under each protocol.
func (m *member) offer() (out []kafka.GroupProtocol) {
	for _, name := range m.protocols {
		out = append(out, kafka.GroupProtocol{Name: name, Metadata: kafka.GroupProtocolSubscription{
			Topics: m.link.cfg.Topics, UserData: writeMemo(m.joins, int32(m.last.generation)), OwnedPartitions: m.last.partitions,
		}})
	}
	return out
}

// plan assigns the partitions of all subscribed topics; the leader's work.
func (m *member) plan(ctx context.Context, joined *kafka.JoinGroupResponse) ([]kafka.SyncGroupRequestAssignment, error) {
	var candidates []candidate
	wanted := map[string]bool{}
	for _, in := range joined.Members {
		candidates = append(candidates, candidate{
			id: in.ID, instance: in.GroupInstanceID, topics: in.Metadata.Topics,
			claims: in.Metadata.OwnedPartitions, generation: readMemo(in.Metadata.UserData),
		})
		for _, name := range in.Metadata.Topics {
			wanted[name] = true
		}
	}
	t, err := m.link.topology(ctx, slices.Sorted(maps.Keys(wanted)))
	if err != nil {
		return nil, fmt.Errorf("assign partitions: %w", err)
	}
	partitions := map[string][]int32{}
	for name, found := range t.topics {
		partitions[name] = found.partitions
	}
	assign := sticky
	if joined.ProtocolName == protocolRoundRobin {
		assign = roundRobin
	}
	var out []kafka.SyncGroupRequestAssignment
	for id, mine := range assign(candidates, partitions) {
		out = append(out, kafka.SyncGroupRequestAssignment{
			MemberID: id, Assignment: kafka.GroupProtocolAssignment{AssignedPartitions: mine},
		})
	}
	return out, nil
}

func (m *member) syncGroup(ctx context.Context, a assignment, plan []kafka.SyncGroupRequestAssignment) (map[string][]int, error) {
	cfg := m.link.cfg
	ctx, cancel := context.WithTimeout(ctx, m.rebalanceTimeout()+requestTimeout)
	defer cancel()
	res, err := m.link.client.SyncGroup(ctx, &kafka.SyncGroupRequest{
		GroupID:         cfg.Group,
		GenerationID:    a.generation,
		MemberID:        a.memberID,
		GroupInstanceID: cfg.InstanceID,
		ProtocolType:    protocolType,
		ProtocolName:    a.protocol,
		Assignments:     plan,
	})
	if err == nil {
		err = res.Error
	}
	switch {
	case err == nil:
		return res.Assignment.AssignedPartitions, nil
	case errors.Is(err, codeRebalance), errors.Is(err, codeIllegalGeneration):
		return nil, errRejoin
	case errors.Is(err, codeUnknownMember):
		m.id = ""
		return nil, errRejoin
	}
	return nil, fmt.Errorf("sync group %s: %w", cfg.Group, groupAdvice(err))
}

// heartbeat tells the coordinator that this member lives and returns its
// verdict. kafka-go reads the answer's two fields in the wrong order, so that the
// error arrives in the low half of the throttle time; and it sends to whatever
// address it is given, so that must be the coordinator's (README, traps 1 and 2).
func (m *member) heartbeat(ctx context.Context, a assignment) error {
	ctx, cancel := context.WithTimeout(ctx, m.link.cfg.SessionTimeout/2)
	defer cancel()
	res, err := m.beats.Heartbeat(ctx, &kafka.HeartbeatRequest{
		Addr:            kafka.TCP(a.coordinator),
		GroupID:         m.link.cfg.Group,
		GenerationID:    int32(a.generation),
		MemberID:        a.memberID,
		GroupInstanceID: m.link.cfg.InstanceID,
	})
	if err != nil {
		return fmt.Errorf("send heartbeat: %w", err)
	}
	if code := swappedCode(res.Throttle); code != 0 {
		return fmt.Errorf("send heartbeat: %w", code)
	}
	return nil
}

// swappedCode is the error code of a response whose throttle time and error code
// kafka-go reads in the wrong order: the low 16 bits of the "throttle".
func swappedCode(throttle time.Duration) kafka.Error {
	return kafka.Error(int16(throttle.Milliseconds() & 0xffff))
}

// leave gives up the membership at once, so that nobody waits for the session to
// end. It looks for the coordinator as long as a request may take.
func (m *member) leave(ctx context.Context) error {
	if m.id == "" && m.link.cfg.InstanceID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var retry backoff
	for {
		err := m.leaveOnce(ctx)
		if err == nil {
			m.id = ""
			return nil
		}
		if !passing(err) || retry.pause(ctx) != nil {
			return fmt.Errorf("leave group %s: %w", m.link.cfg.Group, groupAdvice(err))
		}
	}
}

func (m *member) leaveOnce(ctx context.Context) error {
	res, err := m.link.client.LeaveGroup(ctx, &kafka.LeaveGroupRequest{
		GroupID: m.link.cfg.Group,
		Members: []kafka.LeaveGroupRequestMember{{ID: m.id, GroupInstanceID: m.link.cfg.InstanceID}},
	})
	if err != nil {
		return err
	}
	if code := swappedCode(res.Throttle); code != 0 { // as in a heartbeat's answer
		return code
	}
	for _, gone := range res.Members {
		if gone.Error != nil && !errors.Is(gone.Error, codeUnknownMember) {
			return gone.Error
		}
	}
	return nil
}

// groupAdvice adds what to do to the broker's refusals that need a person.
func groupAdvice(err error) error {
	switch {
	case errors.Is(err, kafka.InconsistentGroupProtocol):
		return fmt.Errorf("%w: another kind of consumer uses this group; choose another kafka.group", err)
	case errors.Is(err, kafka.InvalidSessionTimeout):
		return fmt.Errorf("%w: kafka.session_timeout lies outside the broker's group.min.session.timeout.ms and group.max.session.timeout.ms", err)
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		return fmt.Errorf("%w: give this user READ on the group", err)
	case errors.Is(err, kafka.GroupMaxSizeReached):
		return fmt.Errorf("%w: raise the broker's group.max.size or run fewer members", err)
	case errors.Is(err, codeFencedInstance):
		return fmt.Errorf("%w: another process runs with this kafka.instance_id; give each its own", err)
	}
	return err
}
