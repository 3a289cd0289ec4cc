package embedded

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTokens(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"SELECT a1, `b c`", "w:SELECT w:a1 s:, q:`b c`"},
		{"a/* x */b--c\nd # e\nf#!g\nh", "w:a w:b w:d w:f w:h"},
		{`'it''s' 'a\'b' "q""r"`, `t:'it''s' t:'a\'b' q:"q""r"`},
		{"$$a'b$$ $t$x$$y$t$ $x a$b", "t:$$a'b$$ t:$t$x$$y$t$ w:$x w:a$b"},
		{"1.5e3 0x1F x'00'", "n:1 s:. n:5e3 n:0x1F w:x t:'00'"},
		{"'open", "i:'open"},
		{"a /* open", "w:a i:/* open"},
		{"ü", "i:\xc3 i:\xbc"},
		{"'ü'", "t:'ü'"},
	} {
		var got []string
		for _, tok := range tokens(c.sql) {
			got = append(got, string("_wqtnsi"[tok.kind])+":"+c.sql[tok.start:tok.end])
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q: %s", c.sql, diff)
		}
	}
}

func TestParseInsert(t *testing.T) {
	type want struct {
		head, format, data string
		inline             bool
	}
	for sql, w := range map[string]want{
		"INSERT INTO t FORMAT Native\n\x00\n":                     {"INSERT INTO t ", "Native", "\x00\n", true},
		"insert into t (a, format) settings x=1 format CSV \n1,2": {"insert into t (a, format) settings x=1 ", "CSV", "1,2", true},
		"INSERT INTO t (values) VALUES (1)":                       {"INSERT INTO t (values) ", "Values", " (1)", true},
		"INSERT INTO t SELECT 1":                                  {"INSERT INTO t SELECT 1", "", "", false},
		"INSERT INTO t (a) WITH x AS (SELECT 1) SELECT * FROM x":  {"INSERT INTO t (a) WITH x AS (SELECT 1) SELECT * FROM x", "", "", false},
		"/* c */ INSERT INTO `d b`.t":                             {"/* c */ INSERT INTO `d b`.t", "RowBinary", "", true},
		"INSERT INTO t (a) FORMAT TSV":                            {"INSERT INTO t (a) ", "TSV", "", true},
	} {
		ins, ok := parseInsert(sql, "RowBinary")
		if !ok {
			t.Errorf("%q: not taken for an INSERT", sql)
			continue
		}
		got := want{head: ins.head, format: ins.format, inline: ins.inline}
		if ins.inline {
			got.data = sql[ins.dataAt:]
		}
		if got != w {
			t.Errorf("%q:\n got %+v\nwant %+v", sql, got, w)
		}
	}
	if _, ok := parseInsert("SELECT 1", ""); ok {
		t.Error("SELECT was taken for an INSERT")
	}
}

func TestOutputFormat(t *testing.T) {
	for sql, want := range map[string][2]string{
		"SELECT 1 FORMAT JSON":                         {"JSON", "SELECT 1 "},
		"SELECT 1 FORMAT `Null`":                       {"Null", "SELECT 1 "},
		"SELECT 1 FORMAT CSV SETTINGS x = 1":           {"CSV", "SELECT 1 "},
		"SELECT format FROM t -- FORMAT CSV":           {"", "SELECT format FROM t"},
		"SELECT 'FORMAT CSV', format('{}', 1);":        {"", "SELECT 'FORMAT CSV', format('{}', 1)"},
		"SELECT * FROM format(CSV, '1') FORMAT Native": {"Native", "SELECT * FROM format(CSV, '1') "},
	} {
		toks := tokens(sql)
		if got := [2]string{outputFormat(sql, toks), withoutFormat(sql, toks)}; got != want {
			t.Errorf("%q: got %q, want %q", sql, got, want)
		}
	}
}

// FuzzTokens checks that tokens cover the text in order, with nothing between
// them but white space and comments.
func FuzzTokens(f *testing.F) {
	for _, seed := range []string{"SELECT 'a' -- b", "$a$ $a$", "/* */", "`x``y`", "'\\", "\xe2\x80\x98", "INSERT INTO t FORMAT Native \x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		at := 0
		for _, tok := range tokens(sql) {
			if tok.start < at || tok.end <= tok.start || tok.end > len(sql) {
				t.Fatalf("token %+v after %d of %d", tok, at, len(sql))
			}
			gap := tokenizer{sql: sql[at:tok.start]}
			if at < tok.start && gap.next().kind != tokenEnd {
				t.Fatalf("%q between tokens is not blank", sql[at:tok.start])
			}
			at = tok.end
		}
		parseInsert(sql, "Native")
		withoutFormat(sql, tokens(sql))
	})
}
