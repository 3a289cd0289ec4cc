package traffic

import (
	"math"
	"math/rand/v2"
	"time"

	"gatehouse/ingest/event"
)

// never is the time of a call that will not happen.
const never = math.MaxInt64

// µs per unit.
const (
	ms  = int64(1000)
	sec = 1000 * ms
)

// actor makes calls one after the other. Times are µs since the Unix epoch.
type actor interface {
	// act fills in c, which is blank but for its time, and returns the time of the
	// actor's next call: after now, or never.
	act(w *world, now int64, c *Call) int64
}

// world is everything a scenario is about: who is there and who calls next.
type world struct {
	cfg        Config
	start, end int64
	cast       []actor
	agenda     agenda
	catalogue  catalogue
	blip       window // a deployment that went wrong for a short while
	pollers    []*poller
	partners   []*machine
}

// window is a span of time, µs; the end is not part of it.
type window struct{ from, to int64 }

func (w window) holds(t int64) bool { return t >= w.from && t < w.to }

func newWorld(cfg Config) *world {
	start := cfg.Start.UnixMicro()
	w := &world{cfg: cfg, start: start, end: start + cfg.Duration.Microseconds()}
	w.blip.from = start + int64(0.4*float64(w.end-start))
	w.blip.to = w.blip.from + min(20*sec, (w.end-start)/50)
	w.catalogue = newCatalogue(newDice(cfg.Seed, "catalogue", 0))
	return w
}

// join adds an actor whose first call is at the given time.
func (w *world) join(a actor, first int64) {
	w.cast = append(w.cast, a)
	w.agenda.push(entry{at: first, who: len(w.cast) - 1})
}

// at is the time after the start of the scenario by d.
func (w *world) at(d time.Duration) int64 { return w.start + d.Microseconds() }

func (w *world) run(yield func(Call) bool) {
	for len(w.agenda) > 0 && w.agenda[0].at < w.end {
		now, who := w.agenda[0].at, w.agenda[0].who
		c := Call{Raw: blank(now)}
		next := w.cast[who].act(w, now, &c)
		w.finish(&c.Raw, who)
		w.agenda.replace(max(next, now+1))
		if !yield(c) {
			return
		}
	}
}

// blank is a call of which only the time and what all calls share is known.
func blank(now int64) event.Raw {
	r := event.NewRaw("")
	r.TS, r.TSSrc = now, event.TimeStart
	r.Scheme, r.HTTPVersion = "https", "2"
	r.Method, r.Status = "GET", 200
	r.BytesScope = event.BytesTotal
	return r
}

// entry is one appointment of the agenda.
type entry struct {
	at  int64
	who int // index into the cast; breaks ties, so that order is a function of the seed
}

func (e entry) before(f entry) bool {
	return e.at < f.at || (e.at == f.at && e.who < f.who)
}

// agenda is a binary heap of appointments, the earliest first.
type agenda []entry

func (a *agenda) push(e entry) {
	*a = append(*a, e)
	h := *a
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].before(h[parent]) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

// replace moves the earliest appointment to a later time.
func (a agenda) replace(at int64) {
	a[0].at = at
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(a) {
			return
		}
		if right := child + 1; right < len(a) && a[right].before(a[child]) {
			child = right
		}
		if !a[child].before(a[i]) {
			return
		}
		a[i], a[child] = a[child], a[i]
		i = child
	}
}

// dice is one actor's own stream of random numbers.
type dice struct{ *rand.Rand }

// newDice makes the stream of the n-th actor of a kind.
func newDice(seed uint64, kind string, n int) dice {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(kind) {
		h = (h ^ uint64(kind[i])) * 1099511628211
	}
	return dice{rand.New(rand.NewPCG(seed, h+uint64(n)*0x9e3779b97f4a7c15))}
}

// chance is true with probability p.
func (d dice) chance(p float64) bool { return d.Float64() < p }

// around is a time span from 1-spread to 1+spread times mean.
func (d dice) around(mean int64, spread float64) int64 {
	return int64(float64(mean) * (1 + spread*(2*d.Float64()-1)))
}

// exp is an exponential time span with the given mean.
func (d dice) exp(mean float64) int64 { return int64(d.ExpFloat64() * mean) }

// logNormal has the given median; sigma is the deviation of its logarithm.
func (d dice) logNormal(median, sigma float64) int64 {
	return int64(median * math.Exp(sigma*d.NormFloat64()))
}

// hex appends n random hex digits.
func (d dice) hex(b []byte, n int) []byte {
	const digits = "0123456789abcdef"
	for n > 0 {
		v := d.Uint64()
		for range min(n, 16) {
			b = append(b, digits[v&15])
			v >>= 4
		}
		n -= 16
	}
	return b
}

func pick[T any](d dice, from []T) T { return from[d.IntN(len(from))] }
