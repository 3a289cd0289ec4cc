package redact

// slabSize is how many items a slab takes at once.
const slabSize = 256

// slab makes lists, as event.Arena makes strings: one allocation serves many, and
// no item is used twice.
type slab[T any] struct{ free []T }

// take is a list of n items, all zero, that cannot grow into its neighbour.
func (s *slab[T]) take(n int) []T {
	if n > len(s.free) {
		s.free = make([]T, max(n, slabSize))
	}
	list := s.free[:n:n]
	s.free = s.free[n:]
	return list
}
