package rules

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Runbook is what a person does when a rule fired: the .md file beside the rule.
type Runbook struct {
	ID         string         `yaml:"id"`
	Owner      string         `yaml:"owner"`
	Reviewed   string         `yaml:"last_reviewed"` // date, YYYY-MM-DD
	FirstSteps []string       `yaml:"first_steps"`   // three short sentences, shown in the alert
	Queries    []RunbookQuery `yaml:"queries"`
	Body       string         `yaml:"-"` // Markdown below the front matter
	File       string         `yaml:"-"`
}

// RunbookQuery is one query that the responder can run. SQL holds placeholders
// in double braces, which the alerter fills with quoted literals: {{from}},
// {{to}} and the fields of the rule's group_by, such as {{actor}}.
type RunbookQuery struct {
	ID    string `yaml:"id"`
	Label string `yaml:"label"`
	SQL   string `yaml:"sql"`
}

// Headings are the sections of every runbook, in this order.
func Headings() []string {
	return []string{
		"Meaning", "Impact", "First five minutes", "Is it normal?", "Scope", "Decide", "Contain",
		"Recover and verify", "Tell whom", "Known false positives", "After",
	}
}

// Limits of a runbook: what still fits an alert.
const (
	runbookSteps  = 3
	maxFirstSteps = 500 // bytes of all first steps together
)

var placeholder = regexp.MustCompile(`\{\{([^{}]*)\}\}`)

func parseRunbook(name string, data []byte) (*Runbook, error) {
	front, body, ok := strings.Cut(strings.TrimPrefix(string(data), "---\n"), "\n---\n")
	if !ok || !strings.HasPrefix(string(data), "---\n") {
		return nil, &Error{File: name, Line: 1, Column: 1, Msg: "want front matter between two lines of --- before the text"}
	}
	rb := &Runbook{Body: strings.TrimSpace(body), File: name}
	if _, err := decodeYAML(name, []byte(front), rb); err != nil {
		var e *Error
		if errors.As(err, &e) && e.Line > 0 {
			e.Line++ // the line of --- itself
		}
		return nil, err
	}
	return rb, nil
}

// lint checks what the runbook of rule promises.
func (rb *Runbook) lint(rule *Rule) []error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, &Error{File: rb.File, Msg: fmt.Sprintf(format, args...)})
	}
	if rb.ID != rule.ID {
		add("id %q: want %q, the id of the rule", rb.ID, rule.ID)
	}
	if rb.Owner == "" {
		add("owner missing: want who answers for this runbook")
	}
	if len(rb.FirstSteps) != runbookSteps {
		add("first_steps: %d of them: want %d", len(rb.FirstSteps), runbookSteps)
	}
	if n := len(strings.Join(rb.FirstSteps, "")); n > maxFirstSteps {
		add("first_steps: %d bytes: want at most %d, so that they fit the alert", n, maxFirstSteps)
	}
	at := 0
	for _, h := range Headings() {
		i := strings.Index(rb.Body[at:], "## "+h+"\n")
		if i < 0 {
			add("heading %q missing or out of order", "## "+h)
			continue
		}
		at += i
	}
	return append(errs, rb.lintQueries(rule)...)
}

func (rb *Runbook) lintQueries(rule *Rule) []error {
	var errs []error
	names := []string{"from", "to"}
	for _, f := range rule.GroupBy {
		names = append(names, f.Name)
	}
	if len(rb.Queries) == 0 {
		errs = append(errs, &Error{File: rb.File, Msg: "queries missing: want at least one that shows what happened"})
	}
	for _, q := range rb.Queries {
		if q.ID == "" || q.Label == "" {
			errs = append(errs, &Error{File: rb.File, Msg: fmt.Sprintf("query %q: want id and label", q.ID)})
		}
		for _, m := range placeholder.FindAllStringSubmatch(q.SQL, -1) {
			if !contains(names, m[1]) {
				errs = append(errs, &Error{File: rb.File, Msg: fmt.Sprintf("query %s: unknown placeholder {{%s}}%s", q.ID, m[1], suggest(m[1], names))})
			}
		}
		if !strings.Contains(q.SQL, "{{from}}") || !strings.Contains(q.SQL, "{{to}}") {
			errs = append(errs, &Error{File: rb.File, Msg: fmt.Sprintf("query %s: no time bound: want {{from}} and {{to}} in it", q.ID)})
		}
	}
	return errs
}
