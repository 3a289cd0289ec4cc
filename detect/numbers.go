package detect

import "slices"

const (
	// maxNumbers is how many numbers are remembered; a run is counted up to it.
	maxNumbers = 128
	// maxGap is how far neighbours of a run may be apart. Two, so that every
	// other id, or an id taken by somebody else, does not end it.
	maxGap = 2
)

// numbers is the different numbers of a sliding window, in order. The longest
// run does not depend on the order in which they came, so several workers that
// share one enumeration, or a shuffled one, look like the plain one.
type numbers struct {
	points []point
	cached float64
	valid  bool
}

type point struct{ n, bucket int64 }

// add notes n in sub-bucket b and reports whether it is new.
func (s *numbers) add(n, b int64) bool {
	i, found := slices.BinarySearchFunc(s.points, n, func(p point, n int64) int {
		switch {
		case p.n < n:
			return -1
		case p.n > n:
			return 1
		}
		return 0
	})
	if found {
		s.points[i].bucket = max(s.points[i].bucket, b)
		return false
	}
	s.valid = false
	if len(s.points) == maxNumbers {
		oldest := s.oldest()
		s.points = slices.Delete(s.points, oldest, oldest+1)
		if oldest < i {
			i--
		}
	}
	s.points = slices.Insert(s.points, i, point{n, b})
	return true
}

func (s *numbers) oldest() int {
	at := 0
	for i := range s.points {
		if s.points[i].bucket < s.points[at].bucket {
			at = i
		}
	}
	return at
}

// slide forgets what the window leaves behind when its newest sub-bucket is next.
func (s *numbers) slide(next int64) {
	n := len(s.points)
	s.points = slices.DeleteFunc(s.points, func(p point) bool { return p.bucket <= next-subBuckets })
	s.valid = s.valid && n == len(s.points)
}

// longest is the length of the longest run.
func (s *numbers) longest() float64 {
	if s.valid {
		return s.cached
	}
	best, n := 0, 0
	for i := range s.points {
		if i > 0 && uint64(s.points[i].n)-uint64(s.points[i-1].n) <= maxGap {
			n++
		} else {
			n = 1
		}
		best = max(best, n)
	}
	s.cached, s.valid = float64(best), true
	return s.cached
}
