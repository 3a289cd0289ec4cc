// Package baseline is the statistics of counts per window: how likely is it
// that an entity with this past makes so many calls?
//
// Only windows in which an entity is active are learned and judged (a hurdle
// model): people come in visits with silence between, and a mean over the
// silence would make every visit a spike.
//
// Counts of calls vary more than a Poisson count does, and differently for every
// caller, so the model is the negative binomial, with mean and dispersion from
// exponential moments and the dispersion shrunk towards that of all entities.
// "Mean plus k standard deviations" is far too small for such tails: on
// simulated traffic it gives three orders of magnitude more false alarms at the
// same recall.
//
// The package is pure: no clock, no state of its own, no randomness.
package baseline

import "math"

// Memory of a series, in windows.
const (
	slowMemory = 1440 // mean and dispersion; a day of minutes
	fastMemory = 30   // a second mean that follows a ramp
	// ownHistory is how many active windows of its own an entity needs before it is
	// judged by them.
	ownHistory = 10
	// shrinkage is how many windows weigh as much as the pool in the dispersion.
	shrinkage = 200
	// newcomer is how many times more than anybody else ordinarily does, and than
	// the smallest unusual count, an entity without that history has to do.
	newcomer = 5
	// noExcess is the size that stands for "no more spread than Poisson".
	noExcess = 1e6
)

// Series is what is remembered of one entity's counts. The zero value is a
// series without history.
type Series struct {
	N    float64 // active windows learned
	Mean float64 // slow exponential mean
	Var  float64 // exponential variance around it
	Fast float64 // fast exponential mean
}

// Learn adds the count of one window.
func (s *Series) Learn(x float64) {
	s.N++
	a := 1 / math.Min(s.N, slowMemory)
	d := x - s.Mean
	s.Mean += a * d
	s.Var = (1 - a) * (s.Var + a*d*d)
	s.Fast += (x - s.Fast) / math.Min(s.N, fastMemory)
}

// Ready reports whether the series has enough history of its own.
func (s *Series) Ready() bool { return s.N >= ownHistory }

// size is the series' own dispersion by moments.
func (s *Series) size() float64 {
	if s.Var <= s.Mean || s.Mean == 0 {
		return noExcess
	}
	return math.Min(noExcess, s.Mean*s.Mean/(s.Var-s.Mean))
}

// Pool is what the entities of one kind have in common.
type Pool struct {
	Entities float64
	Windows  float64 // windows that the pool has watched
	size     float64 // dispersion of all entities together
	a, b     float64 // gamma prior of their means: shape and rate
	Peak     float64 // highest ordinary count of a window, slowly forgotten
}

// Sum gathers the moments of the series of a pool.
type Sum struct {
	n, mean, mean2, excess float64
}

// Add takes one series into account.
func (t *Sum) Add(s *Series) { t.move(s, 1) }

// Remove takes out what Add took in, before the series changes.
func (t *Sum) Remove(s *Series) { t.move(s, -1) }

func (t *Sum) move(s *Series, sign float64) {
	if s.N == 0 {
		return
	}
	t.n += sign
	t.mean += sign * s.Mean
	t.mean2 += sign * s.Mean * s.Mean
	t.excess += sign * (s.Var - s.Mean)
}

// peakMemory is over how many windows the peak halves, about.
const peakMemory = 1000

// Update ends a window of the pool: t holds the moments of its series and peak
// the highest ordinary count of the window.
func (p *Pool) Update(t Sum, peak float64) {
	p.Windows++
	p.Entities = t.n
	p.Peak = math.Max(peak, p.Peak*math.Exp2(-1.0/peakMemory))
	p.size = noExcess
	if t.excess > 0 && t.mean2 > 0 {
		p.size = math.Min(noExcess, t.mean2/t.excess)
	}
	if t.n == 0 || t.mean == 0 {
		p.a, p.b = 0, 0
		return
	}
	m := t.mean / t.n
	v := math.Max(t.mean2/t.n-m*m, m*m*1e-3)
	p.a, p.b = m*m/v, m/v
}

// warmWindows is how many windows a pool watches before anything in it is unusual.
const warmWindows = 10

// Warm reports whether the pool has watched long enough to judge at all.
func (p *Pool) Warm() bool { return p.Windows >= warmWindows && p.Entities > 0 }

// Predict is the negative binomial that is expected of s in the next window:
// mean and size (the smaller, the heavier the tail).
//
// With little history the mean leans on the pool's gamma prior and the size is
// that of the prior predictive distribution; the dispersion is shrunk towards
// the pool's in any case.
func (p *Pool) Predict(s *Series) (mean, size float64) {
	w := s.N / (s.N + shrinkage)
	size = 1 / (w/s.size() + (1-w)/p.size)
	mean = math.Max(s.Mean, s.Fast)
	if n := math.Min(s.N, slowMemory); p.b > 0 {
		sum := mean * n
		mean = (p.a + sum) / (p.b + n)
		size = 1 / (1/size + 1/(p.a+sum))
	}
	return mean, size
}

// Expectation is a prediction and the count that is being judged by it.
type Expectation struct {
	Mean, Size float64
	Least      float64 // the smallest count that is ever unusual here
	LogP       float64 // natural logarithm of P(count or more)
}

// Judge is how likely a count of at least x is. ok is false when x is not to be
// called unusual whatever its probability: the pool is cold, x is below the
// floors, or the entity is new and x is not beyond what others do.
func (p *Pool) Judge(s *Series, x, minCount, minRatio float64) (e Expectation, ok bool) {
	e.Mean, e.Size = p.Predict(s)
	e.Least = math.Max(minCount, minRatio*e.Mean)
	if !s.Ready() {
		e.Least = math.Max(e.Least, newcomer*math.Max(minCount, p.Peak))
	}
	if e.Least = math.Ceil(e.Least); !p.Warm() || x < e.Least {
		return e, false
	}
	e.LogP = LogTail(x, e.Mean, e.Size)
	return e, true
}

// bandLogP is the tail probability beyond which a count is not learned in full.
const bandLogP = -9.2 // 1e-4

// Clip is what of a count x is learned: at most the upper band of the
// expectation, so that a spike does not raise what is expected of the next one.
func (p *Pool) Clip(s *Series, x float64) float64 {
	if !s.Ready() || !p.Warm() {
		return x
	}
	m, r := p.Predict(s)
	if x <= m+3*math.Sqrt(m+m*m/r) || LogTail(x, m, r) > bandLogP {
		return x
	}
	lo, hi := m, x // the band lies between
	for hi-lo > 1 {
		mid := math.Floor((lo + hi) / 2)
		if mid <= lo {
			break
		}
		if LogTail(mid, m, r) > bandLogP {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
