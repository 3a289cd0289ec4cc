package alert

import "gatehouse/rules"

// Field is one name and value of an entity.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Measure is one number that a rule computed.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Origin is where an event came from.
type Origin string

func (o Origin) String() string { return string(o) }

// Finding is what detection reports.
type Finding struct {
	ID        string         `json:"id"`
	Rule      string         `json:"rule"`
	RuleTitle string         `json:"title"`
	Severity  rules.Severity `json:"severity"`
	OWASP     []string       `json:"owasp"`
	Attack    []string       `json:"attack"`
	Tenant    string         `json:"tenant"`
	Entity    []Field        `json:"entity"`
	First     int64          `json:"first"`
	Last      int64          `json:"last"`
	At        int64          `json:"at"`
	Events    int64          `json:"events"`
	Evidence  []Origin       `json:"evidence"`
	Measures  []Measure      `json:"measures"`
	Reason    string         `json:"reason"`
	SQL       string         `json:"sql"`
}
