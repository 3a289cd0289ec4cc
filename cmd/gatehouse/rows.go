package main

import (
	"fmt"
	"time"

	"gatehouse/detect"
	"gatehouse/ingest/event"
	"gatehouse/rules"
	"gatehouse/store"
)

// findingRow is a detect.Finding as a row of audit.findings.
type findingRow struct {
	ID       string    `ch:"id"`
	Rule     string    `ch:"rule"`
	Title    string    `ch:"title"`
	Severity string    `ch:"severity"`
	OWASP    []string  `ch:"owasp"`
	Attack   []string  `ch:"attack"`
	Tenant   string    `ch:"tenant"`
	Names    []string  `ch:"entity.name"`
	Values   []string  `ch:"entity.value"`
	First    time.Time `ch:"first"`
	Last     time.Time `ch:"last"`
	At       time.Time `ch:"at"`
	Events   uint64    `ch:"events"`
	Evidence []string  `ch:"evidence"`
	Measured []string  `ch:"measures.name"`
	Measures []float64 `ch:"measures.value"`
	Reason   string    `ch:"reason"`
	SQL      string    `ch:"sql"`
	StoredAt time.Time `ch:"stored_at"`
}

func newFindingRow(f detect.Finding, now time.Time) findingRow {
	row := findingRow{
		ID: f.ID, Rule: f.Rule, Title: f.RuleTitle, Severity: string(f.Severity), OWASP: f.OWASP, Attack: f.Attack, Tenant: f.Tenant,
		First: time.UnixMicro(f.First).UTC(), Last: time.UnixMicro(f.Last).UTC(), At: time.UnixMicro(f.At).UTC(),
		Events: uint64(f.Events), Reason: f.Reason, SQL: f.SQL, StoredAt: now.UTC(),
	}
	for _, e := range f.Entity {
		row.Names, row.Values = append(row.Names, e.Name), append(row.Values, e.Value)
	}
	for _, o := range f.Evidence {
		row.Evidence = append(row.Evidence, o.String())
	}
	for _, m := range f.Measures {
		row.Measured, row.Measures = append(row.Measured, m.Name), append(row.Measures, m.Value)
	}
	return row
}

func (r findingRow) finding() (detect.Finding, error) {
	severity := rules.Severity(r.Severity)
	if severity.Rank() < 0 {
		return detect.Finding{}, fmt.Errorf("read finding %s: unknown severity", r.ID)
	}
	f := detect.Finding{
		ID: r.ID, Rule: r.Rule, RuleTitle: r.Title, Severity: severity, OWASP: r.OWASP, Attack: r.Attack, Tenant: r.Tenant,
		First: r.First.UnixMicro(), Last: r.Last.UnixMicro(), At: r.At.UnixMicro(), Events: int64(r.Events), Reason: r.Reason, SQL: r.SQL,
	}
	for i := range min(len(r.Names), len(r.Values)) {
		f.Entity = append(f.Entity, detect.Field{Name: r.Names[i], Value: r.Values[i]})
	}
	for _, s := range r.Evidence {
		o, err := event.ParseOrigin(s)
		if err != nil {
			return detect.Finding{}, fmt.Errorf("read finding %s: %w", r.ID, err)
		}
		f.Evidence = append(f.Evidence, o)
	}
	for i := range min(len(r.Measured), len(r.Measures)) {
		f.Measures = append(f.Measures, detect.Measure{Name: r.Measured[i], Value: r.Measures[i]})
	}
	return f, nil
}

// newFindingTable is audit.findings; a finding that a replay finds again is not
// stored again.
func newFindingTable(db *store.DB) *store.Table[findingRow] {
	return store.NewTable(db, "findings", func(r findingRow) string { return "finding:" + r.ID })
}
