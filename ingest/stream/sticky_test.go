package stream

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSticky(t *testing.T) {
	both := []string{"t", "u"}
	one := []string{"t"}
	for name, c := range map[string]struct {
		members    []candidate
		partitions map[string][]int32
		want       map[string]map[string][]int
	}{
		"nobody claims anything": {
			[]candidate{{id: "b", topics: one, generation: -1}, {id: "a", topics: one, generation: -1}}, map[string][]int32{"t": {2, 1, 0}},
			map[string]map[string][]int{"a": {"t": {0, 2}}, "b": {"t": {1}}},
		},
		"a newcomer takes no more than its share": {
			[]candidate{
				{id: "a", topics: one, generation: 4, claims: map[string][]int{"t": {0, 1, 2}}},
				{id: "b", topics: one, generation: 4, claims: map[string][]int{"t": {3, 4, 5}}},
				{id: "c", topics: one, generation: -1},
			}, map[string][]int32{"t": {0, 1, 2, 3, 4, 5}},
			map[string]map[string][]int{"a": {"t": {0, 1}}, "b": {"t": {3, 4}}, "c": {"t": {2, 5}}},
		},
		"what a member left goes to the others, who keep theirs": {
			[]candidate{
				{id: "b", topics: one, generation: 4, claims: map[string][]int{"t": {3, 1}}},
				{id: "c", topics: one, generation: 4, claims: map[string][]int{"t": {2}}},
			}, map[string][]int32{"t": {0, 1, 2, 3}},
			map[string]map[string][]int{"b": {"t": {1, 3}}, "c": {"t": {0, 2}}},
		},
		"the later generation has the better claim": {
			[]candidate{
				{id: "a", topics: one, generation: 3, claims: map[string][]int{"t": {0, 1}}},
				{id: "b", topics: one, generation: 5, claims: map[string][]int{"t": {0, 1}}},
				{id: "c", topics: one, generation: 4, claims: map[string][]int{"t": {0, 1, 2}}},
			}, map[string][]int32{"t": {0, 1, 2}},
			map[string]map[string][]int{"a": {"t": {1}}, "b": {"t": {0}}, "c": {"t": {2}}},
		},
		"partitions that are gone and topics no longer wanted are no claim": {
			[]candidate{
				{id: "a", topics: one, generation: 3, claims: map[string][]int{"t": {0, 9}, "u": {0}}},
				{id: "b", topics: both, generation: 3},
			}, map[string][]int32{"t": {0}, "u": {0}},
			map[string]map[string][]int{"a": {"t": {0}}, "b": {"u": {0}}},
		},
		"nobody is wanted": {nil, map[string][]int32{"t": {0}}, map[string]map[string][]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, sticky(c.members, c.partitions)); d != "" {
				t.Errorf("assignment differs (-want +got):\n%s", d)
			}
		})
	}
}

// life plays changes of a group: members come, go and return with what they once
// had, partitions are added, and each assignment becomes the next claims.
type life struct {
	t          *testing.T
	random     *rand.Rand
	uniform    bool // all members want all topics
	generation int32
	joined     int
	members    []candidate
	away       []candidate
	partitions map[string][]int32
}

func newLife(t *testing.T, seed uint64, uniform bool) *life {
	l := &life{t: t, random: rand.New(rand.NewPCG(seed, 7)), uniform: uniform, partitions: map[string][]int32{}}
	for _, topic := range []string{"t", "u", "v"} {
		for p := range 1 + l.random.IntN(12) {
			l.partitions[topic] = append(l.partitions[topic], int32(p))
		}
	}
	return l
}

// change does one thing to the group.
func (l *life) change(what byte) {
	pick := func(n int) int { return l.random.IntN(n) }
	switch n := len(l.members); {
	case n == 0 || (what%5 == 0 && n < 12):
		m := candidate{id: fmt.Sprint("m", l.joined), generation: -1, topics: []string{"t", "u", "v"}}
		l.joined++
		if !l.uniform {
			m.topics = m.topics[pick(3):]
		}
		l.members = append(l.members, m)
	case what%5 == 1:
		i := pick(n)
		l.away = append(l.away, l.members[i])
		l.members = slices.Delete(l.members, i, i+1)
	case what%5 == 2 && len(l.away) > 0:
		i := pick(len(l.away))
		l.members = append(l.members, l.away[i])
		l.away = slices.Delete(l.away, i, i+1)
	case what%5 == 3:
		topic := []string{"t", "u", "v"}[pick(3)]
		l.partitions[topic] = append(l.partitions[topic], int32(len(l.partitions[topic])))
	default: // everybody only joins again
	}
}

// assign assigns, checks and lets the members claim what they got.
func (l *life) assign() {
	got := sticky(l.members, l.partitions)
	l.random.Shuffle(len(l.members), func(i, j int) { l.members[i], l.members[j] = l.members[j], l.members[i] })
	if d := cmp.Diff(got, sticky(l.members, l.partitions)); d != "" {
		l.t.Errorf("depends on the order of members (-one +other):\n%s", d)
	}
	l.checkOwners(got)
	l.checkBalance(got)
	if l.uniform {
		l.checkMoves(got)
	}
	l.generation++
	for i := range l.members {
		l.members[i].claims, l.members[i].generation = got[l.members[i].id], l.generation
	}
	if d := cmp.Diff(got, sticky(l.members, l.partitions)); d != "" {
		l.t.Errorf("moves although nothing changed (-before +after):\n%s", d)
	}
}

// checkOwners: each partition that somebody wants has one owner, who wants it.
func (l *life) checkOwners(got map[string]map[string][]int) {
	owners := map[partitionKey]int{}
	wanted := map[string]bool{}
	for _, m := range l.members {
		for _, topic := range m.topics {
			wanted[topic] = true
		}
		for topic, parts := range got[m.id] {
			if !slices.Contains(m.topics, topic) && len(parts) > 0 {
				l.t.Errorf("%s got %s, which it does not want", m.id, topic)
			}
			for _, p := range parts {
				owners[partitionKey{topic, int32(p)}]++
			}
		}
	}
	for _, p := range sorted(l.partitions) {
		want := 0
		if wanted[p.topic] {
			want = 1
		}
		if owners[p] != want {
			l.t.Errorf("%v has %d owners: want %d", p, owners[p], want)
		}
	}
}

func count(parts map[string][]int) (n int) {
	for _, p := range parts {
		n += len(p)
	}
	return n
}

// checkBalance: nobody could hand a partition to another who wants it and has two
// fewer; so members that want the same differ by one at most.
func (l *life) checkBalance(got map[string]map[string][]int) {
	for _, a := range l.members {
		for _, b := range l.members {
			if count(got[a.id]) < count(got[b.id])+2 {
				continue
			}
			for topic, parts := range got[a.id] {
				if len(parts) > 0 && slices.Contains(b.topics, topic) {
					l.t.Errorf("%s has %d and %s %d, who wants %s too", a.id, count(got[a.id]), b.id, count(got[b.id]), topic)
				}
			}
		}
	}
}

// checkMoves: as many claims hold as in any balanced assignment, where all want the
// same: each member can keep its share, and as many members as the division
// leaves partitions over can keep one more.
func (l *life) checkMoves(got map[string]map[string][]int) {
	best := map[partitionKey]candidate{}
	for _, m := range l.members {
		for topic, parts := range m.claims {
			for _, p := range parts {
				key := partitionKey{topic, int32(p)}
				if had, ok := best[key]; !ok || m.generation > had.generation {
					best[key] = m
				}
			}
		}
	}
	claims, kept := map[string]int{}, 0
	for key, m := range best {
		claims[m.id]++
		if slices.Contains(got[m.id][key.topic], int(key.partition)) {
			kept++
		}
	}
	total := len(sorted(l.partitions))
	share, over := total/len(l.members), total%len(l.members)
	want := 0
	for _, n := range slices.Sorted(maps.Values(claims)) {
		want += min(n, share)
		if n > share && over > 0 {
			want++
			over--
		}
	}
	if kept != want {
		l.t.Errorf("%d claims hold of %d: %d could", kept, len(best), want)
	}
}

func FuzzSticky(f *testing.F) {
	f.Add(uint64(1), true, []byte{0, 0, 0, 1, 2, 3, 0, 1, 0, 2, 4, 3})
	f.Add(uint64(2), false, []byte{0, 0, 0, 0, 1, 2, 3, 3, 3, 1, 0, 2})
	f.Add(uint64(3), true, []byte("abcdefghijklmnopqrstuvwxyz"))
	f.Add(uint64(4), false, []byte("zyxwvutsrqponmlkjihgfedcba"))
	f.Fuzz(func(t *testing.T, seed uint64, uniform bool, changes []byte) {
		l := newLife(t, seed, uniform)
		for _, what := range changes[:min(len(changes), 40)] {
			if l.change(what); len(l.members) > 0 {
				l.assign()
			}
			if t.Failed() {
				return
			}
		}
	})
}

// Any bytes are a memo or are worth nothing.
func FuzzReadMemo(f *testing.F) {
	f.Add(writeMemo(3, 17))
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 2}) // of the first release
	f.Fuzz(func(t *testing.T, b []byte) {
		got := readMemo(b)
		if len(b) == memoSize && b[0] == memoVersion {
			if d := cmp.Diff(b[5:], writeMemo(0, got)[5:]); d != "" {
				t.Error(d)
			}
		} else if len(b) < memoSize && got != -1 {
			t.Errorf("got generation %d from %x", got, b)
		}
	})
}
