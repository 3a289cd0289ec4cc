package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"gatehouse/ingest/event"
	"gatehouse/ingest/traffic"
)

// The world of the benchmark's calls: how many of what there is.
const (
	callUsers    = 20_000
	callTenants  = 40
	callServices = 12
	callObjects  = 2_000_000
	tokenBytes   = 22
)

// caller makes the calls of the benchmark: the same ones for the same seed. The
// order is random, as calls of many users are that arrive on many connections.
type caller struct {
	random *rand.Rand
	routes []string // templates with one {id} or none
	agents []string
	tokens []string
	buf    []byte
}

func newCaller(seed uint64) *caller {
	c := &caller{random: rand.New(rand.NewPCG(seed, 0))}
	for _, resource := range []string{"orders", "invoices", "customers", "carts", "products", "payments", "refunds", "shipments",
		"addresses", "users", "sessions", "devices", "reports", "exports", "imports", "webhooks", "events", "tickets", "messages", "files"} {
		for _, shape := range []string{"/v1/%s", "/v1/%s/{id}", "/v1/%s/{id}/items", "/v1/%s/{id}/history", "/v1/%s/search", "/v1/%s/{id}/status",
			"/v2/%s", "/v2/%s/{id}", "/v2/%s/{id}/notes", "/v2/%s/export", "/internal/%s/{id}", "/admin/%s"} {
			c.routes = append(c.routes, fmt.Sprintf(shape, resource))
		}
	}
	for user := range callUsers {
		c.tokens = append(c.tokens, bearer(user))
	}
	for n := range 12 {
		c.agents = append(c.agents, fmt.Sprintf("ShopApp/7.%d.2 (iOS 18.6; iPhone16,2)", n),
			fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0", 132+n, 132+n),
			fmt.Sprintf("python-requests/2.%d.3", 20+n))
	}
	return c
}

// call is a call at ts, in µs, in the canonical format, and the user who made it,
// by whom the benchmark spreads calls over partitions. The line is valid until the next call.
func (c *caller) call(ts int64) (line []byte, user int, err error) {
	r := c.random
	user = r.IntN(callUsers)
	route := c.routes[min(r.IntN(len(c.routes)), r.IntN(len(c.routes)))] // some are called more than others
	raw := event.NewRaw("canonical")
	raw.TS, raw.Tenant, raw.Principal = ts, fmt.Sprintf("tenant-%02d", user%callTenants), fmt.Sprintf("user-%05d", user)
	raw.RequestID = fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
	raw.Method, raw.Host, raw.Scheme = "GET", "api.example.com", "https"
	raw.Route, raw.Path, raw.Service = route, withObject(route, r.IntN(callObjects)), fmt.Sprintf("service-%02d", number32(route)%callServices)
	raw.Status, raw.RespBytes = 200, int64(200+r.IntN(20_000))
	if r.IntN(5) == 0 {
		raw.Method, raw.ReqBytes = "POST", int64(100+r.IntN(2_000))
	}
	if r.IntN(25) == 0 {
		raw.Status = []int{400, 401, 403, 404, 429, 500, 503}[r.IntN(7)]
	}
	raw.LatencyUS = int64(800 + r.ExpFloat64()*20_000)
	raw.Client = fmt.Sprintf("100.%d.%d.%d", 64+user%64, user/64%250, 1+r.IntN(3))
	raw.UserAgent, raw.AuthType = c.agents[user%len(c.agents)], event.AuthOAuth2
	raw.Authorization = "Bearer " + c.tokens[user]
	c.buf, err = traffic.Append(c.buf[:0], raw.Gateway, &raw)
	return c.buf, user, err
}

// withObject is a route's path for one object.
func withObject(route string, id int) string {
	for i := range route {
		if route[i] == '{' {
			return route[:i] + fmt.Sprint(100_000+id) + route[i+len("{id}"):]
		}
	}
	return route
}

// bearer is the user's own: text as random as a real one, but always the same.
func bearer(user int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	r := rand.New(rand.NewPCG(uint64(user), 1))
	out := make([]byte, tokenBytes)
	for i := range out {
		out[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(out)
}

func number32(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // never fails, as documented
	return h.Sum32()
}
