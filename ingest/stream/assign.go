package stream

import (
	"cmp"
	"maps"
	"slices"
)

// protocolName is how members of a Gatehouse group recognise one another. A
// group in which somebody speaks another protocol refuses us.
const protocolName = "gatehouse-roundrobin"

// candidate is a member as the leader of the group sees it.
type candidate struct {
	id       string // of this session
	instance string // static name, "" for a dynamic member
	topics   []string
}

// assign deals the partitions of each topic to the members that want it, in
// turn, so that loads differ by at most one partition where everybody wants the
// same topics. It depends on nothing but its arguments: static members keep
// their place in the order across restarts.
func assign(members []candidate, partitions map[string][]int32) map[string]map[string][]int {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.id, b.id))
	})
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
