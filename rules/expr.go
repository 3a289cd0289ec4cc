package rules

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// Limits of one expression. They keep evaluation bounded: the expr virtual
// machine itself has neither a step budget nor cancellation.
const (
	MaxSource = 4096 // bytes
	MaxNodes  = 300  // of the syntax tree
	// maxPredicateDepth is how deep any(…), all(…) and the like may nest: at one
	// level the cost is nodes × the longest list of an event.
	maxPredicateDepth = 1
	// maxPatterns is how many matches an expression may have: each can cost
	// microseconds per kilobyte of path.
	maxPatterns = 8
)

// functions is the allow-list of built-in functions. What is not here either
// reads a clock or files, or can grow its result beyond its arguments.
var functions = []string{
	"abs", "all", "any", "ceil", "count", "find", "findIndex", "first", "float", "floor", "hasPrefix", "hasSuffix",
	"indexOf", "int", "last", "lastIndexOf", "len", "lower", "max", "min", "none", "one", "round", "string", "trim",
	"trimPrefix", "trimSuffix", "upper",
}

// Functions lists the built-in functions that expressions may call.
func Functions() []string { return slices.Clone(functions) }

// fault is an error at a place inside an expression; offset counts runes.
type fault struct {
	offset int
	msg    string
}

// Error implements error.
func (f *fault) Error() string { return f.msg }

func faultf(at ast.Node, format string, args ...any) *fault {
	return &fault{at.Location().From, fmt.Sprintf(format, args...)}
}

// parse reads an expression within the limits and checks its shape. valid
// decides about names.
func parse(src string, valid func(*ast.IdentifierNode) *fault) (ast.Node, error) {
	if strings.TrimSpace(src) == "" {
		return nil, &fault{0, "empty expression: want an expression, such as status >= 400"}
	}
	if len(src) > MaxSource {
		return nil, &fault{0, fmt.Sprintf("expression of %d bytes: want at most %d", len(src), MaxSource)}
	}
	cfg := conf.CreateNew()
	cfg.MaxNodes = MaxNodes
	tree, err := parser.ParseWithConfig(src, cfg)
	if err != nil {
		return nil, asFault(err)
	}
	w := walker{valid: valid}
	w.walk(tree.Node, 0)
	if w.err != nil {
		return nil, w.err
	}
	return tree.Node, nil
}

// asFault takes place and first line of expr's own errors.
func asFault(err error) *fault {
	var fe *file.Error
	if errors.As(err, &fe) {
		msg, _, _ := strings.Cut(fe.Message, "\n")
		return &fault{fe.From, msg}
	}
	return &fault{0, err.Error()}
}

// walker refuses what the limits forbid. It visits by hand rather than with
// ast.Walk, which does not tell the depth of predicates.
type walker struct {
	valid           func(*ast.IdentifierNode) *fault
	nodes, patterns int
	err             *fault
}

func (w *walker) fail(f *fault) {
	if w.err == nil {
		w.err = f
	}
}

func (w *walker) walk(n ast.Node, depth int) {
	if n == nil || w.err != nil {
		return
	}
	if w.nodes++; w.nodes > MaxNodes {
		w.fail(faultf(n, "expression has more than %d parts: split it into several rules or use a list with in", MaxNodes))
		return
	}
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if f := w.valid(n); f != nil {
			w.fail(f)
		}
	case *ast.UnaryNode:
		w.walk(n.Node, depth)
	case *ast.BinaryNode:
		w.binary(n, depth)
	case *ast.ChainNode:
		w.walk(n.Node, depth)
	case *ast.MemberNode:
		w.walk(n.Node, depth)
		w.walk(n.Property, depth)
	case *ast.SliceNode:
		w.all(depth, n.Node, n.From, n.To)
	case *ast.CallNode:
		w.call(n, depth)
	case *ast.BuiltinNode:
		w.builtin(n, depth)
	case *ast.PredicateNode:
		if depth++; depth > maxPredicateDepth {
			w.fail(faultf(n, "a predicate inside a predicate: want at most %d level", maxPredicateDepth))
			return
		}
		w.walk(n.Node, depth)
	case *ast.ConditionalNode:
		w.all(depth, n.Cond, n.Exp1, n.Exp2)
	case *ast.ArrayNode:
		w.all(depth, n.Nodes...)
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ConstantNode, *ast.PointerNode:
	default:
		w.fail(faultf(n, "this form is not part of the language: want comparisons, and/or/not, in, ??, ?: and the listed functions"))
	}
}

func (w *walker) all(depth int, nodes ...ast.Node) {
	for _, n := range nodes {
		if n != nil {
			w.walk(n, depth)
		}
	}
}

func (w *walker) binary(n *ast.BinaryNode, depth int) {
	switch n.Operator {
	case "..":
		w.fail(faultf(n, "a range can be endless: want comparisons such as status >= 400 and status < 500"))
		return
	case "matches":
		if w.patterns++; w.patterns > maxPatterns {
			w.fail(faultf(n, "more than %d regular expressions: join them with | or use contains", maxPatterns))
			return
		}
		pattern, ok := n.Right.(*ast.StringNode)
		if !ok {
			w.fail(faultf(n.Right, "the pattern of matches must be a constant text"))
			return
		}
		if _, err := regexp.Compile(pattern.Value); err != nil {
			w.fail(faultf(n.Right, "bad regular expression: %v", err))
			return
		}
	}
	w.all(depth, n.Left, n.Right)
}

func (w *walker) call(n *ast.CallNode, depth int) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		w.fail(faultf(n, "only the listed functions can be called"))
		return
	}
	w.function(n, callee.Value)
	w.all(depth, n.Arguments...)
}

func (w *walker) builtin(n *ast.BuiltinNode, depth int) {
	w.function(n, n.Name)
	w.all(depth, n.Arguments...)
}

func (w *walker) function(at ast.Node, name string) {
	if slices.Contains(functions, name) {
		return
	}
	w.fail(faultf(at, "function `%s` is not allowed%s", name, suggest(name, functions)))
}

// fieldName accepts the names of the event and collects what they cost.
func fieldName(need *needs) func(*ast.IdentifierNode) *fault {
	return func(n *ast.IdentifierNode) *fault {
		if _, ok := fieldByName(n.Value); !ok {
			return faultf(n, "unknown field `%s`%s", n.Value, suggest(n.Value, fieldNames()))
		}
		*need |= needOf(n.Value)
		return nil
	}
}

// program is an expression over the event, compiled.
type program struct {
	source string
	code   *vm.Program
	need   needs
}

// compile checks src against the event's fields and compiles it. want is the
// kind of its result, reflect.Invalid for any.
func compile(src string, want reflect.Kind) (program, ast.Node, error) {
	p := program{source: src}
	root, err := parse(src, fieldName(&p.need))
	if err != nil {
		return p, nil, err
	}
	opts := []expr.Option{expr.Env(&Env{}), expr.MaxNodes(MaxNodes)}
	switch want {
	case reflect.Bool:
		opts = append(opts, expr.AsBool())
	case reflect.Float64:
		opts = append(opts, expr.AsFloat64())
	}
	p.code, err = expr.Compile(src, opts...)
	if err != nil {
		return p, nil, asFault(err)
	}
	return p, root, nil
}

// compilePredicate compiles an expression with a yes-or-no result.
func compilePredicate(src string) (*Predicate, error) {
	p, root, err := compile(src, reflect.Bool)
	if err != nil {
		return nil, err
	}
	return &Predicate{program: p, fast: truthClosure(root)}, nil
}
