package rules

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

var (
	idPattern    = regexp.MustCompile(`^[a-z][a-z0-9-]{1,63}$`)
	namePattern  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	owaspPattern = regexp.MustCompile(`^API(10|[1-9]):20(19|23)$`)
	techPattern  = regexp.MustCompile(`^T\d{4}(\.\d{3})?$`)
)

// reserved are names of having that a measure cannot take.
var reserved = []string{"events", "windows", "warm", "usual", "peers", "min", "max", "window"}

// build checks a decoded document and compiles it.
func (r *reading) build() (*Rule, error) {
	rule := &Rule{File: r.name, Override: r.doc.Override, Description: strings.TrimSpace(r.doc.Description)}
	for _, step := range []func(*Rule) error{
		r.identity, r.kind, r.predicate, r.grouping, r.times, r.measures, r.condition, r.baseline, r.reason,
	} {
		if err := step(rule); err != nil {
			return nil, err
		}
	}
	return rule, nil
}

func (r *reading) identity(rule *Rule) error {
	d := &r.doc
	rule.ID, rule.Title, rule.Severity = d.ID, d.Title, Severity(d.Severity)
	rule.OWASP, rule.Attack = d.OWASP, d.Attack
	switch {
	case d.ID == "":
		return r.errorf([]string{"id"}, "missing: want lower-case words with hyphens, such as token-reuse")
	case !idPattern.MatchString(d.ID):
		return r.errorf([]string{"id"}, "%q: want lower-case words with hyphens, such as token-reuse", d.ID)
	case d.Title == "":
		return r.errorf([]string{"title"}, "missing: want one line that says what happened")
	case rule.Severity.Rank() < 0:
		names := make([]string, 0, len(Severities()))
		for _, s := range Severities() {
			names = append(names, string(s))
		}
		return r.errorf([]string{"severity"}, "%q: want one of %s%s", d.Severity, strings.Join(names, ", "), suggest(d.Severity, names))
	}
	for _, s := range d.OWASP {
		if !owaspPattern.MatchString(s) {
			return r.errorf([]string{"owasp"}, "%q: want an OWASP API item, such as API2:2023", s)
		}
	}
	for _, s := range d.Attack {
		if !techPattern.MatchString(s) {
			return r.errorf([]string{"attack"}, "%q: want an ATT&CK technique, such as T1528", s)
		}
	}
	return nil
}

func (r *reading) kind(rule *Rule) error {
	rule.Kind = Kind(r.doc.Kind)
	kinds := []string{string(KindWindow), string(KindMatch), string(KindBaseline)}
	switch {
	case rule.Kind == "":
		rule.Kind = KindWindow
	case !slices.Contains(kinds, r.doc.Kind):
		return r.errorf([]string{"kind"}, "%q: want one of %s%s", r.doc.Kind, strings.Join(kinds, ", "), suggest(r.doc.Kind, kinds))
	}
	return nil
}

func (r *reading) predicate(rule *Rule) error {
	if r.doc.When == "" {
		return r.errorf([]string{"when"}, "missing: want an expression, such as kind == \"access\"")
	}
	p, err := r.compilePredicate(rule, []string{"when"}, r.doc.When)
	if err != nil {
		return err
	}
	rule.When = *p
	return nil
}

func (r *reading) compilePredicate(rule *Rule, path []string, src scalar) (*Predicate, error) {
	p, err := compilePredicate(string(src))
	if err != nil {
		return nil, r.at(path, string(src), err)
	}
	if p.fast == nil {
		rule.need |= p.need
	}
	return p, nil
}

func (r *reading) grouping(rule *Rule) error {
	if len(r.doc.GroupBy) == 0 {
		return r.errorf([]string{"group_by"}, "missing: want the fields that make an entity, such as [tenant, actor]")
	}
	if len(r.doc.GroupBy) > MaxGroupBy {
		return r.errorf([]string{"group_by"}, "%d fields: want at most %d", len(r.doc.GroupBy), MaxGroupBy)
	}
	var err error
	if rule.GroupBy, err = r.fields("group_by", r.doc.GroupBy); err != nil {
		return err
	}
	rule.Peers, err = r.fields("peers", r.doc.Peers)
	return err
}

func (r *reading) fields(key string, names []string) ([]*Field, error) {
	var out []*Field
	for _, name := range names {
		f, ok := fieldByName(name)
		switch {
		case !ok:
			return nil, r.errorf([]string{key}, "unknown field `%s`%s", name, suggest(name, fieldNames()))
		case !f.Key() || f.SQL == "":
			return nil, r.errorf([]string{key}, "field `%s` is a %s: want a field with one value", name, f.Type)
		case slices.Contains(out, f):
			return nil, r.errorf([]string{key}, "field `%s` twice", name)
		}
		out = append(out, f)
	}
	return out, nil
}

func (r *reading) times(rule *Rule) error {
	var err error
	if rule.Window, err = r.duration("window", r.doc.Window, DefaultWindow); err != nil {
		return err
	}
	if rule.Quiet, err = r.duration("quiet", r.doc.Quiet, max(DefaultQuiet, rule.Window)); err != nil {
		return err
	}
	if rule.Learn, err = r.duration("learn", r.doc.Learn, max(DefaultLearn, 3*rule.Window)); err != nil {
		return err
	}
	if rule.Quiet < rule.Window {
		return r.errorf([]string{"quiet"}, "%s is shorter than the window of %s: one burst would be told twice", rule.Quiet, rule.Window)
	}
	return nil
}

func (r *reading) duration(key, src string, otherwise time.Duration) (time.Duration, error) {
	if src == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(src)
	if err != nil {
		return 0, r.errorf([]string{key}, "%q: want a duration, such as 10m or 1h30m", src)
	}
	if d < MinWindow || (d > MaxWindow && key == "window") || d > 31*MaxWindow {
		return 0, r.errorf([]string{key}, "%s: want %s to %s", d, MinWindow, MaxWindow)
	}
	return d, nil
}

func (r *reading) measures(rule *Rule) error {
	names := r.order("measure")
	switch {
	case len(r.doc.Measure) == 0:
		return nil
	case rule.Kind != KindWindow:
		return r.errorf([]string{"measure"}, "a %s rule has no measures: leave it out or use kind: window", rule.Kind)
	case len(r.doc.Measure) > MaxMeasures:
		return r.errorf([]string{"measure"}, "%d measures: want at most %d", len(r.doc.Measure), MaxMeasures)
	}
	for _, name := range names {
		if !namePattern.MatchString(name) || slices.Contains(reserved, name) {
			return r.errorf([]string{"measure"}, "`%s` cannot name a measure: want lower-case letters, not one of %s", name, strings.Join(reserved, ", "))
		}
		m, err := r.measure(rule, name, r.doc.Measure[name])
		if err != nil {
			return err
		}
		rule.Measures = append(rule.Measures, m)
	}
	return nil
}

func (r *reading) measure(rule *Rule, name string, text measureText) (Measure, error) {
	m := Measure{Name: name, Limit: text.Limit}
	path := []string{"measure", name}
	verb, src, err := r.verb(path, text)
	if err != nil {
		return m, err
	}
	m.Verb = verb
	at := append(path, string(verb))
	switch verb {
	case VerbCount, VerbRatio:
		m.Of, err = r.compilePredicate(rule, at, src)
	case VerbSum:
		m.Sum, err = r.compileNumber(rule, at, src)
	default:
		m.Key, err = r.compileKey(rule, at, src)
	}
	if err != nil {
		return m, err
	}
	return m, r.options(rule, &m, text)
}

func (r *reading) options(rule *Rule, m *Measure, text measureText) (err error) {
	path := []string{"measure", m.Name}
	if text.Where != "" {
		if m.Where, err = r.compilePredicate(rule, append(path, "where"), text.Where); err != nil {
			return err
		}
	}
	if text.Never != "" {
		if m.Verb != VerbDistinct {
			return r.errorf(append(path, "never"), "belongs to distinct only")
		}
		if m.Never, err = r.compilePredicate(rule, append(path, "never"), text.Never); err != nil {
			return err
		}
	}
	switch {
	case m.Limit == 0:
		m.Limit = DefaultLimit
	case m.Verb != VerbDistinct:
		return r.errorf(append(path, "limit"), "belongs to distinct only")
	case m.Limit < 1 || m.Limit > MaxLimit:
		return r.errorf(append(path, "limit"), "%d: want 1 to %d", m.Limit, MaxLimit)
	}
	return nil
}

// verb finds the one verb of a measure.
func (r *reading) verb(path []string, text measureText) (Verb, scalar, error) {
	var verb Verb
	var src scalar
	n := 0
	for _, v := range []struct {
		verb Verb
		src  scalar
	}{
		{VerbCount, text.Count},
		{VerbSum, text.Sum},
		{VerbRatio, text.Ratio},
		{VerbDistinct, text.Distinct},
		{VerbAlternations, text.Alternations},
		{VerbSequential, text.Sequential},
	} {
		if v.src != "" {
			verb, src = v.verb, v.src
			n++
		}
	}
	if n != 1 {
		return "", "", r.errorf(path, "%d verbs: want exactly one of count, sum, ratio, distinct, alternations, sequential", n)
	}
	return verb, src, nil
}

func (r *reading) compileNumber(rule *Rule, path []string, src scalar) (*Number, error) {
	p, _, err := compile(string(src), reflect.Float64)
	if err != nil {
		return nil, r.at(path, string(src), err)
	}
	rule.need |= p.need
	return &Number{p}, nil
}

func (r *reading) compileKey(rule *Rule, path []string, src scalar) (*Key, error) {
	p, root, err := compile(string(src), reflect.Invalid)
	if err != nil {
		return nil, r.at(path, string(src), err)
	}
	if !single(p, root) {
		return nil, r.at(path, string(src), &fault{0, "the value is a list, a map or a truth: want one text or number"})
	}
	k := &Key{program: p, fields: chain(root)}
	if k.fields == nil {
		rule.need |= p.need
	}
	return k, nil
}

// single reports whether the expression has one text or number as its value.
func single(p program, root ast.Node) bool {
	if id, ok := root.(*ast.IdentifierNode); ok {
		f, known := fieldByName(id.Value)
		return known && f.Key()
	}
	switch t := p.code.Node().Type(); {
	case t == nil:
		return true
	default:
		switch t.Kind() {
		case reflect.String, reflect.Int, reflect.Int64, reflect.Float64, reflect.Interface:
			return true
		}
		return false
	}
}

func (r *reading) condition(rule *Rule) error {
	path := []string{"having"}
	switch {
	case rule.Kind != KindWindow && r.doc.Having != "":
		return r.errorf(path, "a %s rule has no having: leave it out or use kind: window", rule.Kind)
	case rule.Kind != KindWindow:
		return nil
	case r.doc.Having == "":
		return r.errorf(path, "missing: want a condition over the measures, such as objects >= 12 and misses >= 0.5")
	}
	c, err := compileCondition(string(r.doc.Having), rule.Measures)
	if err != nil {
		return r.at(path, string(r.doc.Having), err)
	}
	if len(c.used.peers) > 0 && len(rule.Peers) == 0 {
		return r.errorf(path, "compares with peers: add the key peers, such as peers: [tenant, route]")
	}
	if rule.Severity.Rank() >= High.Rank() && c.root.bare() {
		return r.errorf(path, "a %s rule must not rest on a bare count: let every alternative compare at least two measures, one of them more than a count, or lower the severity", rule.Severity)
	}
	if len(c.used.usual) > 0 && rule.Learn < 3*rule.Window {
		return r.errorf([]string{"learn"}, "%s: want at least three windows (%s), so that warm comes after usual is known", rule.Learn, 3*rule.Window)
	}
	rule.Having = c
	return nil
}

func (r *reading) baseline(rule *Rule) error {
	b := r.doc.Baseline
	if rule.Kind != KindBaseline {
		if b != nil {
			return r.errorf([]string{"baseline"}, "belongs to kind: baseline")
		}
		return nil
	}
	if rule.Severity.Rank() >= High.Rank() {
		return r.errorf([]string{"severity"}, "a baseline rests on a count alone: want at most medium")
	}
	rule.Baseline = Baseline{Q: 0.01, MinCount: 20, MinRatio: 3}
	if b == nil {
		return nil
	}
	for _, v := range []struct {
		key         string
		got, lo, hi float64
		set         *float64
	}{
		{"q", b.Q, 1e-6, 0.5, &rule.Baseline.Q},
		{"min_count", b.MinCount, 1, 1e9, &rule.Baseline.MinCount},
		{"min_ratio", b.MinRatio, 1, 1e6, &rule.Baseline.MinRatio},
	} {
		if v.got == 0 {
			continue
		}
		if !(v.got >= v.lo && v.got <= v.hi) {
			return r.errorf([]string{"baseline", v.key}, "%v: want %v to %v", v.got, v.lo, v.hi)
		}
		*v.set = v.got
	}
	if b.Spread == "" {
		return nil
	}
	f, err := r.fields("baseline", []string{b.Spread})
	if err != nil {
		return err
	}
	rule.Baseline.Spread = f[0]
	return nil
}

func (r *reading) reason(rule *Rule) error {
	names := []string{"events", "window"}
	for _, f := range rule.GroupBy {
		names = append(names, f.Name)
	}
	for _, m := range rule.Measures {
		names = append(names, m.Name, "usual."+m.Name, "peers."+m.Name)
	}
	if rule.Kind == KindBaseline {
		names = append(names, "count", "expected")
	}
	src := strings.TrimSpace(r.doc.Reason)
	if src == "" {
		return r.errorf([]string{"reason"}, "missing: want one sentence with the numbers in it, such as %q", "{actor} read {objects} objects in {window}")
	}
	t, err := parseTemplate(src, names)
	if err != nil {
		return r.at([]string{"reason"}, src, err)
	}
	rule.Reason = t
	return nil
}
