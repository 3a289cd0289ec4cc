package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// memory is what a Reader keeps from one record to the next. Nothing in it
// changes what a record becomes.
type memory struct {
	made  event.Arena // strings that had to be computed
	buf   []byte      // the one being computed
	names [64]struct{ name, lower string }

	// The state of each decoder while it reads a record, empty otherwise.
	canonical canonical
	kong      kong
	traefik   traefik
	envoy     envoy
	nginx     nginx

	// What follows what in the records of each.
	canonicalNext, kongNext, kongRequestNext, kongRouteNext, kongServiceNext, kongEntityNext, traefikNext, envoyNext, nginxNext guide
}

// joined is the texts as one string.
func (m *memory) joined(texts ...string) string {
	m.buf = m.buf[:0]
	for _, text := range texts {
		m.buf = append(m.buf, text...)
	}
	return m.made.String(m.buf)
}

// maxName is the longest header name that is remembered, in bytes.
const maxName = 40

// lower is the name of a header in lower case. The few names that occur are
// remembered.
func (m *memory) lower(name string) string {
	n := len(name)
	if n == 0 || n > maxName {
		return strings.ToLower(name)
	}
	c := &m.names[(n*31+int(name[0])*17+int(name[n/2])*5+int(name[n-1]))%len(m.names)]
	if c.name != name {
		c.name = strings.Clone(name) // or the whole record stays
		c.lower = strings.ToLower(c.name)
	}
	return c.lower
}
