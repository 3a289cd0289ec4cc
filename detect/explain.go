package detect

import (
	"math"
	"strconv"
	"strings"
	"time"

	"gatehouse/rules"
)

// finding describes the entity's window as the rule just saw it.
func (s *windowState) finding(t *entity, in *input) Finding {
	entity := entityOf(in, s.rule)
	first, last := t.oldest(), t.newestTS
	f := newFinding(s.rule, entity, floor(t.newestTS, s.length))
	f.Tenant = in.ev.Tenant
	f.First, f.Last, f.At = first, last, t.newestTS
	f.Events = int64(s.values.Events)
	f.Evidence = t.evidence.origins(t.start(s.step), s.engine.partitions)
	for i, m := range s.rule.Measures {
		f.Measures = append(f.Measures, Measure{m.Name, s.values.Now[i]})
	}
	f.Reason = s.reason(&f)
	f.SQL = selectEvents(s.rule, entity, first, last)
	return f
}

func newFinding(r *rules.Rule, entity []Field, epoch int64) Finding {
	owasp := r.OWASP
	if owasp == nil {
		owasp = []string{} // a list in JSON, never null
	}
	return Finding{
		ID: findingID(r.ID, entity, epoch), Rule: r.ID, RuleTitle: r.Title, Severity: r.Severity,
		OWASP: owasp, Attack: r.Attack, Entity: entity,
	}
}

func entityOf(in *input, r *rules.Rule) []Field {
	entity := make([]Field, 0, len(r.GroupBy))
	for _, f := range r.GroupBy {
		entity = append(entity, Field{f.Name, f.Text(in.ev)})
	}
	return entity
}

// reason is the rule's sentence, and what would not have fired.
func (s *windowState) reason(f *Finding) string {
	text := s.rule.Reason.Render(func(name string) string { return s.lookup(f, name) })
	if s.rule.Having == nil {
		return text
	}
	var parts []string
	for _, c := range s.rule.Having.Clauses(&s.values) {
		if !c.Holds {
			continue
		}
		part := c.Text + " (saw " + show(c.Saw)
		if !strings.HasSuffix(c.Text, " "+show(c.Needs)) { // the right side is computed
			part += ", needs " + show(c.Needs)
		}
		parts = append(parts, part+")")
	}
	if len(parts) == 0 {
		return text
	}
	return text + "; fires at " + strings.Join(parts, " and ")
}

func (s *windowState) lookup(f *Finding, name string) string {
	v := &s.values
	switch name {
	case "events":
		return show(v.Events)
	case "window":
		return span(s.rule.Window)
	}
	for i, m := range s.rule.Measures {
		switch name {
		case m.Name:
			return show(v.Now[i])
		case "usual." + m.Name:
			return show(v.Usual[i])
		case "peers." + m.Name:
			return show(v.Peers[i])
		}
	}
	return valueOf(f.Entity, name)
}

func valueOf(entity []Field, name string) string {
	for _, f := range entity {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// show is a number as people write it: no exponent, at most two decimals.
func show(v float64) string {
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(v, 'f', 2, 64), "0"), ".")
}

// span is a duration without its zero parts: 10m, not 10m0s.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
