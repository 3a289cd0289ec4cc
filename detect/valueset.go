package detect

// subBuckets is how many parts a window slides in. A window therefore covers
// between nine and ten tenths of its length of past events.
const subBuckets = 10

// valueSet is the distinct values of a sliding window: a small open-addressing
// table from value to the last sub-bucket that saw it. It is exact up to its
// limit; a value beyond that is not counted, so that the count is a lower bound.
type valueSet struct {
	slots []slot
	used  int               // slots taken, by live and by expired values
	full  int64             // newest sub-bucket + 1 when there was no room last
	live  [subBuckets]int32 // counted values by their last sub-bucket
}

// slot is one value. The low bits of mark are flags, the rest its sub-bucket.
type slot struct {
	key  uint64 // 0 = empty
	mark int64
}

const (
	markHit   = 1 // seen in an event that counts
	markNever = 2 // seen in an event that rules it out
	markBits  = 2
	markMask  = 1<<markBits - 1

	firstSlots = 4 // of every set, from the beginning
)

// room is what all value sets of one rule share.
type room struct {
	slots, max int // slots in use and allowed
	saturated  int64
}

// sighting is one value in one event.
type sighting struct {
	key    uint64
	bucket int64
	newest int64 // newest sub-bucket of the window
	flags  int64
}

// add notes a sighting and reports whether its value is newly counted.
func (s *valueSet) add(v sighting, limit int, r *room) bool {
	v.key = max(v.key, 1) // 0 marks an empty slot
	i, found := s.find(v.key)
	if !found {
		if !s.makeRoom(v.newest, limit, r) {
			r.saturated++
			return false
		}
		i, _ = s.find(v.key)
		s.slots[i] = slot{v.key, v.bucket << markBits}
		s.used++
	}
	sl := &s.slots[i]
	old, had := sl.mark>>markBits, sl.mark&markMask
	if old <= v.newest-subBuckets { // expired: as if new
		had = 0
	}
	counted := had == markHit
	if counted {
		s.live[index(old)]--
	}
	had |= v.flags
	at := max(old, v.bucket)
	sl.mark = at<<markBits | had
	if had == markHit {
		s.live[index(at)]++
		return !counted
	}
	return false
}

// index is the ring position of a sub-bucket.
func index(b int64) int { return int(((b % subBuckets) + subBuckets) % subBuckets) }

func (s *valueSet) find(key uint64) (i int, found bool) {
	if len(s.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(s.slots) - 1)
	for i := key & mask; ; i = (i + 1) & mask {
		switch s.slots[i].key {
		case key:
			return int(i), true
		case 0:
			return int(i), false
		}
	}
}

// makeRoom sees to it that one more value fits: it drops expired values, then
// grows. It reports false when the limit or the room is used up.
func (s *valueSet) makeRoom(newest int64, limit int, r *room) bool {
	if s.used < limit && 4*(s.used+1) <= 3*len(s.slots) {
		return true
	}
	if s.full == newest+1 { // nothing can have expired since
		return false
	}
	alive := 0
	for _, sl := range s.slots {
		if sl.key != 0 && sl.mark>>markBits > newest-subBuckets {
			alive++
		}
	}
	if alive >= limit {
		s.full = newest + 1
		return false
	}
	size := firstSlots
	for 4*(alive+1) > 3*size || (size < len(s.slots) && 8*(alive+1) > 3*size) {
		size *= 2
	}
	if r.slots-len(s.slots)+size > r.max {
		s.full = newest + 1
		return false
	}
	r.slots += size - len(s.slots)
	s.rehash(size, newest)
	return true
}

func (s *valueSet) rehash(size int, newest int64) {
	old := s.slots
	s.slots, s.used = make([]slot, size), 0
	for _, sl := range old {
		if sl.key == 0 || sl.mark>>markBits <= newest-subBuckets {
			continue
		}
		i, _ := s.find(sl.key)
		s.slots[i] = sl
		s.used++
	}
}

// slide forgets what the window leaves behind when it moves from newest to next.
func (s *valueSet) slide(newest, next int64) {
	if next-newest >= subBuckets {
		s.live = [subBuckets]int32{}
		return
	}
	for b := newest + 1; b <= next; b++ {
		s.live[index(b)] = 0
	}
}

func (s *valueSet) count() float64 {
	n := int32(0)
	for _, c := range s.live {
		n += c
	}
	return float64(n)
}
