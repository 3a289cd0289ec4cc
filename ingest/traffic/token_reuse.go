package traffic

import (
	"time"

	"gatehouse/ingest/event"
)

// thief uses a token that was stolen from somebody who is still using it: from
// another network and with another agent, between the owner's own calls.
type thief struct {
	dice
	owner   *poller
	address string
	until   int64
}

func (w *world) stealToken(n int, a Attack) {
	d := newDice(w.cfg.Seed, TokenReuse, n)
	owner := w.pollers[n%len(w.pollers)]
	from := w.at(a.At)
	t := &thief{dice: d, owner: owner, address: hostileAddress(d), until: from + lasts(a, 6*time.Minute)}
	w.join(t, from)
}

func (t *thief) act(_ *world, now int64, c *Call) int64 {
	c.Attack = TokenReuse
	r := &c.Raw
	t.owner.person.present(r, t.address)
	r.UserAgent = agentPython
	t.take(r)
	return untilEnd(now+t.around(7*sec, 0.5), t.until)
}

// take reads what the owner may read; it all succeeds.
func (t *thief) take(r *event.Raw) {
	account := pick(t.dice, t.owner.person.accounts)
	switch t.IntN(3) {
	case 0:
		routeMe.at(r, t.dice, "/v1/me")
	case 1:
		routeAccount.at(r, t.dice, numbered("/v1/accounts/", account, ""))
	default:
		routeStatement.at(r, t.dice, numbered("/v1/accounts/", account, "/transactions"))
	}
}

// lasts is how long an attack goes on, in µs.
func lasts(a Attack, usual time.Duration) int64 {
	if a.For > 0 {
		return a.For.Microseconds()
	}
	return usual.Microseconds()
}

// untilEnd is next, or never once the attack is over.
func untilEnd(next, until int64) int64 {
	if next >= until {
		return never
	}
	return next
}
