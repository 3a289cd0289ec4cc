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

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"key-7": `'key-7'`, "o'brien": `'o\'brien'`, `a\`: `'a\\'`, "a\nb\x00": `'a\x0Ab\x00'`,
		"\u202ex": `'\xE2\x80\xAEx'`, "\xff": `'\xFF'`, "ä 世": `'ä 世'`, "' OR 1=1 --": `'\' OR 1=1 --'`, "": `''`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// unquote reads a literal as ClickHouse does, and fails on anything behind it.
func unquote(t *testing.T, lit string) string {
	t.Helper()
	var b strings.Builder
	body := lit[1:]
	for {
		switch {
		case body == "'":
			return b.String()
		case body == "" || body[0] == '\'':
			t.Fatalf("%s ends early", lit)
		case strings.HasPrefix(body, `\x`):
			hi, lo := strings.IndexByte("0123456789ABCDEF", body[2]), strings.IndexByte("0123456789ABCDEF", body[3])
			b.WriteByte(byte(hi<<4 | lo))
			body = body[4:]
		case body[0] == '\\':
			b.WriteByte(body[1])
			body = body[2:]
		default:
			b.WriteByte(body[0])
			body = body[1:]
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add(`a'b\c` + "\x00\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		lit := Quote(s)
		if got := unquote(t, lit); got != s {
			t.Errorf("%s reads as %q, want %q", lit, got, s)
		}
		if shown := CleanLines(lit, len(lit)+1); shown != lit {
			t.Errorf("cleaning %s changes it to %s", lit, shown)
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
	want := []string{"Look at o'brien.", "Since 2026-01-01 00:00:00.000000.", "Keep {{unknown}}."}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("steps %q, want %q", got, want)
	}
	sql := queries(rb, i)[0].Text
	if want := "SELECT 1 FROM audit.events\nWHERE credential = 'o\\'brien\\xE2\\x80\\xAE' AND ts BETWEEN '2026-01-01 00:00:00.000000' AND '2026-01-01 00:05:00.000000'"; sql != want {
		t.Errorf("query\n%s\nwant\n%s", sql, want)
	}
}
