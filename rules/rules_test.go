package rules

import (
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"gatehouse/ingest/event"
)

// minimal is a rule that loads; cases change one line of it.
const minimal = `id: probe
title: A probe
severity: medium
when: kind == "access" and status >= 400
group_by: [tenant, actor]
window: 5m
measure:
  paths: {distinct: path}
  all: {count: true}
having: paths >= 10 and all >= 20
reason: "{actor} hit {paths} paths in {window}"
`

func TestMinimalRule(t *testing.T) {
	r, err := Parse("probe.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != "probe" || r.Kind != KindWindow || len(r.Measures) != 2 || r.Measures[0].Name != "paths" || r.Quiet != DefaultQuiet {
		t.Errorf("got %+v", r)
	}
}

// Every refusal names file, line and column, what was expected, and the nearest name.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown field in when", `status >= 400`, `staus >= 400`, "probe.yaml:4:28: when: unknown field `staus`: did you mean `status`?"},
		{"unknown key", `group_by:`, `groupby:`, "probe.yaml:5:1: unknown key `groupby`: did you mean `group_by`?"},
		{"unknown key of a measure", `{distinct: path}`, `{distict: path}`, "probe.yaml:8:11: unknown key `distict`: did you mean `distinct`?"},
		{"unknown group field", `[tenant, actor]`, `[tenant, acter]`, "probe.yaml:5:11: group_by: unknown field `acter`: did you mean `actor`?"},
		{"list as group field", `[tenant, actor]`, `[headers]`, "group_by: field `headers` is a map of text: want a field with one value"},
		{"unknown measure in having", `paths >= 10`, `path >= 10`, "probe.yaml:10:9: having: unknown measure `path`: did you mean `paths`?"},
		{"unknown name in reason", `{paths} paths`, `{path} paths`, "probe.yaml:11:22: reason: unknown name {path}: did you mean `paths`?"},
		{"syntax", `status >= 400`, `status >= `, "probe.yaml:4:"},
		{"types", `status >= 400`, `status >= "400"`, "probe.yaml:4:35: when: invalid operation: >= (mismatched types int and string)"},
		{"not a truth", `kind == "access" and status >= 400`, `status`, "when: expected bool, but got int"},
		{"number as condition", `paths >= 10 and all >= 20`, `paths + all`, "having: a number: want a comparison, such as paths + all >= 10"},
		{"severity", `medium`, `mediun`, "probe.yaml:3:11: severity: \"mediun\": want one of info, low, medium, high, critical: did you mean `medium`?"},
		{"id", `id: probe`, `id: Probe 1`, "probe.yaml:1:5: id: \"Probe 1\": want lower-case words with hyphens"},
		{"no id", "id: probe\n", ``, "id: missing"},
		{"kind", `title:`, "kind: windows\ntitle:", "kind: \"windows\": want one of window, match, baseline: did you mean `window`?"},
		{"duration", `window: 5m`, `window: 5 minutes`, "probe.yaml:6:9: window: \"5 minutes\": want a duration, such as 10m"},
		{"long window", `window: 5m`, `window: 48h`, "window: 48h0m0s: want 1s to 24h0m0s"},
		{"short quiet", `window: 5m`, "window: 5m\nquiet: 1m", "quiet: 1m0s is shorter than the window of 5m0s"},
		{"two verbs", `{distinct: path}`, `{distinct: path, count: true}`, "measure.paths: 2 verbs: want exactly one of count"},
		{"no verb", `{distinct: path}`, `{where: status > 1}`, "measure.paths: 0 verbs"},
		{"list as value", `{distinct: path}`, `{distinct: xff}`, "measure.paths.distinct: the value is a list"},
		{"reserved name", `  all: {count: true}`, `  peers: {count: true}`, "`peers` cannot name a measure"},
		{"limit", `{distinct: path}`, `{distinct: path, limit: 99999}`, "measure.paths.limit: 99999: want 1 to 16384"},
		{"never", `{count: true}`, `{count: true, never: status == 200}`, "measure.all.never: belongs to distinct only"},
		{"bare count", "severity: medium", "severity: high", ""},
		{"peers unnamed", `paths >= 10 and`, `paths >= peers.paths and`, "having: compares with peers: add the key peers"},
		{"owasp", `window: 5m`, "window: 5m\nowasp: [API11:2023]", "owasp: \"API11:2023\": want an OWASP API item, such as API2:2023"},
		{"attack", `window: 5m`, "window: 5m\nattack: [1528]", "attack: \"1528\": want an ATT&CK technique"},
		{"anchor", `title: A probe`, `title: &a A probe`, "anchors and aliases are not allowed"},
		{"range", `status >= 400`, `status in 400..499`, "when: a range can be endless"},
		{"function", `status >= 400`, `repeat(path, 9) == ""`, "function `repeat` is not allowed"},
		{"clock", `status >= 400`, `now().Unix() > 1`, "when: "},
		{"nested predicate", `status >= 400`, `any(xff,any(quality,#==""))`, "a predicate inside a predicate"},
		{"dynamic pattern", `status >= 400`, `path matches host`, "the pattern of matches must be a constant text"},
		{"bad pattern", `status >= 400`, `path matches "("`, "when: "},
		{"many patterns", `status >= 400`, strings.Repeat(`path matches "a" or `, 9) + `true`, "more than 8 regular expressions"},
		{"deep brackets", `status >= 400`, strings.Repeat("(", 2000) + "true" + strings.Repeat(")", 2000), ""},
		{"deep YAML", `[tenant, actor]`, strings.Repeat("[", 30000), "probe.yaml:"},
		{"env", `status >= 400`, `$env.status >= 400`, "when: "},
		{"let", `status >= 400`, `(let a = 1; a > 0)`, "when: "},
		{"long source", `status >= 400`, strings.Repeat("path != host and ", 300) + `true`, "bytes: want at most 4096"},
		{"many nodes", `status >= 400`, strings.Repeat("status>1 and ", 200) + `true`, "when: "},
		{"deep", `status >= 400`, strings.Repeat("not ", 500) + `true`, "when: "},
		{"baseline measures", `title:`, "kind: baseline\ntitle:", "measure: a baseline rule has no measures"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(minimal, c.old) {
				t.Fatalf("the minimal rule has no %q", c.old)
			}
			_, err := Parse("probe.yaml", []byte(strings.Replace(minimal, c.old, c.new, 1)))
			switch {
			case c.want == "" && err != nil: // allowed: bounded by the size of the source, or two measures at high severity
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestHighSeverityNeedsTwoMeasuresInEveryAlternative(t *testing.T) {
	high := strings.Replace(minimal, "medium", "high", 1)
	for having, ok := range map[string]bool{
		"all >= 1000":                              false,
		"paths >= 100":                             false,
		"all >= 10 and events >= 20":               false,
		"paths >= 10 and all >= 20":                true,
		"paths >= 10 and all >= 20 or all >= 1000": false,
		"paths >= 10 and paths >= 3 * usual.paths": true,
		"paths >= 0.5 * all":                       true,
		"warm and all >= 10":                       false,
		"true":                                     false,
	} {
		_, err := Parse("probe.yaml", []byte(strings.Replace(high, "paths >= 10 and all >= 20", having, 1)))
		if (err == nil) != ok {
			t.Errorf("having %s: error %v, want accepted = %v", having, err, ok)
		}
	}
}

// Errors inside block scalars and quotes point at their place, too.
func TestPlacesInBlocks(t *testing.T) {
	for _, c := range []struct{ having, want string }{
		{"|\n  paths >= 10 and\n  al >= 20", "probe.yaml:12:3: having: unknown measure `al`"},
		{`"paths >= 10 and al >= 20"`, "probe.yaml:10:26: having: unknown measure `al`"},
		{`paths >= 10 and al >= 20`, "probe.yaml:10:25: having: unknown measure `al`"},
	} {
		_, err := Parse("probe.yaml", []byte(strings.Replace(minimal, "paths >= 10 and all >= 20", c.having, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("having %s: got %v, want %s", c.having, err, c.want)
		}
	}
}

func TestLoadReportsAllErrors(t *testing.T) {
	_, err := Load(fstest.MapFS{
		"a/one.yaml":   {Data: []byte(strings.Replace(minimal, "medium", "grave", 1))},
		"a/two.yaml":   {Data: []byte(strings.Replace(minimal, "when:", "wen:", 1))},
		"b/three.yaml": {Data: []byte(minimal)},
		"b/four.yaml":  {Data: []byte(minimal)},
		"b/notes.txt":  {Data: []byte("not a rule")},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"a/one.yaml:3:11: severity", "a/two.yaml:4:1: unknown key `wen`: did you mean `when`?",
		`b/three.yaml: id "probe" is taken by b/four.yaml`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestMerge(t *testing.T) {
	base, err := Catalog()
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string) Set {
		s, err := Load(fstest.MapFS{"mine.yaml": {Data: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	own, err := base.Merge(load(minimal))
	if err != nil || own.Len() != base.Len()+1 {
		t.Errorf("a new rule: %d rules, error %v", own.Len(), err)
	}
	taken := strings.Replace(minimal, "id: probe", "id: endpoint-probing", 1)
	if _, err := base.Merge(load(taken)); err == nil || !strings.Contains(err.Error(), "say override: true to replace it") {
		t.Errorf("the same id: error %v", err)
	}
	over, err := base.Merge(load(taken + "override: true\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, ok := over.ByID("endpoint-probing")
	if !ok || r.Title != "A probe" || r.Runbook == nil || over.Len() != base.Len() {
		t.Errorf("override: %+v", r)
	}
	old, _ := base.ByID("endpoint-probing")
	if old.Title == "A probe" {
		t.Error("the catalogue itself was changed")
	}
}

func TestLintWantsRunbookAndTranscript(t *testing.T) {
	fsys := fstest.MapFS{"probe.yaml": {Data: []byte(minimal)}}
	s, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Lint()
	for _, want := range []string{"probe.yaml: no runbook: want a .md file", "probe.yaml: no transcript: want a .txt file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	fsys["probe.md"] = &fstest.MapFile{Data: []byte("---\nid: prob\nfirst_steps: [a, b]\nqueries:\n  - {id: q, label: Q, sql: \"SELECT {{acter}}\"}\n---\n## Meaning\nx\n")}
	s, err = Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Lint()
	for _, want := range []string{
		`id "prob": want "probe"`, "owner missing", "first_steps: 2 of them: want 3", `heading "## Impact" missing`,
		"unknown placeholder {{acter}}: did you mean `actor`?", "no time bound",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	fsys["probe.md"] = &fstest.MapFile{Data: []byte("---\nid: probe\nowener: me\n---\ntext")}
	var place *Error
	if _, err = Load(fsys); !errors.As(err, &place) || place.Line != 3 || !strings.Contains(place.Msg, "owener") {
		t.Errorf("unknown key in front matter: %v", err)
	}
}

// The environment, the field table and the event have the same names.
func TestEnvironmentMatchesFieldsAndEvent(t *testing.T) {
	var env, table, ev []string
	typ := reflect.TypeFor[Env]()
	for i := range typ.NumField() {
		env = append(env, typ.Field(i).Tag.Get("expr"))
	}
	for _, f := range Fields() {
		table = append(table, f.Name)
		if f.Describe() == "" {
			t.Errorf("field %s has no description", f.Name)
		}
	}
	if diff := cmp.Diff(env, table); diff != "" {
		t.Errorf("Env and the field table differ:\n%s", diff)
	}
	for _, f := range event.Fields() {
		if f.Name != "v" && f.Name != "origin" {
			ev = append(ev, f.Name)
		}
	}
	if diff := cmp.Diff(ev, table[:len(ev)]); diff != "" {
		t.Errorf("event and the field table differ:\n%s", diff)
	}
}

var rewrite = flag.Bool("rewrite", false, "write the generated parts of README.md")

// README.md is the manual: its field table is generated, and it names every
// function and key.
func TestManualIsComplete(t *testing.T) {
	const begin, end = "<!-- fields -->\n", "<!-- /fields -->"
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("no %s and %s in README.md", begin, end)
	}
	table := "| field | type | meaning |\n|---|---|---|\n"
	for _, f := range Fields() {
		table += "| `" + f.Name + "` | " + f.Type + " | " + f.Describe() + " |\n"
	}
	if *rewrite {
		if err := os.WriteFile("README.md", []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(table, old); diff != "" {
		t.Errorf("field table (-want +README.md); -rewrite writes it:\n%s", diff)
	}
	for _, name := range append(Functions(), keys()...) {
		if !strings.Contains(before+after, "`"+name+"`") {
			t.Errorf("the manual does not mention `%s`", name)
		}
	}
	example(t, before)
}

// example checks that the manual's own rule and transcript are true.
func example(t *testing.T, manual string) {
	t.Helper()
	_, rest, _ := strings.Cut(manual, "```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example in README.md")
	}
	if _, err := Parse("README.md", []byte(text)); err != nil {
		t.Errorf("the example is refused: %v", err)
	}
}
