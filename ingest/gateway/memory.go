package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// memory is what a Reader keeps from one record to the next. Nothing in it
// changes what a record becomes.
type memory struct {
	made event.Arena // strings that had to be computed
	buf  []byte      // the one being computed

	lowered   spellings // names of headers in lower case
	variables spellings // the same out of NGINX's variables

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

// maxName is the longest name that is remembered, in bytes.
const maxName = 40

// spellings remembers how names of headers are written here: there are few, and
// most change at each event.
type spellings struct {
	entries [64]struct{ name, spelled string }
}

// of is spell(name), mostly remembered.
func (c *spellings) of(name string, spell func(string) string) string {
	n := len(name)
	if n == 0 || n > maxName {
		return spell(name)
	}
	const spread = 0x9e3779b1 // 2^32 over the golden ratio
	mixed := (uint32(n)<<24 | uint32(name[0])<<16 | uint32(name[n/2])<<8 | uint32(name[n-1])) * spread
	e := &c.entries[mixed>>26%uint32(len(c.entries))]
	if e.name != name {
		e.name = strings.Clone(name) // or the whole record stays
		e.spelled = spell(e.name)
	}
	return e.spelled
}

// lower is the name of a header in lower case.
func (m *memory) lower(name string) string { return m.lowered.of(name, strings.ToLower) }

// dashed is the name of a header out of that of an NGINX variable.
func (m *memory) dashed(name string) string {
	return m.variables.of(name, func(name string) string {
		return strings.ReplaceAll(strings.ToLower(name), "_", "-")
	})
}
