package dashboards

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func boards(t *testing.T) map[string]*board {
	t.Helper()
	all := map[string]*board{}
	for _, name := range Names() {
		b, err := load(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
	}
	if len(all) == 0 {
		t.Fatal("no dashboards")
	}
	return all
}

func TestBoardsAreWhole(t *testing.T) {
	uids := map[string]string{}
	for name, b := range boards(t) {
		if b.UID == "" || len(b.UID) > 40 || uids[b.UID] != "" {
			t.Errorf("%s: uid %q: want one of its own, at most 40 bytes", name, b.UID)
		}
		uids[b.UID] = name
		if b.SchemaVersion != 39 || b.Title == "" || b.Description == "" || !slices.Contains(b.Tags, "gatehouse") || b.Editable {
			t.Errorf("%s: want schemaVersion 39, title, description, tag gatehouse, not editable", name)
		}
		if len(b.Templating.List) == 0 || b.Templating.List[0].Name != "datasource" || b.Templating.List[0].Type != "datasource" {
			t.Errorf("%s: the first variable must be the data source", name)
		}
	}
}

func TestPanelsAreWhole(t *testing.T) {
	for name, b := range boards(t) {
		ids, titles := map[int]bool{}, map[string]bool{}
		for _, p := range b.Panels {
			if p.ID == 0 || ids[p.ID] || p.Title == "" || titles[p.Title] {
				t.Errorf("%s: panel %d %q: want an id and a title of its own", name, p.ID, p.Title)
			}
			ids[p.ID], titles[p.Title] = true, true
			if p.Type == "row" {
				continue
			}
			if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
				t.Errorf("%s: panel %q: want a description, a unit and a query", name, p.Title)
			}
		}
	}
}

func TestPanelsLieOnTheGrid(t *testing.T) {
	for name, b := range boards(t) {
		taken := map[[2]int]string{}
		for _, p := range b.Panels {
			g := p.GridPos
			if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
				t.Errorf("%s: panel %q does not fit into 24 columns: %+v", name, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: panels %q and %q overlap", name, other, p.Title)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}

// Grafana shows "No data" for a target of the wrong shape.
func TestTargetsAreOfTheirDataSource(t *testing.T) {
	for name, b := range boards(t) {
		source := b.Templating.List[0].Query.Text
		for _, p := range b.Panels {
			refs := map[string]bool{}
			for _, q := range p.Targets {
				if q.RefID == "" || refs[q.RefID] || q.Query != nil {
					t.Errorf("%s: panel %q: want a refId of its own and no query member", name, p.Title)
				}
				refs[q.RefID] = true
				if q.Datasource != (datasource{source, "${datasource}"}) || p.Datasource != q.Datasource {
					t.Errorf("%s: panel %q reads %+v, want the variable", name, p.Title, q.Datasource)
				}
				sql := q.RawSQL != "" && q.EditorType == "sql" && q.Format != nil && q.Expr == ""
				prom := q.Expr != "" && q.RawSQL == ""
				if sql == prom || sql != (source == "grafana-clickhouse-datasource") {
					t.Errorf("%s: panel %q: want rawSql with editorType sql and a format, or expr", name, p.Title)
				}
				if p.Type == "timeseries" && sql && (*q.Format != 0 || !strings.Contains(q.RawSQL, " AS time")) {
					t.Errorf("%s: panel %q: a time series wants format 0 and a column time", name, p.Title)
				}
			}
		}
	}
}

var variableUse = regexp.MustCompile(`\$\{?([a-z][a-z_]*)`)

// Every variable that a query or an expression uses is declared, and every
// declared one is used.
func TestVariablesAreDeclaredAndUsed(t *testing.T) {
	for name, b := range boards(t) {
		used := map[string]bool{"datasource": true}
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				for _, m := range variableUse.FindAllStringSubmatch(q.RawSQL+q.Expr, -1) {
					used[m[1]] = true
				}
			}
		}
		for use := range used {
			if !b.declares(use) {
				t.Errorf("%s: $%s is used and not declared", name, use)
			}
		}
		for _, v := range b.Templating.List {
			if !used[v.Name] {
				t.Errorf("%s: $%s is declared and not used", name, v.Name)
			}
		}
	}
}

func view() View {
	from := time.Unix(1415792726, 0)
	return View{From: from, To: from.Add(time.Hour), Interval: 20 * time.Second}
}

// What the macros become is what the documentation of the data source says.
func TestMacrosExpandAsDocumented(t *testing.T) {
	b := &board{}
	b.Templating.List = []variable{{Name: "tenant"}}
	chosen := view()
	chosen.Values = map[string][]string{"tenant": {"a", "o'b"}}
	for _, c := range []struct {
		view     View
		in, want string
	}{
		{view(), "$__timeFilter(ts)", "ts >= toDateTime(1415792726) AND ts <= toDateTime(1415796326)"},
		{view(), "$__timeInterval(ts) AS time", "toStartOfInterval(toDateTime(ts), INTERVAL 20 second) AS time"},
		{view(), "x / $__interval_s, y", "x / 20, y"},
		{view(), "$__fromTime, $__toTime", "toDateTime(1415792726), toDateTime(1415796326)"},
		{view(), "$__conditionalAll(tenant IN (${tenant:singlequote}), $tenant) AND 1", "1=1 AND 1"},
		{chosen, "$__conditionalAll(tenant IN (${tenant:singlequote}), $tenant)", `tenant IN ('a','o\'b')`},
		{View{}, "$__interval_s", "60"},
		{view(), "no macro", "no macro"},
		{view(), "$__timeFilter(if(a, b, ')'))", "if(a, b, ')') >= toDateTime(1415792726) AND if(a, b, ')') <= toDateTime(1415796326)"},
	} {
		e := expander{c.view, b}
		got, err := e.expand(c.in)
		if err != nil || got != c.want {
			t.Errorf("%s gives %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestExpansionRefuses(t *testing.T) {
	b := &board{}
	b.Templating.List = []variable{{Name: "tenant"}}
	for in, want := range map[string]string{
		"$__timeFilters(ts)":              "$__timeFilters with 1 arguments: want",
		"$__timeFilter(ts":                "not closed",
		"$host":                           "$host: not a variable",
		"'$tenant'":                       "want ${tenant:singlequote}",
		"${tenant:raw}":                   "want ${tenant:singlequote}",
		"${tenant":                        "closing brace",
		"$__conditionalAll(a = 1, $host)": "$host: not a variable",
	} {
		e := expander{view(), b}
		if _, err := e.expand(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", in, err, want)
		}
	}
}

func TestQueriesAreExpanded(t *testing.T) {
	queries, err := Queries(view())
	if err != nil {
		t.Fatal(err)
	}
	if len(queries) < 20 {
		t.Errorf("%d queries, want at least 20", len(queries))
	}
	for _, q := range queries {
		if strings.Contains(q.SQL, "$") || q.Place == "" || q.Dashboard == "" || !strings.Contains(q.SQL, "audit.") {
			t.Errorf("%s, %s: %s", q.Dashboard, q.Place, q.SQL)
		}
	}
}

func TestMetricNamesOfExpressions(t *testing.T) {
	for in, want := range map[string][]string{
		`sum by (le, job) (rate(a_b_bucket{x="y{", z=~"[a]"}[5m]))`:                {"a_b_bucket"},
		`histogram_quantile(0.99, sum by (le) (rate(h_bucket[$__rate_interval])))`: {"h_bucket"},
		`a > 0 and on (x) b == 0 unless ignoring(y) group_left (z) c`:              {"a", "b", "c"},
		`job:r:rate5m / (other + 1e3 > 0) offset 5m`:                               {"job:r:rate5m", "other"},
		`sum(a) by (instance)`: {"a"},
		`vector(1)`:            nil,
		`label_replace(up, "a", "$1", "b", "x(y")`: {"up"},
		`m{a="\"}"} > bool 1`:                      {"m"},
	} {
		got, err := metricNames(in)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", in, err, d)
		}
	}
	for _, in := range []string{`a{b="c`, `a[5m`, `a{b="}"`} {
		if _, err := metricNames(in); err == nil {
			t.Errorf("%s: no error", in)
		}
	}
}

func FuzzMetricNames(f *testing.F) {
	f.Add(`sum by (a) (rate(b{c="d"}[5m])) / on (x) e`)
	f.Fuzz(func(t *testing.T, expr string) {
		names, err := metricNames(expr)
		for _, name := range names {
			if err == nil && !strings.Contains(expr, name) {
				t.Errorf("%q is not in %q", name, expr)
			}
		}
	})
}

func FuzzExpand(f *testing.F) {
	f.Add("SELECT $__timeInterval(ts) WHERE $__conditionalAll(a IN (${tenant:singlequote}), $tenant)")
	b := &board{}
	b.Templating.List = []variable{{Name: "tenant"}}
	f.Fuzz(func(t *testing.T, text string) {
		e := expander{view(), b}
		if out, err := e.expand(text); err == nil && strings.Contains(out, "$") {
			t.Errorf("%q expands to %q", text, out)
		}
	})
}

// The metrics are this project's, or those of every Go process.
func TestMetricsAreOurs(t *testing.T) {
	metrics, err := Metrics()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range metrics {
		if !strings.HasPrefix(m, "gatehouse_") && !strings.HasPrefix(m, "process_") && !strings.HasPrefix(m, "go_") {
			t.Errorf("%s: want gatehouse_*, process_* or go_*", m)
		}
	}
	for _, want := range []string{"gatehouse_stream_lag", "gatehouse_ingest_delay_seconds", "gatehouse_store_insert_seconds", "gatehouse_alert_notify_attempts_total"} {
		if !slices.Contains(metrics, want) {
			t.Errorf("%s: not asked for by any panel or rule", want)
		}
	}
}

func TestRulesAreWhole(t *testing.T) {
	all, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	recorded, names := map[string]bool{}, map[string]bool{}
	for _, r := range all {
		if r.Record != "" {
			recorded[r.Record] = true
		}
		if name := r.Record + r.Alert; names[name] || (r.Record == "") == (r.Alert == "") {
			t.Errorf("rule %q: want a name of its own, of a record or an alert", name)
		} else {
			names[name] = true
		}
	}
	for _, r := range all {
		checkSeries(t, r, recorded)
		if r.Alert != "" {
			checkAlert(t, r, string(readme))
		}
	}
	if !names["GatehouseWatchdog"] {
		t.Error("no GatehouseWatchdog")
	}
}

// checkSeries: a name with a colon is one that a rule records.
func checkSeries(t *testing.T, r rule, recorded map[string]bool) {
	t.Helper()
	series, err := metricNames(r.Expr)
	if err != nil {
		t.Errorf("%s%s: %v", r.Record, r.Alert, err)
	}
	for _, s := range series {
		if strings.Contains(s, ":") && !recorded[s] {
			t.Errorf("%s%s reads %s, which no rule records", r.Record, r.Alert, s)
		}
	}
}

func checkAlert(t *testing.T, r rule, readme string) {
	t.Helper()
	if !slices.Contains([]string{"critical", "warning", "none"}, r.Labels["severity"]) {
		t.Errorf("%s: severity %q: want critical, warning or none", r.Alert, r.Labels["severity"])
	}
	if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
		t.Errorf("%s: want a summary and a description", r.Alert)
	}
	anchor, ok := strings.CutPrefix(r.Annotations["runbook_url"], "dashboards/README.md#")
	if !ok || anchor != strings.ToLower(r.Alert) || !strings.Contains(readme, "\n### "+r.Alert+"\n") {
		t.Errorf("%s: runbook_url %q: want a chapter of dashboards/README.md of the alert's name", r.Alert, r.Annotations["runbook_url"])
	}
}

// Each provisioning file names the one API version there is.
func TestProvisioningFiles(t *testing.T) {
	names, err := fs.Glob(Grafana(), "provisioning/*.yaml")
	if err != nil || len(names) < 2 {
		t.Fatalf("provisioning files %v, %v", names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(Grafana(), name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			APIVersion  int `yaml:"apiVersion"`
			Datasources []struct{ UID, Type string }
			Providers   []struct{ Name string }
		}
		if err := yaml.Unmarshal(text, &file); err != nil || file.APIVersion != 1 || len(file.Datasources)+len(file.Providers) == 0 {
			t.Errorf("%s: %+v, %v: want apiVersion 1 and data sources or providers", name, file, err)
		}
	}
}
