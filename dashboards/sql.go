package dashboards

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Query is one SQL text of a dashboard, as Grafana sends it to ClickHouse.
type Query struct {
	Dashboard string // file name
	Place     string // "panel TITLE, query A" or "variable NAME"
	SQL       string
}

// View is what a person has chosen on a dashboard: the time range, and values of
// variables.
type View struct {
	From, To time.Time
	Interval time.Duration       // width of one point; 0 = a minute
	Values   map[string][]string // by variable; a variable that is not here is at "All"
}

// Queries are the SQL texts of every ClickHouse panel and variable, with macros
// and variables expanded as the ClickHouse data source of Grafana expands them.
// An error names the dashboard, the panel and what is wrong: an unknown macro, or
// a variable that the dashboard does not declare.
func Queries(v View) ([]Query, error) {
	var all []Query
	for _, name := range Names() {
		b, err := load(name)
		if err != nil {
			return nil, err
		}
		for _, q := range b.queries(name) {
			e := expander{view: v, board: b}
			if q.SQL, err = e.expand(q.SQL); err != nil {
				return nil, fmt.Errorf("expand %s, %s: %w", name, q.Place, err)
			}
			all = append(all, q)
		}
	}
	return all, nil
}

// queries are the SQL texts of a dashboard as they are written.
func (b *board) queries(name string) []Query {
	var all []Query
	for _, p := range b.Panels {
		for _, t := range p.Targets {
			if t.RawSQL != "" {
				all = append(all, Query{name, "panel " + p.Title + ", query " + t.RefID, t.RawSQL})
			}
		}
	}
	for _, v := range b.Templating.List {
		if v.Query.RawSQL != "" {
			all = append(all, Query{name, "variable " + v.Name, v.Query.RawSQL})
		}
	}
	return all
}

// expander replaces macros ($__name, $__name(arguments)) and variables ($name,
// ${name}, ${name:format}) in one text.
type expander struct {
	view  View
	board *board
}

func (e *expander) expand(text string) (string, error) {
	var out strings.Builder
	for {
		at := strings.IndexByte(text, '$')
		if at < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		out.WriteString(text[:at])
		value, rest, err := e.one(text[at+1:])
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = rest
	}
}

// one expands what stands behind a "$".
func (e *expander) one(text string) (value, rest string, err error) {
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		inner, rest, ok = strings.Cut(inner, "}")
		if !ok {
			return "", "", fmt.Errorf("%q: want a closing brace", "${"+inner)
		}
		name, format, _ := strings.Cut(inner, ":")
		value, err = e.variable(name, format)
		return value, rest, err
	}
	name := word(text)
	rest = text[len(name):]
	if macro, ok := strings.CutPrefix(name, "__"); ok {
		return e.macro(macro, rest)
	}
	value, err = e.variable(name, "")
	return value, rest, err
}

// word is the identifier at the beginning of text.
func word(text string) string {
	for i := range len(text) {
		if !isWord(text[i]) {
			return text[:i]
		}
	}
	return text
}

func isWord(c byte) bool {
	return c == '_' || (c >= '0' && c <= '9') || (c|0x20 >= 'a' && c|0x20 <= 'z')
}

// macro expands a macro of the data source plugin; rest begins behind its name.
func (e *expander) macro(name, rest string) (value, after string, err error) {
	from, to := strconv.FormatInt(e.view.From.Unix(), 10), strconv.FormatInt(e.view.To.Unix(), 10)
	switch name {
	case "fromTime":
		return "toDateTime(" + from + ")", rest, nil
	case "toTime":
		return "toDateTime(" + to + ")", rest, nil
	case "interval_s":
		return e.seconds(), rest, nil
	}
	arguments, rest, ok := cutArguments(rest)
	if !ok {
		return "", "", fmt.Errorf("$__%s: unknown, or its arguments are not closed", name)
	}
	switch {
	case name == "timeFilter" && len(arguments) == 1:
		column := arguments[0]
		return column + " >= toDateTime(" + from + ") AND " + column + " <= toDateTime(" + to + ")", rest, nil
	case name == "timeInterval" && len(arguments) == 1:
		return "toStartOfInterval(toDateTime(" + arguments[0] + "), INTERVAL " + e.seconds() + " second)", rest, nil
	case name == "conditionalAll" && len(arguments) == 2:
		value, err = e.conditional(arguments[0], arguments[1])
		return value, rest, err
	}
	return "", "", fmt.Errorf("$__%s with %d arguments: want fromTime, toTime, interval_s, timeFilter(column), "+
		"timeInterval(column) or conditionalAll(condition, $variable)", name, len(arguments))
}

func (e *expander) seconds() string {
	interval := e.view.Interval
	if interval <= 0 {
		interval = time.Minute
	}
	return strconv.Itoa(max(int(interval.Seconds()), 1))
}

// conditional is the condition, or one that always holds while the variable is
// at "All".
func (e *expander) conditional(condition, variable string) (string, error) {
	name := strings.TrimPrefix(variable, "$")
	if !e.board.declares(name) {
		return "", fmt.Errorf("$%s: not a variable of the dashboard", name)
	}
	if _, chosen := e.view.Values[name]; !chosen {
		return "1=1", nil
	}
	return e.expand(condition)
}

// variable gives the values of a variable. Only singlequote is a format: every
// other puts text that somebody may have typed into SQL unquoted.
func (e *expander) variable(name, format string) (string, error) {
	switch {
	case !e.board.declares(name):
		return "", fmt.Errorf("$%s: not a variable of the dashboard", name)
	case format != "singlequote":
		return "", fmt.Errorf("${%s}: want ${%s:singlequote}, which quotes its values", name, name)
	}
	quoted := make([]string, 0, 4)
	for _, v := range e.view.Values[name] {
		quoted = append(quoted, "'"+strings.ReplaceAll(v, "'", `\'`)+"'")
	}
	return strings.Join(quoted, ","), nil
}

func (b *board) declares(name string) bool {
	for _, v := range b.Templating.List {
		if v.Name == name {
			return true
		}
	}
	return false
}

// cutArguments cuts a parenthesised list off the beginning of text. Commas inside
// of nested parentheses, braces or quotes separate nothing.
func cutArguments(text string) (arguments []string, rest string, ok bool) {
	if text == "" || text[0] != '(' {
		return nil, text, false
	}
	depth, from, quoted := 0, 1, false
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(' || c == '{':
			depth++
		case c == ')' || c == '}':
			depth--
		}
		if quoted || depth > 1 || (depth == 1 && text[i] != ',') {
			continue
		}
		arguments = append(arguments, strings.TrimSpace(text[from:i]))
		from = i + 1
		if depth == 0 {
			return arguments, text[from:], true
		}
	}
	return nil, text, false
}
