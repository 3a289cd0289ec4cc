package alert

import (
	"regexp"
	"strings"
	"time"

	"gatehouse/detect"
	"gatehouse/rules"
)

// placeholder is {{name}}: an entity's field, or from or to.
var placeholder = regexp.MustCompile(`\{\{([^{}]*)\}\}`)

// steps are the runbook's first steps with the incident's values in them.
func steps(rb *rules.Runbook, i *Incident) []string {
	show := writer{text: func(s string) string { return Clean(s, maxCell) }, time: func(us int64) string { return micro(us).Format(time.DateTime) + "Z" }}
	var out []string
	for _, s := range rb.FirstSteps[:min(maxSteps, len(rb.FirstSteps))] {
		out = append(out, Clean(show.fill(s, i), maxStep))
	}
	return out
}

// queries are the runbook's queries with the incident's values in them as SQL
// literals, so that they run as they are.
func queries(rb *rules.Runbook, i *Incident) []Code {
	quote := writer{text: detect.Quote, time: sqlTime}
	var out []Code
	for _, q := range rb.Queries {
		sql := quote.fill(strings.TrimSpace(q.SQL), i)
		out = append(out, Code{Label: Clean(q.Label, maxCell), Text: CleanLines(sql, len(sql))})
	}
	return out
}

// writer says how values are put into a text.
type writer struct {
	text func(string) string
	time func(us int64) string
}

// fill replaces placeholders. One that the incident has no value for is left as
// it is: lint refuses it, and a query that does not run is better than one that
// asks something else.
func (w writer) fill(template string, i *Incident) string {
	return placeholder.ReplaceAllStringFunc(template, func(match string) string {
		switch name := strings.Trim(match, "{}"); name {
		case "from":
			return w.time(i.First)
		case "to":
			return w.time(i.Last)
		default:
			for _, f := range i.Opening.Entity {
				if f.Name == name {
					return w.text(f.Value)
				}
			}
		}
		return match
	})
}

// sqlTime is a time as an expression that does not depend on the time zone of
// whoever runs it.
func sqlTime(us int64) string {
	return "toDateTime64('" + micro(us).Format("2006-01-02 15:04:05.000000") + "', 6, 'UTC')"
}
