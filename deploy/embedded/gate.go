package embedded

import (
	"fmt"
	"strings"
)

// The gate lets readers' SQL through. The engine's readonly=1 stops writes and
// its grants stop table functions that reach files and other servers, but two
// ways out remain: INTO OUTFILE, and the scalar function file(), which in this
// engine reads any path. The gate closes them, and says clearly what the other
// two layers would refuse less clearly.
//
// It never judges the text a client sent. It has the engine print the
// statement it parsed (comments, case, escapes and odd quotes are gone then),
// judges that text token by token, and that text is what runs.

// readOnlyStarts are the first words of statements that only read.
var readOnlyStarts = map[string]bool{"SELECT": true, "WITH": true, "EXPLAIN": true, "DESCRIBE": true, "SHOW": true, "(": true}

// readerTableFunctions are the table functions that make rows up or read
// tables the reader may read anyway. All others are refused, also those of
// engines to come.
var readerTableFunctions = map[string]bool{
	"numbers": true, "numbers_mt": true, "zeros": true, "zeros_mt": true, "primes": true,
	"generateseries": true, "generate_series": true, "generaterandom": true,
	"values": true, "sqlstandardvalues": true, "null": true, "view": true, "format": true,
	"merge": true, "mergetreeindex": true, "mergetreeprojection": true, "mergetreetextindex": true,
}

// refusedFunctions are the scalar functions that read files or call other
// services. TestFunctionsReviewed lists the functions of the engine with
// suspicious names, so that a new engine is looked at before it is used.
var refusedFunctions = map[string]bool{
	"file": true, "catboostevaluate": true, "showcertificate": true,
	"aiclassify": true, "aiembed": true, "aiextract": true, "aigenerate": true, "aitranslate": true,
	"addresstoline": true, "addresstolinewithinlines": true, "addresstosymbol": true,
}

// gate knows the table functions of the running engine, in lower case.
type gate struct{ tableFunctions map[string]bool }

// newGate asks the engine for its table functions.
func newGate(s *session) (*gate, error) {
	out, _, err := s.exec(query{sql: "SELECT lower(name) FROM system.table_functions", format: "TSVRaw"})
	if err != nil {
		return nil, fmt.Errorf("list table functions: %w", err)
	}
	g := &gate{tableFunctions: map[string]bool{}}
	for name := range strings.FieldsSeq(string(out)) {
		g.tableFunctions[name] = true
	}
	return g, nil
}

// admit returns the statement to run for a reader, or the exception that
// refuses it.
func (g *gate) admit(s *session, sql string, params []param) (string, error) {
	normal, err := normalise(s, sql)
	if err != nil {
		return "", err
	}
	if count, class := s.classify(normal); count != 1 || class != classReadOnly {
		return "", refuse("only one statement that reads is allowed: SELECT, WITH, EXPLAIN, DESCRIBE or SHOW")
	}
	in := inspection{sql: normal, toks: tokens(normal), params: params, gate: g}
	return normal, in.run()
}

// normalise has the engine parse one statement and print it on one line.
// Text it cannot parse, and several statements, are its own syntax error.
func normalise(s *session, sql string) (string, error) {
	out, _, err := s.exec(query{sql: "SELECT formatQuerySingleLine(" + quoteString(sql) + ")", format: "TSVRaw"})
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

func refuse(format string, args ...any) error {
	return frontError(codeAccessDenied, "Refused on a read-only connection: "+format+" (ACCESS_DENIED)", args...)
}

// inspection walks the tokens of one normalised statement.
type inspection struct {
	sql    string
	toks   []token
	params []param
	gate   *gate
	parens []paren // open ones, outermost first
}

// paren is an open parenthesis: the arguments of a call, a subquery, or
// neither.
type paren struct{ call, subquery bool }

func (in *inspection) run() error {
	if len(in.toks) == 0 || !readOnlyStarts[strings.ToUpper(in.text(0))] {
		return refuse("the statement starts with %q: want SELECT, WITH, EXPLAIN, DESCRIBE or SHOW", in.text(0))
	}
	for i, tok := range in.toks {
		if tok.kind == tokenInvalid {
			return refuse("cannot read the statement at %.20q", in.sql[tok.start:])
		}
		if err := in.token(i); err != nil {
			return err
		}
	}
	return nil
}

func (in *inspection) token(i int) error {
	switch {
	case in.word(i, "INTO") && in.word(i+1, "OUTFILE"):
		return refuse("INTO OUTFILE writes a file: save the response instead, as curl -o does")
	case in.word(i, "INFILE"), in.word(i, "PARALLEL") && in.word(i+1, "WITH"):
		return refuse("%s is not allowed", in.text(i))
	case in.word(i, "SETTINGS") && in.isName(i+1) && in.symbol(i+2, '='):
		return refuse("a SETTINGS clause is not allowed: pass settings as URL parameters")
	case in.symbol(i, '('):
		in.open(i)
	case in.symbol(i, ')') && len(in.parens) > 0:
		in.parens = in.parens[:len(in.parens)-1]
	case in.symbol(i, '{'):
		return in.parameter(i)
	case in.isName(i):
		return in.name(i)
	}
	return nil
}

// open notes what the parenthesis at i encloses.
func (in *inspection) open(i int) {
	in.parens = append(in.parens, paren{
		call:     in.isName(i-1) || in.symbol(i-1, ')'),
		subquery: in.word(i+1, "SELECT") || in.word(i+1, "WITH"),
	})
}

// name judges an identifier: as the function it calls, or as a function passed
// by name, which the engine accepts in APPLY and as an argument on its own:
// arrayMap(file, paths).
func (in *inspection) name(i int) error {
	name := in.unquoted(i)
	lower := strings.ToLower(name)
	if in.symbol(i+1, '(') {
		if refusedFunctions[lower] {
			return refuse("function %s reaches outside the database", name)
		}
		if in.gate.tableFunctions[lower] && !readerTableFunctions[lower] {
			return refuse("table function %s reaches outside the database", name)
		}
		return nil
	}
	if refusedFunctions[lower] && (in.applied(i) || in.wholeArgument(i)) {
		return refuse("%s is a function that reaches outside the database; if you mean a column, write table.%s", name, name)
	}
	return nil
}

// applied tells whether the name follows APPLY.
func (in *inspection) applied(i int) bool {
	for i > 0 && in.symbol(i-1, '(') {
		i--
	}
	return in.word(i-1, "APPLY")
}

// wholeArgument tells whether the unqualified name is by itself an argument of
// a call with more than one argument: what the engine takes for a function if
// no column has that name.
func (in *inspection) wholeArgument(i int) bool {
	before := in.symbol(i-1, '(') || in.symbol(i-1, ',')
	after := in.symbol(i+1, ')') || in.symbol(i+1, ',') || in.word(i+1, "AS")
	return before && after && in.insideCall() && !in.onlyArgument(i)
}

// insideCall tells whether the innermost parenthesis that is not mere grouping
// belongs to a call.
func (in *inspection) insideCall() bool {
	for j := len(in.parens) - 1; j >= 0; j-- {
		if in.parens[j].subquery {
			return false
		}
		if in.parens[j].call {
			return true
		}
	}
	return false
}

// onlyArgument recognises f(name), as in count(file).
func (in *inspection) onlyArgument(i int) bool {
	return in.symbol(i-1, '(') && in.symbol(i+1, ')') && in.isName(i-2)
}

// parameter judges {name:Identifier}, which can stand for a function's name.
func (in *inspection) parameter(i int) error {
	if !in.symbol(i+2, ':') || !in.word(i+3, "Identifier") {
		return nil
	}
	for _, p := range in.params {
		if p.name == in.unquoted(i+1) && refusedFunctions[strings.ToLower(strings.Trim(p.value, "`\" "))] {
			return refuse("parameter %s names a function that reaches outside the database", p.name)
		}
	}
	return nil
}

func (in *inspection) text(i int) string {
	if i < 0 || i >= len(in.toks) {
		return ""
	}
	return in.sql[in.toks[i].start:in.toks[i].end]
}

func (in *inspection) word(i int, w string) bool {
	return i >= 0 && i < len(in.toks) && in.toks[i].is(in.sql, w)
}

func (in *inspection) symbol(i int, c byte) bool {
	return i >= 0 && i < len(in.toks) && in.toks[i].isSymbol(in.sql, c)
}

func (in *inspection) isName(i int) bool {
	return i >= 0 && i < len(in.toks) && (in.toks[i].kind == tokenWord || in.toks[i].kind == tokenQuoted)
}

// unquoted is the identifier at i without its quotes.
func (in *inspection) unquoted(i int) string {
	text := in.text(i)
	if i >= 0 && i < len(in.toks) && in.toks[i].kind == tokenQuoted && len(text) >= 2 {
		return text[1 : len(text)-1]
	}
	return text
}
