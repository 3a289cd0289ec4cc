package dashboards

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// ruleFile is a file of Prometheus rules.
type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name     string `yaml:"name"`
	Interval string `yaml:"interval"`
	Rules    []rule `yaml:"rules"`
}

// rule records a series or raises an alert.
type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// rules reads every rule file, strictly.
func rules() ([]rule, error) {
	names, err := fs.Glob(Prometheus(), "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list rule files: %w", err)
	}
	var all []rule
	for _, name := range names {
		text, err := fs.ReadFile(Prometheus(), name)
		if err != nil {
			return nil, fmt.Errorf("read rule file: %w", err)
		}
		var file ruleFile
		if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
			return nil, fmt.Errorf("parse rule file %s: %w", name, err)
		}
		for _, g := range file.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all, nil
}

// Metrics lists the metrics that panels, variables and rules ask for, sorted, by
// the names under which a process registers them: a histogram's without _bucket,
// _sum or _count. Series that a recording rule makes are not among them.
func Metrics() ([]string, error) {
	expressions, err := expressions()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range expressions {
		names, err := metricNames(e)
		if err != nil {
			return nil, fmt.Errorf("read expression %q: %w", e, err)
		}
		for _, name := range names {
			if !strings.Contains(name, ":") {
				all = append(all, family(name))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// expressions are all PromQL texts: of panels, of variables and of rules.
func expressions() ([]string, error) {
	var all []string
	for _, name := range Names() {
		b, err := load(name)
		if err != nil {
			return nil, err
		}
		for _, p := range b.Panels {
			for _, t := range p.Targets {
				if t.Expr != "" {
					all = append(all, t.Expr)
				}
			}
		}
	}
	rules, err := rules()
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		all = append(all, r.Expr)
	}
	return all, nil
}

// family is the name of the metric of which a series is a part.
func family(series string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, suffix); ok {
			return name
		}
	}
	return series
}

// grouping are the words in front of a list of labels.
var grouping = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}

// operators are words that name neither a metric nor a function.
var operators = []string{"and", "or", "unless", "offset", "bool", "inf", "nan"}

// metricNames finds the series names in a PromQL expression: the identifiers that
// are no function, keyword or label. It does not check the rest of the grammar.
func metricNames(expr string) ([]string, error) {
	var names []string
	for i := 0; i < len(expr); {
		switch c := expr[i]; {
		case c == '"' || c == '\'' || c == '`':
			end, err := closing(expr, i, c)
			if err != nil {
				return nil, err
			}
			i = end
		case c == '{' || c == '[':
			end, err := closing(expr, i, c+2) // '}' and ']' lie two behind
			if err != nil {
				return nil, err
			}
			i = end
		case c >= '0' && c <= '9':
			i += len(number(expr[i:]))
		case isWord(c) || c == ':':
			name := series(expr[i:])
			i += len(name)
			rest := strings.TrimLeft(expr[i:], " \n")
			if slices.Contains(grouping, name) {
				i = len(expr) - len(rest)
				if strings.HasPrefix(rest, "(") {
					i += strings.IndexByte(rest+")", ')')
				}
			} else if !strings.HasPrefix(rest, "(") && !aggregates(rest) && !slices.Contains(operators, name) {
				names = append(names, name)
			}
		default:
			i++
		}
	}
	return names, nil
}

// aggregates tells that what stands before rest is an aggregation, such as sum
// in "sum by (le) (…)".
func aggregates(rest string) bool {
	name := word(rest)
	return name == "by" || name == "without"
}

// closing is the position behind the byte that ends what begins at i. A bracket
// inside of a quoted string ends nothing.
func closing(expr string, i int, end byte) (int, error) {
	quote := byte(0)
	for j := i + 1; j < len(expr); j++ {
		switch c := expr[j]; {
		case c == '\\' && (quote != 0 || end == '"' || end == '\''):
			j++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == end:
			return j + 1, nil
		case c == '"' || c == '\'':
			quote = c
		}
	}
	return 0, fmt.Errorf("position %d: want a closing %q", i, string(end))
}

// number is the number or duration at the beginning of text.
func number(text string) string {
	for i := range len(text) {
		if !isWord(text[i]) && text[i] != '.' {
			return text[:i]
		}
	}
	return text
}

// series is the name at the beginning of text, colons included.
func series(text string) string {
	for i := range len(text) {
		if !isWord(text[i]) && text[i] != ':' {
			return text[:i]
		}
	}
	return text
}
