package detect

import "math"

// Bins of a crowd's histogram: exact up to 16, then four to an octave, the last
// one open.
const (
	exactBins  = 16
	perOctave  = 4
	crowdBins  = exactBins + 16*perOctave
	peersShare = 0.9999 // with fewer than 10,000 peers: the highest
)

// crowd is how an entity's peers do: for each measure, the highest value of the
// latest window of every entity of the group, but for those that the rule holds
// for: what an attacker does excuses nobody.
type crowd struct {
	bins [][crowdBins]int32 // by measure that the rule compares
	n    []int32
	born int64 // number of its making, to tell it from a forgotten one
}

// binOf is the bin of a value, and top its upper end.
func binOf(v float64) int8 {
	if v < exactBins {
		return int8(max(0, v))
	}
	b := exactBins + int(perOctave*(math.Log2(v)-4))
	return int8(min(b, crowdBins-1))
}

func top(bin int) float64 {
	if bin < exactBins {
		return float64(bin)
	}
	return math.Ceil(math.Exp2(4+float64(bin-exactBins+1)/perOctave)) - 1
}

// move changes an entity's contribution from bin old to bin next; -1 = none.
func (c *crowd) move(i int, old, next int8) {
	if old >= 0 {
		c.bins[i][old]--
		c.n[i]--
	}
	if next >= 0 {
		c.bins[i][next]++
		c.n[i]++
	}
}

// high is the value that 9,999 in 10,000 others stay at or below in measure i, and
// how many others there are. own is the entity's own bin, which is left out.
func (c *crowd) high(i int, own int8) (value float64, others float64) {
	n := c.n[i]
	if own >= 0 {
		n--
	}
	if n <= 0 {
		return 0, 0
	}
	need := int32(math.Ceil(peersShare * float64(n)))
	seen := int32(0)
	for b, k := range c.bins[i] {
		if b == int(own) {
			k--
		}
		if seen += k; seen >= need {
			return top(b), float64(n)
		}
	}
	return top(crowdBins - 1), float64(n)
}
