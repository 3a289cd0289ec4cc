package detect

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"gatehouse/ingest/event"
	"gatehouse/rules"
)

// Finding is one thing a rule found. Text in it can come from an attacker
// (Entity values, Reason): show it as text, never as markup.
type Finding struct {
	ID        string         `json:"id"` // 32 hex digits; equal for the same finding in a replay
	Rule      string         `json:"rule"`
	RuleTitle string         `json:"title"`
	Severity  rules.Severity `json:"severity"`
	OWASP     []string       `json:"owasp"`
	Attack    []string       `json:"attack,omitempty"`
	Tenant    string         `json:"tenant,omitempty"`
	Entity    []Field        `json:"entity"` // the rule's group_by, in its order
	First     int64          `json:"first"`  // µs since the Unix epoch: first event of the window
	Last      int64          `json:"last"`   // µs: last event of the window
	At        int64          `json:"at"`     // µs: event time at which the rule fired
	Events    int64          `json:"events"` // events of the window that matched the rule
	Evidence  []event.Origin `json:"evidence"`
	Measures  []Measure      `json:"measures"`
	Reason    string         `json:"reason"`
	SQL       string         `json:"sql"` // re-selects the entity's events of the window from audit.events
}

// MaxEvidence is how many origins a finding carries: the first and the last
// events that contributed.
const MaxEvidence = 20

// Field is one name and value of an entity.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Measure is one number of a finding.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// findingID names a finding by what it is about: rule, entity and the start of
// the window-long epoch in which it fired. Neither batches, nor arrival times,
// nor the values at that moment go into it.
func findingID(rule string, entity []Field, epochStart int64) string {
	h := sha256.New()
	write := func(s string) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	write("gatehouse/finding/1")
	write(rule)
	for _, f := range entity {
		write(f.Name)
		write(f.Value)
	}
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(epochStart))
	h.Write(n[:])
	return hex.EncodeToString(h.Sum(nil)[:16])
}
