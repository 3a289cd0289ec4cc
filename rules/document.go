package rules

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// document is a rule file as written.
type document struct {
	ID          string                 `yaml:"id"`
	Title       string                 `yaml:"title"`
	Severity    string                 `yaml:"severity"`
	OWASP       []string               `yaml:"owasp"`
	Attack      []string               `yaml:"attack"`
	Kind        string                 `yaml:"kind"`
	Override    bool                   `yaml:"override"`
	Description string                 `yaml:"description"`
	When        scalar                 `yaml:"when"`
	GroupBy     []string               `yaml:"group_by"`
	Peers       []string               `yaml:"peers"`
	Window      string                 `yaml:"window"`
	Learn       string                 `yaml:"learn"`
	Measure     map[string]measureText `yaml:"measure"`
	Having      scalar                 `yaml:"having"`
	Quiet       string                 `yaml:"quiet"`
	Reason      string                 `yaml:"reason"`
	Baseline    *baselineText          `yaml:"baseline"`
}

type measureText struct {
	Count        scalar `yaml:"count"`
	Sum          scalar `yaml:"sum"`
	Ratio        scalar `yaml:"ratio"`
	Distinct     scalar `yaml:"distinct"`
	Alternations scalar `yaml:"alternations"`
	Sequential   scalar `yaml:"sequential"`
	Where        scalar `yaml:"where"`
	Never        scalar `yaml:"never"`
	Limit        int    `yaml:"limit"`
}

type baselineText struct {
	Q        float64 `yaml:"q"`
	MinCount float64 `yaml:"min_count"`
	MinRatio float64 `yaml:"min_ratio"`
	Spread   string  `yaml:"spread"`
}

// scalar is the text of an expression. YAML reads `count: true` as a boolean
// and `when: 1` as a number; both are expressions too.
type scalar string

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (s *scalar) UnmarshalYAML(decode func(any) error) error {
	var v any
	if err := decode(&v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		*s = scalar(v)
	case bool, int, int64, uint64, float64:
		*s = scalar(fmt.Sprint(v))
	case nil:
		*s = ""
	default:
		return fmt.Errorf("want an expression on one line or as a block, such as status >= 400")
	}
	return nil
}

// reading is one rule file being read: its name for messages and its syntax
// tree for places.
type reading struct {
	name string
	root ast.Node
	doc  document
}

// Error is a refusal of a rule file.
type Error struct {
	File         string
	Line, Column int // 1-based; 0 when the error is about the whole file
	Msg          string
}

// Error implements error: "file:line:column: key: what is wrong".
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Msg)
}

// maxFile is the largest rule file that is read, in bytes.
const maxFile = 64 << 10

// read decodes one rule file strictly.
func read(name string, data []byte) (*reading, error) {
	if len(data) > maxFile {
		return nil, &Error{File: name, Msg: fmt.Sprintf("file of %d bytes: want at most %d", len(data), maxFile)}
	}
	r := &reading{name: name}
	var err error
	if r.root, err = decodeYAML(name, data, &r.doc); err != nil {
		return nil, err
	}
	return r, nil
}

// decodeYAML decodes one document strictly into v. The library can panic on odd
// input; that is a refusal, too.
func decodeYAML(name string, data []byte, v any) (root ast.Node, err error) {
	defer func() {
		if recover() != nil {
			err = &Error{File: name, Msg: "cannot be read as YAML: want plain keys and values"}
		}
	}()
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, yamlError(name, err)
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return nil, &Error{File: name, Msg: "want exactly one YAML document"}
	}
	root = tree.Docs[0].Body
	if err := refuseForms(name, root); err != nil {
		return nil, err
	}
	if err := yaml.NodeToValue(root, v, yaml.Strict()); err != nil {
		return nil, yamlError(name, err)
	}
	return root, nil
}

// refuseForms keeps out what rules do not need: anchors, a few lines of which
// can stand for gigabytes, and tags.
func refuseForms(name string, root ast.Node) error {
	var found *Error
	ast.Walk(visitor(func(n ast.Node) {
		p := n.GetToken().Position
		switch n.Type() {
		case ast.AliasType, ast.AnchorType, ast.MergeKeyType:
			found = &Error{name, p.Line, p.Column, "anchors and aliases are not allowed in rules: write the value out"}
		case ast.TagType:
			found = &Error{name, p.Line, p.Column, "tags are not allowed in rules: put the value in quotes"}
		}
	}), root)
	if found != nil {
		return found
	}
	return nil
}

type visitor func(ast.Node)

// Visit implements ast.Visitor.
func (v visitor) Visit(n ast.Node) ast.Visitor { v(n); return v }

// yamlError takes the place and first line out of a YAML error, and adds the
// nearest key to an unknown one.
func yamlError(name string, err error) error {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil {
		return &Error{File: name, Msg: strings.TrimSpace(err.Error())}
	}
	msg, tok := at.GetMessage(), at.GetToken()
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) {
		msg = fmt.Sprintf("unknown key `%s`%s", tok.Value, suggest(tok.Value, keys()))
	}
	return &Error{name, tok.Position.Line, tok.Position.Column, msg}
}

// keys lists every key that a rule file may have, at any level.
func keys() []string {
	var names []string
	for _, t := range []reflect.Type{reflect.TypeFor[document](), reflect.TypeFor[measureText](), reflect.TypeFor[baselineText]()} {
		for i := range t.NumField() {
			names = append(names, t.Field(i).Tag.Get("yaml"))
		}
	}
	return names
}

// node finds the value under the given keys, and the nearest value above it
// when there is none.
func (r *reading) node(path ...string) ast.Node {
	at := r.root
	for _, key := range path {
		m, ok := at.(*ast.MappingNode)
		if !ok {
			return at
		}
		found := false
		for _, kv := range m.Values {
			if kv.Key.GetToken().Value == key {
				at, found = kv.Value, true
				break
			}
		}
		if !found {
			return at
		}
	}
	return at
}

// order lists the keys of the mapping under path as written.
func (r *reading) order(path ...string) []string {
	m, ok := r.node(path...).(*ast.MappingNode)
	if !ok {
		return nil
	}
	var names []string
	for _, kv := range m.Values {
		names = append(names, kv.Key.GetToken().Value)
	}
	return names
}

// errorf is a refusal at the value under path.
func (r *reading) errorf(path []string, format string, args ...any) error {
	p := r.node(path...).GetToken().Position
	return &Error{r.name, p.Line, p.Column, fmt.Sprintf("%s: %s", strings.Join(path, "."), fmt.Sprintf(format, args...))}
}

// at places an error inside the expression src, which is the value under path.
func (r *reading) at(path []string, src string, err error) error {
	var f *fault
	if !errors.As(err, &f) {
		return r.errorf(path, "%v", err)
	}
	line, column := place(r.node(path...), src, f.offset)
	return &Error{r.name, line, column, fmt.Sprintf("%s: %s", strings.Join(path, "."), f.msg)}
}

// place is line and column in the file of the offset-th rune of a value. In a
// block scalar it is exact for the line and for unfolded text in the column.
func place(n ast.Node, src string, offset int) (line, column int) {
	p := n.GetToken().Position
	before := []rune(src)
	before = before[:min(offset, len(before))]
	if lit, ok := n.(*ast.LiteralNode); ok {
		v := lit.Value.GetToken()
		newlines := strings.Count(string(before), "\n")
		if i := strings.LastIndex(string(before), "\n"); i >= 0 {
			before = []rune(string(before)[i+1:])
		}
		indent := len(v.Origin) - len(strings.TrimLeft(v.Origin, " \n"))
		return lit.Start.Position.Line + 1 + newlines, indent + len(before) + 1
	}
	column = p.Column + len(before)
	if s, ok := n.(*ast.StringNode); ok && (strings.HasPrefix(strings.TrimSpace(s.GetToken().Origin), `"`) || strings.HasPrefix(strings.TrimSpace(s.GetToken().Origin), "'")) {
		column++
	}
	return p.Line, column
}
