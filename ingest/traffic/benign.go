package traffic

import (
	"gatehouse/ingest/event"
)

// Sizes of the groups of people that are not plain visitors.
const (
	pollerCount   = 12
	officeStaff   = 40
	officeAddress = "203.0.113.40" // one address for all of the office
)

// populate brings in everyone who means no harm.
func (w *world) populate() {
	w.machines()
	n := w.cfg.Users
	staff := min(officeStaff, n/4)
	pollers := min(pollerCount, n/4)
	visitors := n - staff - pollers
	for i := range n {
		d := newDice(w.cfg.Seed, "person", i)
		p := newPerson(w, d, i, n)
		switch {
		case i < pollers:
			w.openTab(d, p, w.cfg.Rate*sharePollers/float64(pollers))
		case i < pollers+staff:
			w.employ(d, p, w.cfg.Rate*shareOffice/float64(staff))
		default:
			v := newVisitor(w, d, p, w.cfg.Rate*sharePeople/float64(visitors))
			w.join(v, v.first(w))
		}
	}
}

// employ adds a person who works in the office: a visitor behind its address,
// with one of the two browsers that the office installs.
func (w *world) employ(d dice, p *person, rate float64) {
	p.home, p.agent = officeAddress, browsers[p.n%2]
	v := newVisitor(w, d, p, rate)
	v.movesAt = never
	w.join(v, v.first(w))
}

// poller is a person who leaves the shop open: it asks for news at a steady
// pace, under one token, for as long as the scenario lasts.
type poller struct {
	dice
	person *person
	every  int64
}

// openTab adds a poller. Pollers always have a token.
func (w *world) openTab(d dice, p *person, rate float64) {
	p.cookie = ""
	p.bearer = "Bearer " + d.jwt(p, w.start, w.end)
	t := &poller{dice: d, person: p, every: max(int64(float64(sec)/rate), 1)}
	w.pollers = append(w.pollers, t)
	w.join(t, w.start+t.Int64N(t.every))
}

func (t *poller) act(_ *world, now int64, c *Call) int64 {
	t.person.present(&c.Raw, t.person.home)
	t.news(&c.Raw)
	return now + t.around(t.every, 0.3)
}

func (t *poller) news(r *event.Raw) {
	if t.chance(0.1) {
		routeAccount.at(r, t.dice, numbered("/v1/accounts/", pick(t.dice, t.person.accounts), ""))
		return
	}
	routeNotes.at(r, t.dice, "/v1/me/notifications")
}
