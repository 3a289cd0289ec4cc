package traffic

import "time"

// scanner asks for what should not be there, and looks at real pages between.
type scanner struct {
	dice
	address string
	agent   string
	calls   int
	until   int64
}

func (w *world) scan(n int, a Attack) {
	d := newDice(w.cfg.Seed, EndpointProbing, n)
	from := w.at(a.At)
	s := &scanner{dice: d, address: hostileAddress(d), agent: agentOldPhone, until: from + lasts(a, 4*time.Minute)}
	if n%2 == 1 {
		s.agent = agentPython
	}
	w.join(s, from)
}

func (s *scanner) act(w *world, now int64, c *Call) int64 {
	c.Attack = EndpointProbing
	r := &c.Raw
	r.Client, r.UserAgent, r.HTTPVersion = s.address, s.agent, "1.1"
	if s.chance(0.12) {
		routeProduct.at(r, s.dice, pick(s.dice, w.catalogue.products))
	} else {
		routePage.at(r, s.dice, probePath(s.calls))
		refuse(r, s.dice, pick(s.dice, probeStatuses))
		s.calls++
	}
	return untilEnd(now+s.around(500*ms, 0.7), s.until)
}

// probeStatuses are what a site answers to probes.
var probeStatuses = []int{404, 404, 404, 404, 404, 404, 403, 403, 401, 404}

// probePath is the n-th path of the scan: every name with every ending.
func probePath(n int) string {
	name := probeNames[n%len(probeNames)]
	return "/" + name + probeEndings[n/len(probeNames)%len(probeEndings)]
}

var probeNames = []string{
	"admin", "administrator", "backup", ".git/config", ".env", "wp-admin", "phpmyadmin", "manager/html", "actuator/env",
	"actuator/heapdump", "api/internal/users", "v1/admin/users", "v1/debug/pprof", "server-status", "console", "jenkins",
	"config", "database", "dump", "db", "old", "test", "staging", "private", "secret", "swagger", "openapi", "graphql",
	"cgi-bin/status", "solr/admin", "owa/auth", "vpn/index", "remote/login", "setup", "install", "shell", "upload",
}

var probeEndings = []string{"", ".bak", ".old", ".zip", ".sql", ".tar.gz", "~", ".php", ".json", ".yaml", ".txt", ".log"}
