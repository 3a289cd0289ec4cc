package alert

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gatehouse/detect"
	"gatehouse/rules"
)

func TestClean(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"plain", 10, "plain"},
		{"a\r\nb\tc  d", 10, "a b c d"},
		{"\x1b[31mred\x00", 20, "[31mred"},
		{"user\u202egnp.exe", 20, "usergnp.exe"},
		{"zero\u200bwidth\ufeff", 20, "zerowidth"},
		{"bad\xff", 20, "bad\uFFFD"},
		{"\u2028x\u0085y", 20, "x y"},
		{"äöüß", 3, "äö…"},
		{"abc", 3, "abc"},
		{"abc", 0, ""},
		{"a bc", 3, "a…"},
	} {
		if got := Clean(c.in, c.limit); got != c.want {
			t.Errorf("Clean(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
	if got := CleanLines("SELECT 1\n  FROM t\t\u202e\n", 100); got != "SELECT 1\n  FROM t" {
		t.Errorf("lines and indentation: %q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\u202eb\x00\xff", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(0, min(limit, 10_000))
		got := Clean(s, limit)
		if utf8.RuneCountInString(got) > limit || !utf8.ValidString(got) {
			t.Errorf("Clean(%q, %d) = %q", s, limit, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
			t.Errorf("Clean(%q) leaves what does not show: %q", s, got)
		}
		if again := Clean(got, limit); again != got {
			t.Errorf("Clean of %q is %q", got, again)
		}
	})
}

// A runbook's placeholders are filled: as text in steps, as literals in SQL.
func TestRunbooksAreFilled(t *testing.T) {
	i := &Incident{First: minute(0), Last: minute(5), Opening: detect.Finding{Entity: []detect.Field{{Name: "credential", Value: "o'brien\u202e"}}}}
	rb := &rules.Runbook{
		FirstSteps: []string{"Look at {{credential}}.", "Since {{from}}.", "Keep {{unknown}}.", "a fourth is left out"},
		Queries:    []rules.RunbookQuery{{Label: "Who", SQL: "SELECT 1 FROM audit.events\nWHERE credential = {{credential}} AND ts BETWEEN {{from}} AND {{to}}"}},
	}
	got := steps(rb, i)
	want := []string{"Look at o'brien.", "Since 2026-01-01 00:00:00Z.", "Keep {{unknown}}."}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("steps %q, want %q", got, want)
	}
	sql := queries(rb, i)[0].Text
	if want := "SELECT 1 FROM audit.events\nWHERE credential = 'o\\'brien\\xe2\\x80\\xae' AND ts BETWEEN toDateTime64('2026-01-01 00:00:00.000000', 6, 'UTC') AND toDateTime64('2026-01-01 00:05:00.000000', 6, 'UTC')"; sql != want {
		t.Errorf("query\n%s\nwant\n%s", sql, want)
	}
}

// The runbooks that come with Gatehouse fit their messages whole: no query is
// left out and none has a placeholder left.
func TestTheCatalogsRunbooksFit(t *testing.T) {
	set, err := rules.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range set.Rules() {
		i := Incident{ID: "INC-0123456789", Opening: detect.Finding{Rule: r.ID, RuleTitle: r.Title, Severity: r.Severity}}
		for _, f := range r.GroupBy {
			i.Opening.Entity = append(i.Opening.Entity, detect.Field{Name: f.Name, Value: strings.Repeat("v", 64)})
		}
		v := View{Incident: i, Runbook: r.Runbook}
		m, ok := v.RunbookQueries()
		if !ok || len(m.Code) != len(r.Runbook.Queries) {
			t.Errorf("%s: %d of %d queries fit", r.ID, len(m.Code), len(r.Runbook.Queries))
		}
		text := RenderText(&m, false)
		root := v.Root()
		if text += RenderText(&root, false); strings.Contains(text, "{{") || strings.Contains(text, "…") {
			t.Errorf("%s: something is cut or left open:\n%s", r.ID, text)
		}
		n++
	}
	if n == 0 {
		t.Error("the catalogue is empty")
	}
}
