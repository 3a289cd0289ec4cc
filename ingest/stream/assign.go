package stream

import (
	"cmp"
	"maps"
	"slices"
)

// Protocols are how members of a Gatehouse group recognise one another; a group in
// which somebody speaks neither refuses us. Every member offers both, best first,
// and the coordinator takes one that all of them know: while a release that knows
// only the older one still runs in the group, that is it.
const (
	protocolSticky     = "gatehouse-sticky"
	protocolRoundRobin = "gatehouse-roundrobin"
)

// candidate is a member as the leader of the group sees it.
type candidate struct {
	id       string // of this session
	instance string // static name, "" for a dynamic member
	topics   []string

	claims     map[string][]int // what it was assigned last
	generation int32            // in which it was; -1 for never
}

// seats are the members in an order that restarts of static members leave as it
// is.
func seats(members []candidate) []candidate {
	return slices.SortedFunc(slices.Values(members), func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.id, b.id))
	})
}

// roundRobin deals the partitions of each topic to the members that want it, in
// turn, so that loads differ by at most one partition where everybody wants the
// same topics. It depends on nothing but its arguments.
func roundRobin(members []candidate, partitions map[string][]int32) map[string]map[string][]int {
	members = seats(members)
	out := make(map[string]map[string][]int, len(members))
	load := make(map[string]int, len(members))
	for _, m := range members {
		out[m.id] = map[string][]int{}
	}
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		for _, p := range slices.Sorted(slices.Values(partitions[topic])) {
			m, ok := lightest(members, load, topic)
			if !ok {
				break
			}
			out[m.id][topic] = append(out[m.id][topic], int(p))
			load[m.id]++
		}
	}
	return out
}

// lightest is the first member with the fewest partitions among those that want
// the topic.
func lightest(members []candidate, load map[string]int, topic string) (best candidate, ok bool) {
	for _, m := range members {
		if slices.Contains(m.topics, topic) && (!ok || load[m.id] < load[best.id]) {
			best, ok = m, true
		}
	}
	return best, ok
}
