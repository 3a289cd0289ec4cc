package detect

// table keeps at most a fixed number of values by 64-bit key. When it is full,
// a value that was not looked up since the hand last passed it is dropped
// (second chance), so a flood of new keys does not push out the busy ones.
type table[T any] struct {
	limit   int
	index   map[uint64]int32
	cells   []cell[T]
	hand    int
	evicted int64
	// drop is called with a value that is about to be forgotten.
	drop func(*T)
}

type cell[T any] struct {
	key   uint64
	used  bool // looked up since the hand passed
	value T
}

func newTable[T any](limit int, drop func(*T)) *table[T] {
	return &table[T]{limit: limit, index: map[uint64]int32{}, drop: drop}
}

// get finds the value of key, or makes room for it and returns a zero one. The
// pointer is good until the next get.
func (t *table[T]) get(key uint64) (v *T, fresh bool) {
	if i, ok := t.index[key]; ok {
		t.cells[i].used = true
		return &t.cells[i].value, false
	}
	i := int32(len(t.cells))
	if len(t.cells) < t.limit {
		t.cells = append(t.cells, cell[T]{})
	} else {
		i = t.evict()
	}
	t.index[key] = i
	t.cells[i] = cell[T]{key: key}
	return &t.cells[i].value, true
}

// evict frees the cell that the hand comes to a stop at.
func (t *table[T]) evict() int32 {
	for {
		c := &t.cells[t.hand]
		at := int32(t.hand)
		t.hand = (t.hand + 1) % len(t.cells)
		if c.used {
			c.used = false
			continue
		}
		t.drop(&c.value)
		delete(t.index, c.key)
		t.evicted++
		return at
	}
}

func (t *table[T]) len() int { return len(t.cells) }
