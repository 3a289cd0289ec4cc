package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imports is the shape of the house: which packages of ours each package may
// import. A package that is not here does not exist.
var imports = map[string][]string{
	"cmd/gatehouse":         {"*"},
	"cmd/gatehouse/peer":    {}, // what `bench ingest` compares with: it stands for other people's programs
	"ingest":                {"ingest/event", "ingest/gateway", "ingest/redact", "ingest/stream"},
	"ingest/event":          {},
	"ingest/gateway":        {"ingest/event"},
	"ingest/redact":         {"ingest/event"},
	"ingest/stream":         {"ingest/event"},
	"ingest/traffic":        {"ingest/event"},
	"store":                 {"ingest/event", "store/merkle"},
	"store/merkle":          {},
	"rules":                 {"ingest/event"},
	"detect":                {"ingest/event", "rules", "detect/baseline"},
	"detect/baseline":       {},
	"alert":                 {"detect", "rules"},
	"alert/slack":           {"alert"},
	"alert/slack/slackfake": {},
	"dashboards":            {},
	"dashboards/console":    {"ingest/event", "store", "store/merkle", "alert"},
	"deploy/embedded":       {},
	"deploy/fault":          {},
	"deploy/kafka":          {},
}

// testImports are what tests of a package may import besides.
var testImports = map[string][]string{
	"ingest":         {"ingest/traffic", "deploy/embedded"},
	"ingest/stream":  {"deploy/embedded", "deploy/kafka"},
	"ingest/traffic": {"ingest/gateway", "ingest/redact"},
	"store":          {"deploy/embedded", "ingest/redact", "ingest/gateway", "ingest/traffic"},
	"detect":         {"ingest/gateway", "ingest/redact", "ingest/traffic"},
	"rules":          {"ingest/gateway", "ingest/redact"},
	"alert":          {"ingest/event"},
	"alert/slack":    {"alert/slack/slackfake", "detect", "rules", "ingest/event"},
}

// owners are the packages that may import a core library.
var owners = map[string][]string{
	"github.com/segmentio/kafka-go":       {"ingest/stream", "cmd/gatehouse/peer"},
	"github.com/ClickHouse/clickhouse-go": {"store", "cmd/gatehouse/peer"},
	"github.com/ClickHouse/ch-go":         {"store"},
	"github.com/expr-lang/expr":           {"rules"},
	"github.com/slack-go/slack":           {"alert/slack"},
	"github.com/twmb/franz-go/pkg/kfake":  {"deploy/embedded"},
	"github.com/twmb/franz-go/pkg/kgo":    {"cmd/gatehouse"},
	"github.com/twmb/franz-go/pkg/kmsg":   {"ingest/stream", "deploy/kafka", "deploy/embedded"},
	"github.com/ebitengine/purego":        {"deploy/embedded"},
	"github.com/alecthomas/kong":          {"cmd/gatehouse"},
	"github.com/prometheus/client_golang": {"metrics.go", "cmd/gatehouse"},
	"github.com/rogpeppe/go-internal":     {"_test"},
	"github.com/google/go-cmp":            {"_test"},
	"golang.org/x/term":                   {"cmd/gatehouse", "deploy/embedded"},
	"github.com/goccy/go-yaml":            {"cmd/gatehouse", "rules", "alert", "ingest/redact", "ingest/gateway", "dashboards"},
}

// testOwners are libraries that tests of a package may use besides: the embedded
// engines are tested with the clients that they are for.
var testOwners = map[string][]string{
	"deploy/embedded": {"github.com/ClickHouse/clickhouse-go", "github.com/ClickHouse/ch-go", "github.com/segmentio/kafka-go"},
}

// state are package variables that are there to be changed, each with its reason.
var state = map[string]string{
	"ingest/stream.codecs": "kafka-go's codec table is global, and is wrapped once per process",
}

// pure packages compute: the same input always gives the same output. pureFiles
// names the files of detect that are so too.
var pure = []string{
	"ingest/event", "ingest/gateway", "ingest/redact", "ingest/traffic", "rules", "detect/baseline", "store/merkle",
}

// impure are the files of detect that may know the time of day.
var detectImpure = []string{"detect.go", "metrics.go"}

type goPackage struct {
	Dir, ImportPath                       string
	GoFiles, TestGoFiles, XTestGoFiles    []string
	Imports, TestImports, XTestImports    []string
	CgoFiles, IgnoredGoFiles, OtherGoFile []string
}

func (p goPackage) name() string { return strings.TrimPrefix(p.ImportPath, "gatehouse/") }

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsFollowTheTable(t *testing.T) {
	for _, p := range listPackages(t) {
		allowed, ok := imports[p.name()]
		if !ok {
			t.Errorf("package %s is not in the table of imports", p.name())
			continue
		}
		checkImports(t, p.name(), p.Imports, allowed)
		inTests := slices.Concat(allowed, testImports[p.name()], []string{p.name()})
		checkImports(t, p.name()+" (tests)", slices.Concat(p.TestImports, p.XTestImports), inTests)
	}
}

func checkImports(t *testing.T, name string, got, allowed []string) {
	t.Helper()
	if slices.Contains(allowed, "*") {
		return
	}
	for _, path := range got {
		ours, ok := strings.CutPrefix(path, "gatehouse/")
		if ok && !slices.Contains(allowed, ours) {
			t.Errorf("package %s imports %s: allowed are %v", name, ours, allowed)
		}
	}
}

// Each file is held to the owner table, to having comments on what it exports,
// and to having no init, no mutable package variable and, in pure code, no clock.
func TestFilesKeepTheRules(t *testing.T) {
	for _, p := range listPackages(t) {
		commented := false
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			f := sourceFile{pkg: p.name(), name: name, fset: fset, ast: file, test: strings.HasSuffix(name, "_test.go")}
			f.checkOwners(t)
			f.checkClock(t)
			if f.test {
				continue
			}
			commented = commented || file.Doc != nil
			f.checkDeclarations(t)
		}
		if !commented && len(p.GoFiles) > 0 {
			t.Errorf("package %s has no package comment", p.name())
		}
	}
}

type sourceFile struct {
	pkg, name string
	fset      *token.FileSet
	ast       *ast.File
	test      bool
}

func (f sourceFile) errorf(t *testing.T, at ast.Node, format string, args ...any) {
	t.Helper()
	pos := f.fset.Position(at.Pos())
	t.Errorf("%s/%s:%d: "+format, append([]any{f.pkg, f.name, pos.Line}, args...)...)
}

func (f sourceFile) checkOwners(t *testing.T) {
	for _, spec := range f.ast.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		for library, allowed := range owners {
			if path != library && !strings.HasPrefix(path, strings.TrimSuffix(library, "/")+"/") {
				continue
			}
			ok := slices.Contains(allowed, f.pkg) || slices.Contains(allowed, f.name) ||
				(f.test && (slices.Contains(allowed, "_test") || slices.Contains(testOwners[f.pkg], library) || strings.Contains(path, "client_golang")))
			if !ok {
				f.errorf(t, spec, "imports %s, which belongs to %v", path, allowed)
			}
		}
	}
}

// checkClock forbids the clock in pure code. Tests may use it.
func (f sourceFile) checkClock(t *testing.T) {
	isPure := slices.Contains(pure, f.pkg) || (f.pkg == "detect" && !slices.Contains(detectImpure, f.name))
	if f.test || !isPure {
		return
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" &&
			slices.Contains([]string{"Now", "Since", "Until", "After", "Tick", "NewTimer", "NewTicker", "Sleep"}, sel.Sel.Name) {
			f.errorf(t, n, "uses time.%s in pure code", sel.Sel.Name)
		}
		return true
	})
}

func (f sourceFile) checkDeclarations(t *testing.T) {
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			f.checkFunc(t, d)
		case *ast.GenDecl:
			f.checkGen(t, d)
		}
	}
}

func (f sourceFile) checkFunc(t *testing.T, d *ast.FuncDecl) {
	if d.Recv == nil && d.Name.Name == "init" {
		f.errorf(t, d, "has an init function")
	}
	standard := d.Recv != nil && (d.Name.Name == "Error" || d.Name.Name == "String")
	if d.Name.IsExported() && d.Doc == nil && !standard && (d.Recv == nil || receiverExported(d.Recv)) {
		f.errorf(t, d, "%s is exported without a comment", d.Name.Name)
	}
	lines := f.fset.Position(d.End()).Line - f.fset.Position(d.Pos()).Line
	const longest = 80
	if lines > longest && !listsOnly(d) {
		f.errorf(t, d, "%s has %d lines: at most %d", d.Name.Name, lines, longest)
	}
}

// listsOnly says that a function is one return of one literal: a table, which is
// as long as what it lists.
func listsOnly(d *ast.FuncDecl) bool {
	if d.Body == nil || len(d.Body.List) != 1 {
		return false
	}
	ret, ok := d.Body.List[0].(*ast.ReturnStmt)
	if !ok || len(ret.Results) != 1 {
		return false
	}
	_, ok = ret.Results[0].(*ast.CompositeLit)
	return ok
}

func receiverExported(recv *ast.FieldList) bool {
	expr := recv.List[0].Type
	for {
		switch x := expr.(type) {
		case *ast.StarExpr:
			expr = x.X
		case *ast.IndexExpr:
			expr = x.X
		case *ast.IndexListExpr:
			expr = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func (f sourceFile) checkGen(t *testing.T, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
				f.errorf(t, s, "%s is exported without a comment", s.Name.Name)
			}
			f.checkRawField(t, s)
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					f.errorf(t, s, "%s is exported without a comment", name.Name)
				}
			}
			if d.Tok == token.VAR && len(s.Values) == 0 && s.Names[0].Name != "_" && !embeds(d, s) && state[f.pkg+"."+s.Names[0].Name] == "" {
				f.errorf(t, s, "package variable %s has no value: it can only be there to be changed", s.Names[0].Name)
			}
		}
	}
}

func embeds(d *ast.GenDecl, s *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{d.Doc, s.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed") {
				return true
			}
		}
	}
	return false
}

// checkRawField forbids event.Raw in an unexported field: fmt reaches through
// those without asking Raw how it prints.
func (f sourceFile) checkRawField(t *testing.T, s *ast.TypeSpec) {
	st, ok := s.Type.(*ast.StructType)
	if !ok || f.pkg == "ingest/event" {
		return
	}
	for _, field := range st.Fields.List {
		for _, name := range field.Names {
			if !name.IsExported() && holdsRaw(field.Type) {
				f.errorf(t, field, "field %s holds an event.Raw and is unexported", name.Name)
			}
		}
	}
}

func holdsRaw(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		if fn, ok := n.(*ast.FuncType); ok {
			_ = fn // a function that takes a Raw does not hold one
			return false
		}
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Raw" {
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "event" {
				found = true
			}
		}
		return true
	})
	return found
}

// No event is made of a raw one outside redact: there is no conversion to write,
// and no other package builds an Event literal with fields in it.
func TestOnlyRedactMakesEvents(t *testing.T) {
	allowed := []string{"ingest/redact", "ingest/event"}
	transcripts := filepath.Join("detect", "transcript.go") // events that a rule's author makes up
	for _, p := range listPackages(t) {
		if slices.Contains(allowed, p.name()) {
			continue
		}
		for _, name := range p.GoFiles {
			if filepath.Join(p.name(), name) == transcripts {
				continue
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.CompositeLit)
				if !ok || len(lit.Elts) == 0 {
					return true
				}
				if sel, ok := lit.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Event" {
					if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "event" {
						t.Errorf("%s:%d builds an event.Event: only ingest/redact may", filepath.Join(p.name(), name), fset.Position(n.Pos()).Line)
					}
				}
				return true
			})
		}
	}
}
