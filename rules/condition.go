package rules

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Values is what a rule's having sees: one number per measure, in the order of
// the rule, for the window (Now), for the entity's own past (Usual) and for
// others in the same position (Peers).
type Values struct {
	Now, Usual, Peers []float64
	Events            float64 // events in the window that matched when
	Windows           float64 // completed windows that Usual was learned from
	Others            float64 // other entities that Peers was learned from
	Warm              bool    // the rule has watched for long enough to know what is usual
}

// Condition is a compiled having: numbers and comparisons over [Values].
type Condition struct {
	source string
	root   term
	used   uses
}

// Source is the condition as written.
func (c *Condition) Source() string { return c.source }

// Holds evaluates the condition.
func (c *Condition) Holds(v *Values) bool { return c.root.value(v) != 0 }

// UsesUsual and UsesPeers say whether the i-th measure's past is looked at.
func (c *Condition) UsesUsual(i int) bool { return slices.Contains(c.used.usual, i) }

// UsesPeers says whether the i-th measure of peers is looked at.
func (c *Condition) UsesPeers(i int) bool { return slices.Contains(c.used.peers, i) }

// Clause is one comparison of a condition against concrete values: what makes
// up the explanation of a finding.
type Clause struct {
	Text  string  // as written, such as "objects >= 12"
	Saw   float64 // value of the left side
	Needs float64 // value of the right side
	Holds bool
}

// Clauses lists the comparisons that decided the condition: of an "or" the
// first side that holds, otherwise both.
func (c *Condition) Clauses(v *Values) []Clause { return c.root.clauses(v, nil) }

// term is a node of the compiled condition. Truth is 1 or 0.
type term struct {
	op          string // "" for a leaf
	text        string // source form
	left, right *term
	leaf        func(*Values) float64
	number      bool           // a number rather than a truth
	measures    map[int]string // what is compared here: index → verb
}

func (t *term) value(v *Values) float64 {
	switch t.op {
	case "":
		return t.leaf(v)
	case "and":
		return truth(t.left.value(v) != 0 && t.right.value(v) != 0)
	case "or":
		return truth(t.left.value(v) != 0 || t.right.value(v) != 0)
	case "not":
		return truth(t.left.value(v) == 0)
	}
	return arithmetic(t.op, t.left.value(v), t.right.value(v))
}

func arithmetic(op string, a, b float64) float64 {
	switch op {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "/":
		if b == 0 { // a share of nothing is nothing
			return 0
		}
		return a / b
	case "min":
		return math.Min(a, b)
	case "max":
		return math.Max(a, b)
	case ">=":
		return truth(a >= b)
	case ">":
		return truth(a > b)
	case "<=":
		return truth(a <= b)
	case "<":
		return truth(a < b)
	case "==":
		return truth(a == b)
	}
	return truth(a != b)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (t *term) clauses(v *Values, out []Clause) []Clause {
	switch t.op {
	case "and":
		return t.right.clauses(v, t.left.clauses(v, out))
	case "or":
		if t.left.value(v) != 0 || t.right.value(v) == 0 {
			return t.left.clauses(v, out)
		}
		return t.right.clauses(v, out)
	case ">=", ">", "<=", "<", "==", "!=":
		return append(out, Clause{t.text, t.left.value(v), t.right.value(v), t.value(v) != 0})
	}
	return out
}

// bare reports whether some alternative of the condition rests on one measure,
// or on counts of events alone. A comparison with the usual or with peers is
// evidence of its own.
func (t *term) bare() bool { return weight(t.narrow()) < 2 }

// weight is how many different measures there are, and at most 1 when all of
// them are counts.
func weight(set map[int]string) int {
	for _, verb := range set {
		if verb != string(VerbCount) {
			return len(set)
		}
	}
	return min(1, len(set))
}

func (t *term) narrow() map[int]string {
	switch t.op {
	case "and":
		set := map[int]string{}
		for _, side := range []*term{t.left, t.right} {
			for i, verb := range side.narrow() {
				set[i] = verb
			}
		}
		return set
	case "or":
		l, r := t.left.narrow(), t.right.narrow()
		if weight(l) <= weight(r) {
			return l
		}
		return r
	case "not":
		return t.left.narrow()
	}
	return t.measures
}

// Where the past and the peers of measures stand among term.measures.
const (
	usualIndex = 1000
	peersIndex = 2000
)

type uses struct{ usual, peers []int }

// conditionCompiler turns the syntax tree of a having into terms.
type conditionCompiler struct {
	measures []Measure
	source   []rune
	used     uses
}

// compileCondition compiles the having of a rule with these measures.
func compileCondition(src string, measures []Measure) (*Condition, error) {
	root, err := parse(src, func(*ast.IdentifierNode) *fault { return nil })
	if err != nil {
		return nil, err
	}
	c := conditionCompiler{measures: measures, source: []rune(src)}
	t, f := c.compile(root)
	if f != nil {
		return nil, f
	}
	if t.number {
		return nil, faultf(root, "a number: want a comparison, such as %s >= 10", src)
	}
	return &Condition{source: src, root: *t, used: c.used}, nil
}

func (c *conditionCompiler) compile(n ast.Node) (*term, *fault) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return constant(float64(n.Value)), nil
	case *ast.FloatNode:
		return constant(n.Value), nil
	case *ast.BoolNode:
		v := truth(n.Value)
		return &term{leaf: func(*Values) float64 { return v }}, nil
	case *ast.IdentifierNode:
		return c.name(n)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.BuiltinNode:
		return c.function(n, n.Name, n.Arguments)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.function(n, callee.Value, n.Arguments)
		}
	}
	return nil, faultf(n, "having compares numbers: want measures, numbers, + - * /, comparisons, and, or, not, min, max")
}

func constant(v float64) *term {
	return &term{leaf: func(*Values) float64 { return v }, number: true}
}

func (c *conditionCompiler) name(n *ast.IdentifierNode) (*term, *fault) {
	switch n.Value {
	case "events":
		return &term{leaf: func(v *Values) float64 { return v.Events }, number: true, measures: map[int]string{-1: string(VerbCount)}}, nil
	case "windows":
		return &term{leaf: func(v *Values) float64 { return v.Windows }, number: true}, nil
	case "warm":
		return &term{leaf: func(v *Values) float64 { return truth(v.Warm) }}, nil
	}
	i, f := c.index(n, n.Value)
	if f != nil {
		return nil, f
	}
	return &term{leaf: func(v *Values) float64 { return v.Now[i] }, number: true, measures: map[int]string{i: string(c.measures[i].Verb)}}, nil
}

func (c *conditionCompiler) index(at ast.Node, name string) (int, *fault) {
	i := slices.IndexFunc(c.measures, func(m Measure) bool { return m.Name == name })
	if i >= 0 {
		return i, nil
	}
	names := []string{"events", "windows", "warm", "usual", "peers"}
	for _, m := range c.measures {
		names = append(names, m.Name)
	}
	return 0, faultf(at, "unknown measure `%s`%s", name, suggest(name, names))
}

func (c *conditionCompiler) member(n *ast.MemberNode) (*term, *fault) {
	of, ok1 := n.Node.(*ast.IdentifierNode)
	prop, ok2 := n.Property.(*ast.StringNode)
	if !ok1 || !ok2 || (of.Value != "usual" && of.Value != "peers") {
		return nil, faultf(n, "want usual.<measure> or peers.<measure>")
	}
	if of.Value == "peers" && prop.Value == "entities" {
		return &term{leaf: func(v *Values) float64 { return v.Others }, number: true}, nil
	}
	i, f := c.index(n, prop.Value)
	if f != nil {
		return nil, f
	}
	if of.Value == "usual" {
		c.used.usual = append(c.used.usual, i)
		return &term{leaf: func(v *Values) float64 { return v.Usual[i] }, number: true, measures: map[int]string{usualIndex + i: "usual"}}, nil
	}
	c.used.peers = append(c.used.peers, i)
	return &term{leaf: func(v *Values) float64 { return v.Peers[i] }, number: true, measures: map[int]string{peersIndex + i: "peers"}}, nil
}

func (c *conditionCompiler) unary(n *ast.UnaryNode) (*term, *fault) {
	t, f := c.compile(n.Node)
	switch {
	case f != nil:
		return nil, f
	case n.Operator == "-" && t.number:
		return &term{op: "-", left: constant(0), right: t, number: true, measures: t.measures}, nil
	case (n.Operator == "not" || n.Operator == "!") && !t.number:
		return &term{op: "not", left: t}, nil
	}
	return nil, faultf(n, "`%s` does not fit here", n.Operator)
}

func (c *conditionCompiler) binary(n *ast.BinaryNode) (*term, *fault) {
	l, f := c.compile(n.Left)
	if f != nil {
		return nil, f
	}
	r, f := c.compile(n.Right)
	if f != nil {
		return nil, f
	}
	t := &term{op: n.Operator, left: l, right: r, measures: union(l.measures, r.measures)}
	switch n.Operator {
	case "&&", "and", "||", "or":
		if l.number || r.number {
			return nil, faultf(n, "`%s` joins comparisons: a number is on one side", n.Operator)
		}
		t.op = map[string]string{"&&": "and", "and": "and", "||": "or", "or": "or"}[n.Operator]
		return t, nil
	case "+", "-", "*", "/":
		t.number = true
	case ">=", ">", "<=", "<", "==", "!=":
		t.text = c.text(n)
	default:
		return nil, faultf(n, "operator `%s` is not for numbers: want + - * / or a comparison", n.Operator)
	}
	if !l.number || !r.number {
		return nil, faultf(n, "`%s` takes numbers", n.Operator)
	}
	return t, nil
}

func (c *conditionCompiler) function(n ast.Node, name string, args []ast.Node) (*term, *fault) {
	if (name != "min" && name != "max") || len(args) != 2 {
		return nil, faultf(n, "having knows min(a, b) and max(a, b) only")
	}
	l, f := c.compile(args[0])
	if f != nil {
		return nil, f
	}
	r, f := c.compile(args[1])
	if f != nil {
		return nil, f
	}
	if !l.number || !r.number {
		return nil, faultf(n, "%s takes numbers", name)
	}
	return &term{op: name, left: l, right: r, number: true, measures: union(l.measures, r.measures)}, nil
}

// text is the normal form of a comparison: with single spaces.
func (c *conditionCompiler) text(n ast.Node) string {
	return strings.Join(strings.Fields(fmt.Sprint(n)), " ")
}

func union(a, b map[int]string) map[int]string {
	if len(b) == 0 {
		return a
	}
	out := make(map[int]string, len(a)+len(b))
	for _, m := range []map[int]string{a, b} {
		for i, verb := range m {
			out[i] = verb
		}
	}
	return out
}
