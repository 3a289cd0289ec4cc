package alert

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"gatehouse/rules"
)

// Kinds of messages, and of the deliveries that carry them.
const (
	MessageRoot     = "root"     // the incident itself, edited in place
	MessageEvidence = "evidence" // reply: sample events and the SQL that selects them all
	MessageRunbook  = "runbook"  // reply: the runbook's queries with the incident's values in them
	MessageReopened = "reopened" // reply, also shown in the channel
)

// Message is what people are to see, before it becomes Block Kit or terminal
// text. It is a pure function of an incident and its runbook. Every string is
// plain text and may hold values that an attacker chose, except Summary and the
// names of fields, tables and links. A Notifier must not let any other string
// reach a place where the channel would interpret it.
type Message struct {
	Kind     string         `json:"kind"`
	Incident string         `json:"incident"`
	Severity rules.Severity `json:"severity"`
	State    State          `json:"state"`
	Summary  string         `json:"summary"` // one line without any value from an event: for notifications
	Header   string         `json:"header,omitempty"`
	Why      string         `json:"why,omitempty"`
	Fields   []MessageField `json:"fields,omitempty"`
	Steps    []string       `json:"steps,omitempty"` // what to do first, in order
	Table    *Table         `json:"table,omitempty"`
	Code     []Code         `json:"code,omitempty"`
	Links    []Link         `json:"links,omitempty"`
	Footer   string         `json:"footer,omitempty"`
}

// MessageField is a name and its value: Times if there are any, else Value.
type MessageField struct {
	Name  string      `json:"name"`
	Value string      `json:"value,omitempty"`
	Times []time.Time `json:"times,omitempty"` // a moment, or first and last of a span
}

// Table is sample events: one row each.
type Table struct {
	Caption string     `json:"caption"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Code is text to copy: SQL.
type Code struct {
	Label string `json:"label"`
	Text  string `json:"text"`
}

// Link is a button that opens a page. Its URL comes from configuration.
type Link struct {
	Label string `json:"label"`
	URL   string `json:"url"`
}

// Hash is equal for messages that look the same.
func (m *Message) Hash() string {
	b, err := json.Marshal(m)
	if err != nil { // strings, times and lists always have a JSON form
		return fmt.Sprint(err)
	}
	sum := digest("message/1", string(b))
	return hex.EncodeToString(sum[:16])
}
