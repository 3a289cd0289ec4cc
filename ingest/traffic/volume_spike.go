package traffic

import "time"

// spikeFactor is how many times its usual pace the partner calls, and
// spikeFloor the calls per second that it reaches at least.
const (
	spikeFactor = 30
	spikeFloor  = 6
)

// flooder is a partner whose client loses all restraint: the same account, the
// same address and the same route as always, many times as often.
type flooder struct {
	dice
	partner *machine
	every   int64
	until   int64
}

func (w *world) flood(n int, a Attack) {
	partner := w.partners[n%len(w.partners)]
	from := w.at(a.At)
	f := &flooder{
		dice: newDice(w.cfg.Seed, VolumeSpike, n), partner: partner,
		every: max(min(partner.every/spikeFactor, sec/spikeFloor), 1),
		until: from + lasts(a, 4*time.Minute),
	}
	w.join(f, from)
}

func (f *flooder) act(w *world, now int64, c *Call) int64 {
	c.Attack = VolumeSpike
	f.partner.present(&c.Raw)
	f.partner.request(w, &machine{dice: f.dice, key: f.partner.key, calls: f.IntN(400)}, &c.Raw)
	if f.chance(0.04) {
		refuse(&c.Raw, f.dice, 429)
	}
	return untilEnd(now+f.exp(float64(f.every)), f.until)
}
