package traffic

import (
	"strconv"
	"strings"

	"gatehouse/ingest/event"
)

// A visit: pages with time to think between them, a few calls per page.
const (
	pagesPerVisit = 8.0
	callsPerPage  = 2.5
	thinkTime     = 8 * sec // usual mean; shorter where the rate asks for it
)

// visitor is a person who comes, looks around and goes, again and again. Each
// visit signs in anew; some visitors carry their device from one network to
// another, once per stay.
type visitor struct {
	dice
	person *person
	pages  int // left in this visit
	calls  int // left on this page
	think  float64
	pause  float64 // mean µs between visits

	address  string
	movesAt  int64 // when a mobile visitor changes network; never for others
	moved    bool
	attempts int // failed sign-ins in a row
}

// newVisitor makes a visitor who calls rate times per second on average.
func newVisitor(w *world, d dice, p *person, rate float64) *visitor {
	cycle := pagesPerVisit * callsPerPage / rate * float64(sec)
	v := &visitor{dice: d, person: p, address: p.home, movesAt: never}
	v.think = min(float64(thinkTime), cycle/2/pagesPerVisit)
	v.pause = cycle - v.think*pagesPerVisit
	if p.n%6 == 1 {
		v.movesAt = w.start + v.exp(float64(2*stay))
	}
	return v
}

// stay is the shortest time between two changes of network.
const stay = 45 * 60 * sec

// first is when the visitor first calls. Some are in the middle of a visit when
// the scenario begins, so that it begins as it goes on.
func (v *visitor) first(w *world) int64 {
	busy := v.think * pagesPerVisit
	if v.chance(busy / (busy + v.pause)) {
		v.pages = 1 + v.IntN(2*pagesPerVisit)
		return w.start + v.exp(v.think)
	}
	return w.start + v.exp(v.pause)
}

func (v *visitor) act(w *world, now int64, c *Call) int64 {
	v.move(now)
	if v.pages == 0 {
		return v.arrive(w, now, &c.Raw)
	}
	v.browse(w, &c.Raw)
	if v.calls--; v.calls > 0 {
		return now + v.around(150*ms, 0.8)
	}
	v.pages--
	v.calls = 1 + v.IntN(2*callsPerPage-1)
	if v.pages == 0 {
		return now + v.exp(v.pause)
	}
	return now + v.exp(v.think)
}

// move changes the network when it is time to: from A to B, never straight back.
func (v *visitor) move(now int64) {
	if now < v.movesAt {
		return
	}
	v.moved = !v.moved
	v.address = v.person.home
	if v.moved {
		v.address = v.person.away
	}
	v.movesAt = now + stay + v.exp(float64(stay))
}

// arrive signs in. One sign-in in twenty fails at first.
func (v *visitor) arrive(w *world, now int64, r *event.Raw) int64 {
	p := v.person
	p.presentAnonymous(r, v.address)
	routeLogin.at(r, v.dice, "/login")
	if v.attempts < 3 && v.chance(0.05) {
		refuse(r, v.dice, 401)
		v.attempts++
		return now + v.around(4*sec, 0.5)
	}
	v.attempts = 0
	if p.n%31 == 7 { // an old client that puts the password where it does not belong
		r.Query = "username=" + p.login + "&password=Winter-" + strconv.Itoa(1000+p.n) + "-tulip"
	}
	p.signIn(w, v.dice, now)
	v.pages = 1 + v.IntN(2*pagesPerVisit-1)
	v.calls = 1 + v.IntN(2*callsPerPage-1)
	return now + v.around(600*ms, 0.5)
}

// browse is one call of a signed-in visitor.
func (v *visitor) browse(w *world, r *event.Raw) {
	p := v.person
	p.present(r, v.address)
	habits[habitOf[v.IntN(len(habitOf))]].call(w, v, r)
	switch n := v.IntN(1000); {
	case n < 4:
		refuse(r, v.dice, 400)
	case n < 7:
		refuse(r, v.dice, 404)
	case n < 8:
		refuse(r, v.dice, 403)
	case n < 9:
		refuse(r, v.dice, 500)
	}
	if p.n%3 == 0 && r.Host == hostWeb {
		r.Referer = "https://" + hostWeb + "/products"
	}
}

// habit is something a visitor does, and how often in a thousand calls.
type habit struct {
	perMille int
	call     func(w *world, v *visitor, r *event.Raw)
}

// habits sum up to a thousand.
var habits = []habit{
	{190, func(w *world, v *visitor, r *event.Raw) {
		routeProduct.at(r, v.dice, pick(v.dice, w.catalogue.products))
	}},
	{120, func(_ *world, v *visitor, r *event.Raw) { static(r, v.dice) }},
	{110, searches},
	{100, func(_ *world, v *visitor, r *event.Raw) {
		routeOrder.at(r, v.dice, numbered("/v1/orders/", pick(v.dice, v.person.orders), ""))
	}},
	{95, func(_ *world, v *visitor, r *event.Raw) {
		routeAccount.at(r, v.dice, numbered("/v1/accounts/", pick(v.dice, v.person.accounts), ""))
	}},
	{85, func(_ *world, v *visitor, r *event.Raw) { routeMe.at(r, v.dice, "/v1/me") }},
	{70, func(_ *world, v *visitor, r *event.Raw) {
		routeOrders.at(r, v.dice, "/v1/orders")
		r.Query = "status=open&limit=20"
	}},
	{50, func(_ *world, v *visitor, r *event.Raw) {
		routeStatement.at(r, v.dice, numbered("/v1/accounts/", pick(v.dice, v.person.accounts), "/transactions"))
		r.Query = "page=" + strconv.Itoa(1+v.IntN(4))
	}},
	{45, func(_ *world, v *visitor, r *event.Raw) { routeUser.at(r, v.dice, "/v1/users/"+v.person.uuid) }},
	{40, func(_ *world, v *visitor, r *event.Raw) {
		routeCart.at(r, v.dice, numbered("/v1/cart/items/", firstProduct+v.IntN(productCount), ""))
	}},
	{25, func(_ *world, v *visitor, r *event.Raw) { routeOrderNew.at(r, v.dice, "/v1/orders") }},
	{20, func(_ *world, v *visitor, r *event.Raw) { routePaymentNew.at(r, v.dice, "/v1/payments") }},
	{15, func(_ *world, v *visitor, r *event.Raw) {
		routePayment.at(r, v.dice, numbered("/v1/payments/", 900_000+8*v.person.n+v.IntN(8), ""))
	}},
	{10, func(_ *world, v *visitor, r *event.Raw) {
		routeCartDrop.at(r, v.dice, numbered("/v1/cart/items/", firstProduct+v.IntN(productCount), ""))
	}},
	{8, func(_ *world, v *visitor, r *event.Raw) { routeCard.at(r, v.dice, "/v1/cards/"+v.person.card) }},
	{7, func(_ *world, v *visitor, r *event.Raw) { routeCustomer.at(r, v.dice, "/v1/customers/"+v.person.email) }},
	{5, byEmail},
	{3, exports},
	{2, func(_ *world, v *visitor, r *event.Raw) {
		routePage.at(r, v.dice, pick(v.dice, deadLinks))
		refuse(r, v.dice, 404)
	}},
}

// habitOf maps each of a thousand to its habit.
var habitOf = habitTable()

func habitTable() []uint8 {
	table := make([]uint8, 0, 1000)
	for i, h := range habits {
		for range h.perMille {
			table = append(table, uint8(i))
		}
	}
	return table
}

func numbered(before string, n int, after string) string {
	b := make([]byte, 0, 48)
	b = strconv.AppendInt(append(b, before...), int64(n), 10)
	return string(append(b, after...))
}

func static(r *event.Raw, d dice) {
	routeStatic.at(r, d, pick(d, staticFiles))
	if d.chance(0.3) {
		r.Status, r.RespBytes = 304, 180
	}
}

func searches(w *world, v *visitor, r *event.Raw) {
	routeSearch.at(r, v.dice, "/v1/search")
	r.Query = pick(v.dice, w.catalogue.searches)
}

// byEmail searches for a person by address, percent-encoded as browsers do.
func byEmail(_ *world, v *visitor, r *event.Raw) {
	routeSearch.at(r, v.dice, "/v1/search")
	r.Query = "q=" + strings.Replace(v.person.email, "@", "%40", 1)
}

// exports is a download link that carries the token in its query.
func exports(_ *world, v *visitor, r *event.Raw) {
	routeExport.at(r, v.dice, numbered("/v1/accounts/", v.person.accounts[0], "/export"))
	r.Query = "format=csv"
	if token, ok := strings.CutPrefix(v.person.bearer, "Bearer "); ok {
		r.Query += "&access_token=" + token
		r.Authorization = ""
	}
}

var staticFiles = []string{
	"/static/app.8f3c1d.js", "/static/vendor.2b7a90.js", "/static/app.51ce07.css", "/static/logo.svg",
	"/static/fonts/inter.woff2", "/static/img/hero.webp", "/static/img/sprite.svg",
}

// deadLinks are pages that are gone but still linked: few, and asked for by many.
var deadLinks = []string{
	"/favicon.ico", "/apple-touch-icon.png", "/old-catalog/index.html", "/blog/2019/summer-sale", "/robots.txt", "/sitemap_index.xml",
}
