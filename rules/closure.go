package rules

import (
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Most expressions of rules are comparisons of fields with constants. Those are
// turned into closures over the event, which is many times faster than the
// virtual machine and allocates nothing. What is not covered here runs on the
// virtual machine; FuzzClosuresAgree holds the two together.

type (
	truthFn  func(*Machine) bool
	textFn   func(*Machine) string
	numberFn func(*Machine) int64
)

// truthClosure compiles n, and gives nil when n is not covered.
func truthClosure(n ast.Node) truthFn {
	switch n := n.(type) {
	case *ast.BoolNode:
		v := n.Value
		return func(*Machine) bool { return v }
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			if f := truthClosure(n.Node); f != nil {
				return func(m *Machine) bool { return !f(m) }
			}
		}
	case *ast.BinaryNode:
		return binaryClosure(n)
	}
	return nil
}

func binaryClosure(n *ast.BinaryNode) truthFn {
	switch n.Operator {
	case "&&", "and", "||", "or":
		l, r := truthClosure(n.Left), truthClosure(n.Right)
		switch {
		case l == nil || r == nil:
			return nil
		case n.Operator == "&&" || n.Operator == "and":
			return func(m *Machine) bool { return l(m) && r(m) }
		}
		return func(m *Machine) bool { return l(m) || r(m) }
	case "in":
		return memberClosure(n)
	}
	if l, r := numberClosure(n.Left), numberClosure(n.Right); l != nil && r != nil {
		return compareNumbers(n.Operator, l, r)
	}
	if l, r := textClosure(n.Left), textClosure(n.Right); l != nil && r != nil {
		return compareTexts(n, l, r)
	}
	return nil
}

func compareNumbers(op string, l, r numberFn) truthFn {
	switch op {
	case "==":
		return func(m *Machine) bool { return l(m) == r(m) }
	case "!=":
		return func(m *Machine) bool { return l(m) != r(m) }
	case "<":
		return func(m *Machine) bool { return l(m) < r(m) }
	case "<=":
		return func(m *Machine) bool { return l(m) <= r(m) }
	case ">":
		return func(m *Machine) bool { return l(m) > r(m) }
	case ">=":
		return func(m *Machine) bool { return l(m) >= r(m) }
	}
	return nil
}

func compareTexts(n *ast.BinaryNode, l, r textFn) truthFn {
	switch n.Operator {
	case "==":
		return func(m *Machine) bool { return l(m) == r(m) }
	case "!=":
		return func(m *Machine) bool { return l(m) != r(m) }
	case "contains":
		return func(m *Machine) bool { return strings.Contains(l(m), r(m)) }
	case "startsWith":
		return func(m *Machine) bool { return strings.HasPrefix(l(m), r(m)) }
	case "endsWith":
		return func(m *Machine) bool { return strings.HasSuffix(l(m), r(m)) }
	case "matches":
		if pattern, ok := n.Right.(*ast.StringNode); ok {
			if rx, err := regexp.Compile(pattern.Value); err == nil {
				return func(m *Machine) bool { return rx.MatchString(l(m)) }
			}
		}
	}
	return nil
}

// memberClosure is x in [constants].
func memberClosure(n *ast.BinaryNode) truthFn {
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		return nil
	}
	var numbers []int64
	var texts []string
	for _, item := range list.Nodes {
		switch item := item.(type) {
		case *ast.IntegerNode:
			numbers = append(numbers, int64(item.Value))
		case *ast.StringNode:
			texts = append(texts, item.Value)
		default:
			return nil
		}
	}
	switch num, text := numberClosure(n.Left), textClosure(n.Left); {
	case num != nil && len(texts) == 0:
		return func(m *Machine) bool { return slices.Contains(numbers, num(m)) }
	case text != nil && len(numbers) == 0 && len(texts) <= 8: // a scan beats hashing
		return func(m *Machine) bool { return slices.Contains(texts, text(m)) }
	case text != nil && len(numbers) == 0:
		set := make(map[string]struct{}, len(texts))
		for _, s := range texts {
			set[s] = struct{}{}
		}
		return func(m *Machine) bool { _, ok := set[text(m)]; return ok }
	}
	return nil
}

func numberClosure(n ast.Node) numberFn {
	switch n := n.(type) {
	case *ast.IntegerNode:
		v := int64(n.Value)
		return func(*Machine) int64 { return v }
	case *ast.IdentifierNode:
		if f, ok := fieldByName(n.Value); ok && f.number != nil {
			get := f.number
			return func(m *Machine) int64 { return get(m.ev) }
		}
	}
	return nil
}

func textClosure(n ast.Node) textFn {
	switch n := n.(type) {
	case *ast.StringNode:
		v := n.Value
		return func(*Machine) string { return v }
	case *ast.IdentifierNode:
		if n.Value == "ua_class" {
			return (*Machine).class
		}
		if f, ok := fieldByName(n.Value); ok && f.Type == "text" {
			get := f.text
			return func(m *Machine) string { return get(m.ev) }
		}
	}
	return nil
}

// maxClasses is how many user agents a machine remembers the class of. There
// are a few thousand in a day's traffic; an attacker's random ones must not
// fill memory.
const maxClasses = 4096

// class is ua_class of the event, remembered by user agent.
func (m *Machine) class() string {
	key := m.ev.UserAgent
	if key == "" {
		key = m.ev.UAFamily
	}
	if c, ok := m.classes[key]; ok {
		return c
	}
	c := uaClass(m.ev)
	if len(m.classes) < maxClasses {
		m.classes[key] = c
	}
	return c
}
