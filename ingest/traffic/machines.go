package traffic

import (
	"strconv"

	"gatehouse/ingest/event"
)

// machine is a caller that keeps a steady pace: a service account, a partner, a
// crawler, a monitoring probe.
type machine struct {
	dice
	name     string // principal; "" for machines that do not authenticate
	key      string // API key, "" as above
	keyID    string
	consumer string
	address  string
	agent    string
	every    int64   // µs between calls
	jitter   float64 // share of every
	calls    int     // so far
	request  func(w *world, m *machine, r *event.Raw)
}

// newMachine makes a machine that calls rate times per second.
func newMachine(w *world, name string, rate float64, request func(*world, *machine, *event.Raw)) *machine {
	d := newDice(w.cfg.Seed, name, 0)
	return &machine{
		dice: d, name: name, key: "sk_live_" + string(d.hex(nil, 32)), keyID: d.uuid(), consumer: d.uuid(),
		address: ipv4(198, 18, d), agent: agentGo,
		every: max(int64(float64(sec)/rate), 1), jitter: 0.1, request: request,
	}
}

func (m *machine) act(w *world, now int64, c *Call) int64 {
	m.present(&c.Raw)
	m.request(w, m, &c.Raw)
	m.calls++
	return now + m.around(m.every, m.jitter)
}

func (m *machine) present(r *event.Raw) {
	r.Client, r.UserAgent = m.address, m.agent
	if m.name == "" {
		r.AuthType = event.AuthNone
		return
	}
	r.AuthType, r.APIKey = event.AuthAPIKey, m.key
	r.Principal, r.ClientID, r.CredentialID = m.name, m.consumer, m.keyID
}

// join puts the machine on stage at a random point of its first period.
func (m *machine) join(w *world, from int64) { w.join(m, from+m.Int64N(m.every)) }

// Shares of the benign rate. What is left is people.
const (
	shareOrders  = 0.03  // service account that reads order after order
	shareLedger  = 0.03  // service account that reads accounts in no order
	shareMailer  = 0.02  // service account that reads customers
	sharePartner = 0.01  // each of two partners
	shareLate    = 0.005 // service account that starts in the middle
	shareCrawler = 0.015 // each of two crawlers
	sharePollers = 0.04  // people who leave the shop open
	shareOffice  = 0.10  // people behind one address
	sharePeople  = 1 - shareOrders - shareLedger - shareMailer - 2*sharePartner - shareLate - 2*shareCrawler - sharePollers - shareOffice
)

// machines brings in everything that is not a person. The probes are the only
// callers whose pace does not follow the rate.
func (w *world) machines() {
	rate := w.cfg.Rate
	newMachine(w, "svc-fulfilment", rate*shareOrders, readOrders).join(w, w.start)
	ledger := newMachine(w, "svc-ledger", rate*shareLedger, readAccounts)
	ledger.agent = agentJava
	ledger.join(w, w.start)
	mailer := newMachine(w, "svc-mailer", rate*shareMailer, readCustomers)
	mailer.agent = agentNode
	mailer.join(w, w.start)
	for _, name := range []string{"partner-northwind", "partner-fabrikam"} {
		p := newMachine(w, name, rate*sharePartner, readFeed)
		p.address, p.agent, p.jitter = ipv4(198, 19, p.dice), agentPython, 0.5
		w.partners = append(w.partners, p)
		p.join(w, w.start)
	}
	late := newMachine(w, "svc-loyalty", rate*shareLate, readOrders)
	late.join(w, w.start+(w.end-w.start)*6/10)
	for _, agent := range []string{agentGoogle, agentBing} {
		c := newMachine(w, "", rate*shareCrawler, crawl)
		c.dice = newDice(w.cfg.Seed, agent, 0)
		c.address, c.agent, c.jitter = ipv4(198, 19, c.dice), agent, 0.9
		c.join(w, w.start)
	}
	w.probes()
}

func (w *world) probes() {
	for i, agent := range []string{agentKube, agentUptime} {
		p := newMachine(w, "", []float64{0.2, 1.0 / 60}[i], probe)
		p.dice = newDice(w.cfg.Seed, agent, 0)
		p.address, p.agent, p.jitter = "10.20.0."+strconv.Itoa(5+i), agent, 0.01
		p.join(w, w.start)
	}
}

// readOrders reads one order after the other, in the order of their numbers: a
// look-alike of enumeration, but all of them exist and all are its business.
func readOrders(w *world, m *machine, r *event.Raw) {
	routeOrder.at(r, m.dice, numbered("/v1/orders/", firstOrder+m.calls%(w.cfg.Users*ordersPerUser), ""))
}

func readAccounts(w *world, m *machine, r *event.Raw) {
	routeAccount.at(r, m.dice, numbered("/v1/accounts/", firstAccount+m.IntN(w.cfg.Users*accountsPerUser), ""))
}

// readCustomers names customers by e-mail address.
func readCustomers(_ *world, m *machine, r *event.Raw) {
	email := pick(m.dice, givenNames) + "." + pick(m.dice, familyNames) + strconv.Itoa(m.IntN(400)) + "@mail.example"
	routeCustomer.at(r, m.dice, "/v1/customers/"+email)
}

// readFeed is a partner who fetches pages of the product feed.
func readFeed(_ *world, m *machine, r *event.Raw) {
	routePartner.at(r, m.dice, "/v1/products")
	r.Query = "cursor=" + strconv.Itoa(m.calls%400*50) + "&limit=50"
	if m.calls%20 == 19 {
		r.Query += "&api_key=" + m.key // a client that puts its key into the query now and then
	}
}

// crawl follows the links of the catalogue; one in thirty is dead.
func crawl(w *world, m *machine, r *event.Raw) {
	r.Scheme, r.HTTPVersion = "https", "1.1"
	if m.chance(1.0 / 30) {
		routePage.at(r, m.dice, pick(m.dice, deadLinks))
		refuse(r, m.dice, 404)
		return
	}
	routeProduct.at(r, m.dice, pick(m.dice, w.catalogue.products))
}

func probe(_ *world, m *machine, r *event.Raw) {
	r.Scheme, r.HTTPVersion = "http", "1.1"
	routeHealth.at(r, m.dice, "/health")
}
