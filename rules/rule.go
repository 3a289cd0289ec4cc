package rules

import (
	"slices"
	"time"
)

// Severity is how urgent a finding of a rule is.
type Severity string

// The severities, lowest first.
const (
	Info     Severity = "info"
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Severities lists every Severity, lowest first.
func Severities() []Severity { return []Severity{Info, Low, Medium, High, Critical} }

// Rank orders severities: 0 for info to 4 for critical, -1 for anything else.
func (s Severity) Rank() int { return slices.Index(Severities(), s) }

// Kind is how a rule keeps state.
type Kind string

// The kinds of rule.
const (
	KindWindow   Kind = "window"   // measures over a sliding window of event time
	KindMatch    Kind = "match"    // every event that matches, once per quiet time
	KindBaseline Kind = "baseline" // counts per fixed window against what was learned
)

// Verb is what a measure does with the events of the window.
type Verb string

// The verbs.
const (
	VerbCount        Verb = "count"        // events for which the expression holds
	VerbSum          Verb = "sum"          // sum of a number
	VerbRatio        Verb = "ratio"        // share of events for which the expression holds
	VerbDistinct     Verb = "distinct"     // different values
	VerbAlternations Verb = "alternations" // returns to a value after another: A-B-A is one
	VerbSequential   Verb = "sequential"   // longest run of numbers with gaps of at most two
)

// Measure is one number that a window rule computes per entity.
type Measure struct {
	Name string
	Verb Verb
	Of   *Predicate // count, ratio: nil = every event
	Key  *Key       // distinct, alternations, sequential
	Sum  *Number    // sum
	// Where limits the measure to some of the rule's events; for a ratio it is
	// the denominator. nil = all.
	Where *Predicate
	// Never, for distinct only: a value with any such event is not counted.
	Never *Predicate
	// Limit is how many values are told apart. A distinct count stops there and
	// is a lower bound then.
	Limit int
}

// Defaults and bounds of a rule. The engine's memory per entity follows from them.
const (
	DefaultLimit  = 256
	MaxLimit      = 16_384
	MaxMeasures   = 16
	MaxGroupBy    = 6
	MinWindow     = time.Second
	MaxWindow     = 24 * time.Hour
	DefaultWindow = 10 * time.Minute
	DefaultQuiet  = time.Hour
	DefaultLearn  = 15 * time.Minute
	MaxRules      = 10_000
)

// Baseline is the parameters of a baseline rule. Zero values mean the defaults
// that are given.
type Baseline struct {
	// Q is the share of false findings among all findings of one window that is
	// aimed at (Benjamini-Hochberg). Default 0.01.
	Q float64
	// MinCount is the smallest count that is ever unusual. Default 20.
	MinCount float64
	// MinRatio is how many times the expected count a count has to be. Default 3.
	MinRatio float64
	// Spread, if set, is a field whose busiest value is left out of the count:
	// a route rule with spread: actor stays quiet when one actor makes the
	// spike, because the actor's own rule says so.
	Spread *Field
}

// Rule is one compiled rule.
type Rule struct {
	ID, Title   string
	Severity    Severity
	OWASP       []string // such as API2:2023
	Attack      []string // MITRE ATT&CK technique ids
	Kind        Kind
	Class       string // folder in the catalogue, such as api2-auth
	File        string // where it was read from, for messages
	Override    bool   // may replace a rule of the same id
	Description string

	When     Predicate
	GroupBy  []*Field
	Peers    []*Field // entities that agree in these fields are peers; nil = none
	Window   time.Duration
	Learn    time.Duration // how long the rule watches before warm is true
	Measures []Measure
	Having   *Condition // nil for baseline and match
	Quiet    time.Duration
	Reason   Template
	Baseline Baseline

	Runbook    *Runbook // nil when the rule has none; lint refuses that
	Transcript string   // "" when the rule has none; lint refuses that

	need needs
}

// Set is rules with distinct ids, in the order of their ids.
type Set struct{ rules []*Rule }

// Rules lists the rules in the order of their ids. The slice is the caller's.
func (s Set) Rules() []*Rule { return slices.Clone(s.rules) }

// Len is the number of rules.
func (s Set) Len() int { return len(s.rules) }

// ByID finds a rule.
func (s Set) ByID(id string) (*Rule, bool) {
	i, ok := slices.BinarySearchFunc(s.rules, id, func(r *Rule, id string) int { return compare(r.ID, id) })
	if !ok {
		return nil, false
	}
	return s.rules[i], true
}

// Only is the set of just one rule.
func Only(r *Rule) Set { return Set{[]*Rule{r}} }

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
