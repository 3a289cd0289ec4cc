package rules

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"gatehouse/ingest/event"
)

// Predicate is a compiled yes-or-no expression over an event.
type Predicate struct {
	program
	fast truthFn // nil: runs on the virtual machine
}

// Source is the expression as written.
func (p *Predicate) Source() string { return p.source }

// Key is a compiled expression whose value is counted or compared: what
// distinct, alternations and sequential look at.
type Key struct {
	program
	// fields is set when the expression is a field or a chain of ??: then the
	// value is read without the virtual machine and without allocating.
	fields []*Field
}

// Source is the expression as written.
func (k *Key) Source() string { return k.source }

// Number is a compiled numeric expression over an event.
type Number struct{ program }

// Source is the expression as written.
func (n *Number) Source() string { return n.source }

// Machine evaluates compiled expressions for one event at a time. It is not
// safe for concurrent use.
type Machine struct {
	vm   vm.VM
	env  Env
	ev   *event.Event
	need needs
	// filled says that env holds ev; it is filled on first use.
	filled  bool
	seed    uint64
	classes map[string]string // user agent → ua_class
}

// NewMachine is a machine for the rules of s. seed keys the hashes of [Machine.Hash].
func NewMachine(s Set, seed uint64) *Machine {
	m := &Machine{seed: seed, classes: map[string]string{}}
	for _, r := range s.rules {
		m.need |= r.need
	}
	return m
}

// Load sets the event that the other methods look at.
func (m *Machine) Load(ev *event.Event) { m.ev, m.filled = ev, false }

func (m *Machine) run(p *program) (any, error) {
	if !m.filled {
		m.env.fill(m.ev, m.need)
		m.filled = true
	}
	v, err := m.vm.Run(p.code, &m.env)
	if err != nil {
		return nil, fmt.Errorf("evaluate %q: %w", p.source, asFault(err))
	}
	return v, nil
}

// Test evaluates p. Its error is one of the data meeting the rule, such as a
// comparison with an absent client_asn; the result is false then.
func (m *Machine) Test(p *Predicate) (bool, error) {
	if p.fast != nil {
		return p.fast(m), nil
	}
	v, err := m.run(&p.program)
	if err != nil {
		return false, err
	}
	b, _ := v.(bool)
	return b, nil
}

// Value evaluates n. ok is false when the value is absent: nil or negative.
func (m *Machine) Value(n *Number) (v float64, ok bool, err error) {
	r, err := m.run(&n.program)
	if err != nil {
		return 0, false, err
	}
	v, isNumber := r.(float64)
	return v, isNumber && v >= 0 && !math.IsInf(v, 0), nil
}

// Hash evaluates k to a keyed 64-bit hash. ok is false when the value is
// absent: nil or "".
func (m *Machine) Hash(k *Key) (hash uint64, ok bool, err error) {
	if k.fields != nil {
		s := k.direct(m.ev)
		return Hash(m.seed, s), s != "", nil
	}
	s, ok, err := m.text(k)
	return Hash(m.seed, s), ok, err
}

// Integer evaluates k to an integer. ok is false when the value is not one.
func (m *Machine) Integer(k *Key) (n int64, ok bool, err error) {
	s := ""
	if k.fields != nil {
		s = k.direct(m.ev)
	} else if s, _, err = m.text(k); err != nil {
		return 0, false, err
	}
	n, perr := strconv.ParseInt(s, 10, 64)
	return n, perr == nil, nil
}

func (m *Machine) text(k *Key) (string, bool, error) {
	v, err := m.run(&k.program)
	if err != nil {
		return "", false, err
	}
	switch v := v.(type) {
	case nil:
		return "", false, nil
	case string:
		return v, v != "", nil
	case int:
		return strconv.Itoa(v), true, nil
	case bool:
		return strconv.FormatBool(v), true, nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true, nil
	}
	return fmt.Sprint(v), true, nil
}

// direct is the first present value of the ?? chain. As in the language, only
// client_asn can be nil, so the chain stops at the first other field.
func (k *Key) direct(ev *event.Event) string {
	for _, f := range k.fields {
		if s := f.text(ev); s != "" || f.Name != "client_asn" {
			return s
		}
	}
	return ""
}

// chain lists the fields of "f", "f ?? g", "f ?? g ?? h", and nil for other
// expressions.
func chain(n ast.Node) []*Field {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if f, ok := fieldByName(n.Value); ok && f.Key() && f.Type != "number" {
			return []*Field{f}
		}
	case *ast.BinaryNode:
		if n.Operator == "??" {
			l, r := chain(n.Left), chain(n.Right)
			if l != nil && r != nil {
				return append(l, r...)
			}
		}
	}
	return nil
}

// Constants of the hash: odd, with no short pattern (the fractional parts of
// the golden ratio and of the square roots of 3 and 5).
const (
	hashA = 0x9e3779b97f4a7c15
	hashB = 0xbb67ae8584caa73b
	hashC = 0x3c6ef372fe94f82b
)

// Hash is a keyed 64-bit hash of s: fast, the same on every platform, and not
// predictable without the seed. It is for keys of in-memory state only; finding
// ids use SHA-256.
func Hash(seed uint64, s string) uint64 {
	h := seed ^ hashA ^ uint64(len(s))
	for len(s) >= 8 {
		h = fold(h^word(s), hashB)
		s = s[8:]
	}
	var tail uint64
	for i := 0; i < len(s); i++ {
		tail |= uint64(s[i]) << (8 * i)
	}
	return fold(fold(h^tail, hashC)^seed, hashA)
}

// Combine folds the hash of a further part into h.
func Combine(h, part uint64) uint64 { return fold(h^hashC, part^hashB) ^ part }

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func word(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
