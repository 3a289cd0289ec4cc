package baseline

import (
	"math"
	"slices"
)

// LogTail is ln P(X >= x) of a negative binomial X with the given mean and size
// (variance mean + mean²/size). It is accurate far into the tail, where the
// probability itself is no longer a float64: absolute error below 1e-9 for
// probabilities down to e^-700 and x up to 1e6.
//
// P(X >= x) is the regularised incomplete beta function I_p(x, size) with
// p = mean/(mean+size), evaluated as a continued fraction in log space.
func LogTail(x, mean, size float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsNaN(mean) || math.IsNaN(size):
		return 0
	case x <= 0:
		return 0
	case mean <= 0:
		return math.Inf(-1)
	}
	x = math.Ceil(x)
	size = math.Min(math.Max(size, 1e-9), 1e9)
	// ln p and ln(1-p) without cancellation.
	logP := -math.Log1p(size / mean)
	logQ := -math.Log1p(mean / size)
	front := x*logP + size*logQ - lbeta(x, size)
	if p := mean / (mean + size); p < (x+1)/(x+size+2) {
		return math.Min(0, front-math.Log(x)+math.Log(fraction(x, size, p)))
	}
	q := size / (mean + size)
	return log1mexp(front - math.Log(size) + math.Log(fraction(size, x, q)))
}

// lbeta is ln B(a, b). For a large argument the difference of two huge
// logarithms of the gamma function would lose all digits, so it is taken from
// their Stirling series, whose next term is below 1e-13 there.
func lbeta(a, b float64) float64 {
	const large = 100
	lo, hi := math.Min(a, b), math.Max(a, b)
	g, _ := math.Lgamma(lo)
	if hi < large {
		lh, _ := math.Lgamma(hi)
		lab, _ := math.Lgamma(a + b)
		return g + lh - lab
	}
	sum := hi + lo
	correction := func(z float64) float64 { return (1/12.0 - 1/(360*z*z)) / z }
	return g - (lo*math.Log(hi) + (sum-0.5)*math.Log1p(lo/hi) - lo + correction(sum) - correction(hi))
}

// fraction is the continued fraction of the incomplete beta function, by
// Lentz's method.
func fraction(a, b, p float64) float64 {
	const (
		tiny  = 1e-300
		close = 1e-15
		steps = 10_000
	)
	nonzero := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1.0, 1/nonzero(1-(a+b)*p/(a+1))
	h := d
	for i := 1; i <= steps; i++ {
		m := float64(i)
		even := m * (b - m) * p / ((a + 2*m - 1) * (a + 2*m))
		d = 1 / nonzero(1+even*d)
		c = nonzero(1 + even/c)
		h *= d * c
		odd := -(a + m) * (a + b + m) * p / ((a + 2*m) * (a + 2*m + 1))
		d = 1 / nonzero(1+odd*d)
		c = nonzero(1 + odd/c)
		h *= d * c
		if math.Abs(d*c-1) < close {
			break
		}
	}
	return h
}

// log1mexp is ln(1 - e^v) for v <= 0.
func log1mexp(v float64) float64 {
	switch {
	case v >= 0:
		return math.Inf(-1)
	case v > -math.Ln2:
		return math.Log(-math.Expm1(v))
	}
	return math.Log1p(-math.Exp(v))
}

// Discoveries picks what is unusual among all tests of one window, so that of
// the picked about the share q at most is chance (Benjamini and Hochberg's
// procedure). logP holds the tests that came into question, tests is how many
// there were altogether. The result is the largest logP that is picked, and
// false when none is.
func Discoveries(logP []float64, tests int, q float64) (cut float64, ok bool) {
	sorted := slices.Clone(logP)
	slices.Sort(sorted)
	for i := len(sorted) - 1; i >= 0; i-- {
		if sorted[i] <= math.Log(q*float64(i+1)/float64(max(tests, len(sorted)))) {
			return sorted[i], true
		}
	}
	return 0, false
}
