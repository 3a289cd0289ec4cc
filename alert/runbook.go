package alert

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/rules"
)

// placeholder is {{name}}: an entity's field, or from or to.
var placeholder = regexp.MustCompile(`\{\{([^{}]*)\}\}`)

// steps are the runbook's first steps with the incident's values in them.
func steps(rb *rules.Runbook, i *Incident) []string {
	var out []string
	for _, s := range rb.FirstSteps[:min(maxSteps, len(rb.FirstSteps))] {
		out = append(out, Clean(fill(s, i, asText), maxStep))
	}
	return out
}

// queries are the runbook's queries with the incident's values in them as SQL
// literals, so that they run as they are.
func queries(rb *rules.Runbook, i *Incident) []Code {
	var out []Code
	for _, q := range rb.Queries {
		out = append(out, Code{Label: Clean(q.Label, maxCell), Text: CleanLines(fill(q.SQL, i, Quote), maxSQL)})
	}
	return out
}

// fill replaces placeholders. One that the incident has no value for is left as
// it is: lint refuses it, and a query that does not run is better than one that
// asks something else.
func fill(template string, i *Incident, write func(string) string) string {
	return placeholder.ReplaceAllStringFunc(template, func(match string) string {
		value, ok := i.value(strings.Trim(match, "{}"))
		if !ok {
			return match
		}
		return write(value)
	})
}

func (i *Incident) value(name string) (string, bool) {
	switch name {
	case "from":
		return sqlTime(i.First), true
	case "to":
		return sqlTime(i.Last), true
	}
	for _, f := range i.Opening.Entity {
		if f.Name == name {
			return f.Value, true
		}
	}
	return "", false
}

// sqlTime is a time as ClickHouse reads it in a comparison with a DateTime64.
func sqlTime(us int64) string { return time.UnixMicro(us).UTC().Format("2006-01-02 15:04:05.000000") }

func asText(s string) string { return Clean(s, maxCell) }

// Quote is s as a string literal of ClickHouse's SQL, in quotes. Whatever does
// not show on a screen, or shows elsewhere than it is, is written as \xHH, so
// that what is read is what runs.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\'' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == utf8.RuneError && n == 1, r != ' ' && !unicode.IsPrint(r), unicode.Is(unicode.Variation_Selector, r):
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\x%02X`, c)
			}
		default:
			b.WriteRune(r)
		}
		i += n
	}
	b.WriteByte('\'')
	return b.String()
}
