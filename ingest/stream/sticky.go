package stream

import (
	"encoding/binary"
	"maps"
	"slices"
)

// sticky leaves partitions where they are as far as balance allows: members that
// want the same topics differ by one partition at most, and where all want the
// same no assignment as balanced moves fewer. It depends on nothing but its
// arguments.
//
// What members claim may be stale: one that was away comes back with what it once
// had. Of two claims to one partition the one from the later generation holds.
func sticky(members []candidate, partitions map[string][]int32) map[string]map[string][]int {
	s := newSharing(seats(members))
	for _, p := range sorted(partitions) {
		if owner, ok := s.claimant(p); ok {
			s.give(owner, p)
		}
	}
	for _, p := range sorted(partitions) {
		if _, taken := s.owner[p]; taken {
			continue
		}
		if to, ok := s.lightest(p.topic); ok {
			s.give(to, p)
		}
	}
	for s.level() {
	}
	return s.result()
}

// sorted are the partitions in the order of their topics and numbers.
func sorted(partitions map[string][]int32) (out []partitionKey) {
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		for _, p := range slices.Sorted(slices.Values(partitions[topic])) {
			out = append(out, partitionKey{topic, p})
		}
	}
	return out
}

// sharing is an assignment in the making. Members are numbers, in their order.
type sharing struct {
	members []candidate
	wants   []map[string]bool // topics, by member
	owner   map[partitionKey]int
	load    []int
	held    [][]partitionKey // by member; the last comes first when one must go
	claims  map[partitionKey]int
}

func newSharing(members []candidate) *sharing {
	n := len(members)
	s := &sharing{
		members: members, owner: map[partitionKey]int{}, claims: map[partitionKey]int{},
		wants: make([]map[string]bool, n), load: make([]int, n), held: make([][]partitionKey, n),
	}
	for i, m := range members {
		s.wants[i] = map[string]bool{}
		for _, topic := range m.topics {
			s.wants[i][topic] = true
		}
		for topic, parts := range m.claims {
			for _, p := range parts {
				s.claim(partitionKey{topic, int32(p)}, i)
			}
		}
	}
	return s
}

// claim notes what a member claims, unless a member before it has the better
// claim.
func (s *sharing) claim(p partitionKey, member int) {
	rival, rivalled := s.claims[p]
	if s.wants[member][p.topic] && (!rivalled || s.members[member].generation > s.members[rival].generation) {
		s.claims[p] = member
	}
}

func (s *sharing) claimant(p partitionKey) (member int, ok bool) {
	member, ok = s.claims[p]
	return member, ok
}

func (s *sharing) give(to int, p partitionKey) {
	s.owner[p] = to
	s.load[to]++
	s.held[to] = append(s.held[to], p)
}

// lightest is the first of the members with the fewest partitions among those
// that want the topic.
func (s *sharing) lightest(topic string) (best int, ok bool) {
	for i := range s.members {
		if s.wants[i][topic] && (!ok || s.load[i] < s.load[best]) {
			best, ok = i, true
		}
	}
	return best, ok
}

// level moves one partition from a member to another that has at least two fewer,
// and says whether there was one to move. It starts from the most loaded member,
// so that nothing moves twice where all want the same.
func (s *sharing) level() bool {
	order := make([]int, len(s.members))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return s.load[b] - s.load[a] })
	for _, from := range order {
		for i := len(s.held[from]) - 1; i >= 0; i-- {
			p := s.held[from][i]
			if to, ok := s.lightest(p.topic); ok && s.load[from] >= s.load[to]+2 {
				s.held[from] = slices.Delete(s.held[from], i, i+1)
				s.load[from]--
				s.give(to, p)
				return true
			}
		}
	}
	return false
}

func (s *sharing) result() map[string]map[string][]int {
	out := make(map[string]map[string][]int, len(s.members))
	for i, m := range s.members {
		out[m.id] = map[string][]int{}
		for _, p := range s.held[i] {
			out[m.id][p.topic] = append(out[m.id][p.topic], int(p.partition))
		}
		for _, parts := range out[m.id] {
			slices.Sort(parts)
		}
	}
	return out
}

// Every join carries a memo to the leader of the group, in the subscription's
// user data: the number of the join and the generation in which the partitions
// were assigned that the member claims. The number makes every join of a member
// differ from the one before. Without it the coordinator answers a member that
// comes back with the old generation, in which a commit of unknown outcome could
// still be accepted later, and without writing anything; with it each join opens a
// new generation, which fences that commit and whose SyncGroup is a write of the
// coordinator. Reading the offsets behind that write is what makes them the newest
// (README, trap 5).
const (
	memoVersion = 2
	memoSize    = 1 + 4 + 4
)

func writeMemo(joins uint32, generation int32) []byte {
	memo := binary.BigEndian.AppendUint32([]byte{memoVersion}, joins)
	return binary.BigEndian.AppendUint32(memo, uint32(generation))
}

// readMemo returns the generation that a memo speaks of, or -1 where it is not
// one: such claims give way to all others.
func readMemo(memo []byte) (generation int32) {
	if len(memo) < memoSize || memo[0] != memoVersion {
		return -1
	}
	return int32(binary.BigEndian.Uint32(memo[5:]))
}
