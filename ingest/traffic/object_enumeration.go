package traffic

import "time"

// walker is a customer like any other who asks for one account after the other:
// most are somebody else's. Where the check of ownership is missing, it gets them.
type walker struct {
	dice
	person  *person
	address string
	account int
	until   int64
}

func (w *world) enumerate(n int, a Attack) {
	d := newDice(w.cfg.Seed, ObjectEnumeration, n)
	from := w.at(a.At)
	p := newPerson(w, d, w.cfg.Users+n, w.cfg.Users)
	p.cookie, p.bearer = "", "Bearer "+d.jwt(p, from, w.end)
	t := &walker{
		dice: d, person: p, address: hostileAddress(d), until: from + lasts(a, 5*time.Minute),
		account: firstAccount + d.IntN(accountsPerUser*w.cfg.Users/2),
	}
	w.join(t, from)
}

func (t *walker) act(_ *world, now int64, c *Call) int64 {
	c.Attack = ObjectEnumeration
	r := &c.Raw
	t.person.present(r, t.address)
	r.UserAgent = agentCurl
	routeAccount.at(r, t.dice, numbered("/v1/accounts/", t.account, ""))
	t.account++
	switch n := t.IntN(100); {
	case n < 36:
		refuse(r, t.dice, 403)
	case n < 40:
		refuse(r, t.dice, 404)
	}
	return untilEnd(now+t.around(450*ms, 0.4), t.until)
}
