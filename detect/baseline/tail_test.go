package baseline

import (
	"math"
	"testing"
)

// The wanted values are sums of the probabilities in 60-digit arithmetic.
func TestLogTailKnownValues(t *testing.T) {
	for _, c := range []struct{ x, mean, size, want float64 }{
		{1, 0.5, 1, -1.09861228866810969},
		{5, 1, 1, -3.46573590279972654},
		{20, 2, 0.5, -5.81433879890164886},
		{60, 7.5, 2, -11.5709376013207263},
		{100, 20, 2, -7.21938305191852241},
		{100, 20, 1e6, -83.9428985061056741},
		{1000, 10, 3, -252.164917788994063},
		{3, 10, 0.2, -0.90968233367332211},
		{360, 30, 12, -87.4055389767567075},
		{30, 30, 12, -0.73300101942422204},
		{50000, 1000, 5, -230.472972384058612},
		{1, 1e-6, 0.01, -13.8155610558560257},
		{200, 199, 50, -0.74496028635187894},
	} {
		got := LogTail(c.x, c.mean, c.size)
		if math.Abs(got-c.want) > 1e-9*math.Max(1, math.Abs(c.want)) {
			t.Errorf("LogTail(%v, %v, %v) = %.15g: want %.15g", c.x, c.mean, c.size, got, c.want)
		}
	}
}

func TestLogTailEdges(t *testing.T) {
	for _, c := range []struct{ x, mean, size, want float64 }{
		{0, 10, 2, 0},
		{-3, 10, 2, 0},
		{1, 0, 2, math.Inf(-1)},
		{math.NaN(), 1, 1, 0},
	} {
		if got := LogTail(c.x, c.mean, c.size); got != c.want {
			t.Errorf("LogTail(%v, %v, %v) = %v: want %v", c.x, c.mean, c.size, got, c.want)
		}
	}
}

func FuzzLogTail(f *testing.F) {
	f.Add(20.0, 2.0, 0.5)
	f.Add(1e6, 1e5, 1e9)
	f.Add(1.0, 1e-9, 1e-9)
	f.Fuzz(func(t *testing.T, x, mean, size float64) {
		if !(x >= 1 && x <= 1e6 && mean >= 1e-6 && mean <= 1e6 && size >= 1e-6 && size <= 1e9) {
			return
		}
		p := LogTail(x, mean, size)
		if math.IsNaN(p) || p > 0 {
			t.Fatalf("LogTail(%v, %v, %v) = %v: not a logarithm of a probability", x, mean, size, p)
		}
		if further := LogTail(x+1, mean, size); further > p+1e-6*math.Max(1, -p) {
			t.Fatalf("LogTail(%v) = %v < LogTail(%v) = %v at mean %v, size %v: not falling", x, p, x+1, further, mean, size)
		}
	})
}

func TestDiscoveries(t *testing.T) {
	ln := func(ps ...float64) []float64 {
		out := make([]float64, len(ps))
		for i, p := range ps {
			out[i] = math.Log(p)
		}
		return out
	}
	for _, c := range []struct {
		name  string
		p     []float64
		tests int
		want  float64 // largest p picked, 0 = none
	}{
		{"one clear among a thousand", []float64{1e-9}, 1000, 1e-9},
		{"one unclear among a thousand", []float64{1e-3}, 1000, 0},
		{"the same alone", []float64{1e-3}, 1, 1e-3},
		{"step up: the second carries the first", []float64{0.009, 0.019, 0.5}, 10, 0.019},
		{"none", nil, 100, 0},
	} {
		cut, ok := Discoveries(ln(c.p...), c.tests, 0.1)
		if ok != (c.want != 0) || (ok && math.Abs(cut-math.Log(c.want)) > 1e-12) {
			t.Errorf("%s: got %v, %v", c.name, math.Exp(cut), ok)
		}
	}
}

// On traffic that is itself negative binomial, with very different callers, the
// test must find planted bursts and hardly anything else.
func TestJudgeOnSimulatedTraffic(t *testing.T) {
	const entities, history, tested = 400, 300, 200
	rnd := newRand(7)
	series, rate := make([]Series, entities), make([]float64, entities)
	for i := range rate {
		rate[i] = 20 * rnd.gamma(0.5) / 0.5
	}
	var pool Pool
	window := func(burst int) (found []int) {
		var logP []float64
		var at []int
		var sum Sum
		for i := range series {
			x := rnd.negativeBinomial(rate[i], 2)
			if i == burst {
				x = math.Max(60, 12*rate[i])
			}
			if e, ok := pool.Judge(&series[i], x, 20, 3); ok {
				logP, at = append(logP, e.LogP), append(at, i)
			}
			series[i].Learn(pool.Clip(&series[i], x))
			sum.Add(&series[i])
		}
		pool.Update(sum, 0)
		cut, ok := Discoveries(logP, entities, 0.1)
		for k, p := range logP {
			if ok && p <= cut {
				found = append(found, at[k])
			}
		}
		return found
	}
	for range history {
		window(-1)
	}
	falseAlarms, hits := 0, 0
	for w := range tested {
		burst := -1
		if w%4 == 0 {
			burst = (w * 31) % entities
		}
		for _, i := range window(burst) {
			if i == burst {
				hits++
			} else {
				falseAlarms++
			}
		}
	}
	t.Logf("found %d of %d bursts, %d false alarms in %d tests", hits, tested/4, falseAlarms, tested*entities)
	const most = 30 // the procedure aims at one in ten windows without a burst: 20
	if hits < 45 || falseAlarms > most {
		t.Errorf("found %d of %d bursts with %d false alarms: want at least 45 and at most %d", hits, tested/4, falseAlarms, most)
	}
}

func TestSeriesFollowsARampWithoutAlarm(t *testing.T) {
	var pool Pool
	series := make([]Series, 50)
	for w := range 600 {
		level := 20.0
		if w > 300 {
			level *= math.Exp(math.Min(float64(w-300)/60, math.Log(10))) // tenfold in 138 windows
		}
		var sum Sum
		for i := range series {
			x := level + float64((w*7+i*13)%9)
			if e, ok := pool.Judge(&series[i], x, 20, 3); ok && e.LogP < math.Log(0.1/50) {
				t.Fatalf("window %d: a slow ramp is called unusual: %v calls, expected %v", w, x, e.Mean)
			}
			series[i].Learn(pool.Clip(&series[i], x))
			sum.Add(&series[i])
		}
		pool.Update(sum, level)
	}
}

func TestClipKeepsASpikeOut(t *testing.T) {
	var pool Pool
	var s Series
	for w := range 100 {
		s.Learn(float64(28 + w%5))
		var sum Sum
		sum.Add(&s)
		pool.Update(sum, 32)
	}
	before := s.Mean
	got := pool.Clip(&s, 5000)
	if got > 100 {
		t.Errorf("5000 calls after 30 per window: %v of them learned, want at most 100", got)
	}
	if kept := pool.Clip(&s, 31); kept != 31 {
		t.Errorf("an ordinary count is cut to %v", kept)
	}
	s.Learn(got)
	if s.Mean > before*1.1 {
		t.Errorf("mean went from %v to %v by one spike", before, s.Mean)
	}
}

// rand is a small deterministic generator, the same on every platform.
type rand struct{ s uint64 }

func newRand(seed uint64) *rand { return &rand{seed} }

func (r *rand) float() float64 {
	r.s += 0x9e3779b97f4a7c15
	z := r.s
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (float64((z^z>>31)>>11) + 0.5) / (1 << 53)
}

func (r *rand) normal() float64 {
	return math.Sqrt(-2*math.Log(r.float())) * math.Cos(2*math.Pi*r.float())
}

// gamma draws with the given shape and scale 1 (Marsaglia and Tsang).
func (r *rand) gamma(shape float64) float64 {
	if shape < 1 {
		return r.gamma(shape+1) * math.Pow(r.float(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.normal()
		v := math.Pow(1+c*x, 3)
		if v > 0 && math.Log(r.float()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

func (r *rand) poisson(m float64) float64 {
	if m > 50 {
		return math.Max(0, math.Round(m+math.Sqrt(m)*r.normal()))
	}
	l, k, p := math.Exp(-m), 0.0, 1.0
	for {
		p *= r.float()
		if p <= l {
			return k
		}
		k++
	}
}

func (r *rand) negativeBinomial(mean, size float64) float64 {
	if mean <= 0 {
		return 0
	}
	return r.poisson(r.gamma(size) * mean / size)
}
