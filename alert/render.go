package alert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/detect"
	"gatehouse/rules"
)

// Limits of what a message carries, in characters. A Notifier has limits of its
// own besides; these keep a message short enough to be read.
const (
	maxHeader  = 150
	maxWhy     = 400
	maxValue   = 200
	maxStep    = 300
	maxSteps   = 3
	maxFooter  = 300
	maxCell    = 60
	maxRows    = 10
	maxSQL     = 2_500
	maxQueries = 5_000 // all queries of a runbook together
	maxSummary = 300
)

// View is what a message is made from.
type View struct {
	Incident Incident
	// Runbook of the rule; nil when there is none, which the message then says.
	Runbook *rules.Runbook
	// ConsoleURL is where incidents can be opened, "" when there is no console.
	ConsoleURL string
	// Samples are events of the opening finding for the evidence reply. nil
	// shows their coordinates instead.
	Samples *Table
}

// Root is the message that is edited in place.
func (v *View) Root() Message {
	i := &v.Incident
	m := v.message(MessageRoot)
	m.Header = Clean(i.headline(), maxHeader)
	m.Why = Clean(i.Latest.Reason, maxWhy)
	m.Fields = v.fields()
	m.Steps = v.steps()
	m.Footer = Clean(v.footer(), maxFooter)
	if v.ConsoleURL != "" {
		m.Links = []Link{{"Investigate", v.ConsoleURL + "/incidents/" + i.ID}, {"Runbook", v.ConsoleURL + "/runbooks/" + i.Opening.Rule + "?incident=" + i.ID}}
	}
	return m
}

// Evidence is the first reply: what was seen, and the SQL that selects it again.
func (v *View) Evidence() Message {
	m := v.message(MessageEvidence)
	f := &v.Incident.Opening
	m.Table = v.Samples.clean()
	if m.Table == nil {
		m.Table = coordinates(f)
	}
	if sql := CleanLines(f.SQL, maxSQL+1); utf8.RuneCountInString(sql) > maxSQL {
		m.Why = fmt.Sprintf("The SQL that selects the evidence is too long to show here; it is stored with finding %s.", Clean(f.ID, maxValue))
	} else if sql != "" {
		m.Code = []Code{{"SQL: all calls of this entity in that time", sql}}
	}
	return m
}

// RunbookQueries is the reply with the runbook's queries; false when it has none.
func (v *View) RunbookQueries() (Message, bool) {
	m := v.message(MessageRunbook)
	if v.Runbook == nil {
		return m, false
	}
	room := maxQueries
	for _, c := range queries(v.Runbook, &v.Incident) {
		if room -= utf8.RuneCountInString(c.Label + c.Text); room < 0 {
			break
		}
		m.Code = append(m.Code, c)
	}
	return m, len(m.Code) > 0
}

// Reopened is the reply that tells the channel of a reopened incident.
func (v *View) Reopened() Message {
	m := v.message(MessageReopened)
	m.Header = Clean("🔁 REOPENED · "+v.Incident.Opening.RuleTitle, maxHeader)
	m.Why = Clean(v.Incident.Latest.Reason, maxWhy)
	return m
}

func (v *View) message(kind string) Message {
	i := &v.Incident
	return Message{
		Kind: kind, Incident: i.ID, Severity: i.Opening.Severity, State: i.State,
		Summary: Clean(fmt.Sprintf("%s %s (%s) – %s", strings.ToUpper(string(i.Opening.Severity)), i.Opening.RuleTitle, i.ID, i.stateWords()), maxSummary),
	}
}

// stateWords is the state for people, without names.
func (i *Incident) stateWords() string {
	switch {
	case i.State == StateResolved && i.Disposition != "":
		return "resolved, " + strings.ReplaceAll(string(i.Disposition), "_", " ")
	case i.State == StateResolved:
		return "resolved, quiet"
	case i.State == StateAcked:
		return "acknowledged"
	case len(i.Reopened) > 0:
		return "reopened"
	}
	return "open"
}

// headline says state, severity, rule and its main numbers in one line. State is
// told by symbol and word, so that nothing rests on colour.
func (i *Incident) headline() string {
	state := "🔴 OPEN"
	switch {
	case i.State == StateResolved && i.Disposition != "":
		state = "✅ RESOLVED " + strings.ReplaceAll(string(i.Disposition), "_", " ")
	case i.State == StateResolved:
		state = "✅ RESOLVED quiet"
	case i.State == StateAcked:
		state = "🟡 ACK by " + Clean(i.StateBy, 40)
	case len(i.Reopened) > 0:
		state = "🔁 REOPENED"
	}
	return fmt.Sprintf("%s · %s · %s — %s", state, strings.ToUpper(string(i.Opening.Severity)), i.Opening.RuleTitle, i.numbers())
}

func (i *Incident) numbers() string {
	span := span(i.Last - i.First)
	if len(i.Measures) == 0 {
		return fmt.Sprintf("%d events in %s", i.Events, span)
	}
	return fmt.Sprintf("%s in %s", measures(i.Measures[:min(2, len(i.Measures))]), span)
}

func measures(ms []detect.Measure) string {
	var parts []string
	for _, m := range ms {
		parts = append(parts, m.Name+" "+strconv.FormatFloat(m.Value, 'g', 6, 64))
	}
	return strings.Join(parts, ", ")
}

// span is a duration of µs as people say it: its largest unit, rounded.
func span(us int64) string {
	d := time.Duration(us) * time.Microsecond
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int64(d.Round(time.Second)/time.Second))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int64(d.Round(time.Minute)/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int64(d.Round(time.Hour)/time.Hour))
	}
	return fmt.Sprintf("%d d", int64(d/(24*time.Hour)))
}

func (v *View) fields() []MessageField {
	i := &v.Incident
	f := &i.Opening
	var entity []string
	for _, e := range f.Entity {
		if e.Name == "tenant" { // a field of its own
			continue
		}
		entity = append(entity, e.Name+" "+orNone(e.Value))
	}
	fields := []MessageField{
		{Name: "Entity", Value: strings.Join(entity, " · ")},
		{Name: "First → last", Times: []time.Time{micro(i.First), micro(i.Last)}},
		{Name: "Events", Value: fmt.Sprintf("%d until the rule fired, in %s", i.Events, plural(i.Findings, "finding"))},
		{Name: "Measured", Value: measures(i.Measures)},
		{Name: "OWASP", Value: strings.Join(f.OWASP, ", ")},
		{Name: "ATT&CK", Value: strings.Join(f.Attack, ", ")},
		{Name: "Tenant", Value: f.Tenant},
		{Name: "Note", Value: i.Note},
	}
	fields = slices.DeleteFunc(fields, func(f MessageField) bool { return f.Value == "" && len(f.Times) == 0 })
	for n := range fields {
		fields[n].Value = Clean(fields[n].Value, maxValue)
	}
	return fields
}

func micro(us int64) time.Time { return time.UnixMicro(us).UTC() }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (v *View) steps() []string {
	if v.Incident.State == StateResolved {
		return nil
	}
	if v.Runbook == nil {
		return []string{fmt.Sprintf("There is no runbook for rule %s: look at the evidence in the thread.", Clean(v.Incident.Opening.Rule, maxCell))}
	}
	return steps(v.Runbook, &v.Incident)
}

func (v *View) footer() string {
	i := &v.Incident
	parts := []string{i.ID, "rule " + i.Opening.Rule}
	if v.Runbook != nil && v.Runbook.Owner != "" {
		parts = append(parts, "owner "+v.Runbook.Owner)
	}
	if i.Previous != "" {
		parts = append(parts, fmt.Sprintf("episode %d, previous %s", i.Episode, i.Previous))
	}
	if len(i.Reopened) > 0 {
		parts = append(parts, "reopened "+plural(len(i.Reopened), "time"))
	}
	return strings.Join(parts, " · ")
}

func (t *Table) clean() *Table {
	if t == nil || len(t.Columns) == 0 || len(t.Rows) == 0 {
		return nil
	}
	out := &Table{Caption: Clean(t.Caption, maxValue)}
	for _, c := range t.Columns {
		out.Columns = append(out.Columns, Clean(c, maxCell))
	}
	for _, r := range t.Rows[:min(maxRows, len(t.Rows))] {
		cells := make([]string, len(out.Columns))
		for n := range cells {
			if n < len(r) {
				cells[n] = Clean(r[n], maxCell)
			}
		}
		out.Rows = append(out.Rows, cells)
	}
	return out
}

// coordinates shows where the evidence is when the events themselves are not at
// hand.
func coordinates(f *detect.Finding) *Table {
	t := &Table{Caption: fmt.Sprintf("Where the evidence is: %d of %d events", min(maxRows, len(f.Evidence)), f.Events), Columns: []string{"event", "origin"}}
	for n, o := range f.Evidence {
		t.Rows = append(t.Rows, []string{strconv.Itoa(n + 1), o.String()})
	}
	return t.clean()
}
