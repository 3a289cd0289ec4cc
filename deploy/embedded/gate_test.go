package embedded

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secret stands for any file of the machine that a reader must not see.
const secret = "very-secret-line"

func writeSecret(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// get sends a statement the way curl does and returns status and body.
func get(t testing.TB, sql string, more ...string) (int, string) {
	t.Helper()
	q := url.Values{"query": {sql}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	resp, err := http.Get(engines.ClickHouse().URL + "/?" + q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestGateRefuses(t *testing.T) {
	path := writeSecret(t)
	out := filepath.Join(t.TempDir(), "out")
	for _, sql := range []string{
		// the scalar function, in every disguise
		"SELECT file('@')", "SELECT file ('@')", "SELECT file/* */('@')", "SELECT file -- x\n('@')", "select\tfile\n(\n'@')",
		"SELECT `file`('@')", `SELECT "file"('@')`, "SELECT `f\\x69le`('@')", "SELECT “file”('@')", "SELECT file(‘@’)",
		"SELECT (SELECT (SELECT file('@')))", "WITH x AS (SELECT file('@') AS f) SELECT f FROM x", "WITH file('@') AS f SELECT f",
		"WITH (p -> file(p)) AS f SELECT f('@')", "SELECT arrayMap(p -> file(p), ['@'])", "SELECT 1 WHERE file('@') != ''",
		"SELECT count() FROM numbers(1) GROUP BY file('@')", "SELECT 1 ORDER BY file('@')", "SELECT 1 UNION ALL SELECT 1 WHERE file('@') = ''",
		"EXPLAIN QUERY TREE SELECT file('@')", "DESCRIBE (SELECT file('@'))", "SELECT * REPLACE(file(a) AS a) FROM (SELECT '@' AS a)",
		"FROM system.one SELECT file('@')", "file('@')", "SELECT 1 FROM view(SELECT file('@'))", "SELECT file($$@$$)", "SELECT file({p:String})",
		"SELECT 1 -- '\n, file('@')", "SELECT '/*', file('@'), '*/'", "SELECT '\\'', file('@')", "SELECT 'it''s', file('@')", "SELECT `a``b`, file('@') FROM (SELECT 1 AS `a\\`b`)",
		// the function passed by name
		"SELECT * APPLY(file) FROM (SELECT '@' AS a)", "SELECT * APPLY file FROM (SELECT '@' AS a)", "SELECT a.* APPLY ( file ) FROM (SELECT '@' AS p) AS a",
		"SELECT COLUMNS('p') APPLY(file) FROM (SELECT '@' AS p)", "SELECT arrayMap(file, ['@'])", "SELECT arrayMap((file), ['@'])", "SELECT arrayMap(((file)), ['@'])",
		"SELECT arrayMap(file AS g, ['@'])", "SELECT arrayMap(`file`, ['@'])", "SELECT arrayFilter(file, ['@'])", "SELECT arrayMap({f:Identifier}, ['@'])",
		"SELECT arrayMap(/**/file/**/,['@'])", "SELECT arraySort(file, ['@'])", "SELECT * APPLY({f:Identifier}) FROM (SELECT '@' AS a)",
		// table functions and tables that are files
		"SELECT * FROM file('@', 'TSV', 'a String')", "SELECT * FROM FILE('@')", "SELECT 1 IN file('@', 'TSV', 'a String')", "DESCRIBE TABLE file('@')",
		"SELECT * FROM `@`", "DESCRIBE TABLE `@`", "SHOW CREATE TABLE default.`@`", "EXPLAIN SELECT * FROM `@`", "SELECT * FROM default.`@`", "SELECT * FROM {t:Identifier}", "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'a String')",
		"SELECT * FROM s3('http://127.0.0.1:1/b/k')", "SELECT * FROM remote('127.0.0.1:1', 'system.one')", "SELECT * FROM remoteSecure('127.0.0.1:1', 'system.one')",
		"SELECT * FROM cluster('default', 'system.one')", "SELECT * FROM executable('cat', 'TSV', 'a String')", "SELECT * FROM input('a String')",
		"SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')", "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')", "SELECT * FROM sqlite('@', 't')",
		"SELECT * FROM jdbc('a', 'b', 'c')", "SELECT * FROM odbc('a', 'b', 'c')", "SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'a String')",
		"SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')", "SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', 'TSV', 'a String')", "SELECT * FROM iceberg('http://127.0.0.1:1/')",
		"SELECT * FROM deltaLake('http://127.0.0.1:1/')", "SELECT * FROM hudi('http://127.0.0.1:1/')", "SELECT * FROM azureBlobStorage('a', 'b', 'c')",
		"SELECT * FROM icebergLocal('@')", "SELECT * FROM deltaLakeLocal('@')", "SELECT * FROM filesystem('/')", "SELECT * FROM dictionary('d')",
		"SELECT * FROM loop(numbers(1))", "SELECT * FROM eval('SELECT 1')", "SELECT aiGenerate('x')", "SELECT catboostEvaluate('@', 1)",
		// ways to write, and more than one statement
		"SELECT 1 INTO OUTFILE '#'", "SELECT 1 into/**/outfile '#'", "SELECT 1 INTO OUTFILE '#' AND STDOUT", "SELECT 1 UNION ALL SELECT 2 INTO OUTFILE '#' TRUNCATE FORMAT CSV",
		"SHOW TABLES INTO OUTFILE '#'", "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE audit.t", "SELECT 1 PARALLEL WITH SELECT 2", "INSERT INTO audit.t VALUES (1)",
		"INSERT INTO FUNCTION file('#', 'TSV', 'a UInt8') VALUES (1)", "CREATE TABLE audit.t2 (a UInt8) ENGINE = Memory", "DROP TABLE audit.t", "SET readonly = 0", "USE system",
		"SYSTEM SHUTDOWN", "KILL QUERY WHERE 1", "BACKUP DATABASE audit TO File('#')", "TRUNCATE TABLE audit.t", "EXISTS TABLE audit.t", "CREATE TEMPORARY TABLE x (a UInt8)",
		"", " ", "--", ";", "\x00", "SELECT", "SELECT 'open", "SELECT /* open",
		// looser limits
		"SELECT 1 SETTINGS readonly = 0", "SELECT 1 SETTINGS max_execution_time = 0", "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)",
		"SELECT 1 FORMAT CSV SETTINGS max_threads = 64", "SELECT 1 SETTINGS `max_threads` = 64",
	} {
		text := strings.NewReplacer("@", path, "#", out).Replace(sql)
		status, body := get(t, text, "param_p", path, "param_f", "file", "param_t", path)
		if status == http.StatusOK {
			t.Errorf("%q was answered: %q", sql, body)
		}
		if strings.Contains(body, secret) {
			t.Errorf("%q leaked the file", sql)
		}
		if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%q wrote a file", sql)
		}
	}
}

func TestGateAdmits(t *testing.T) {
	for _, sql := range []string{
		"SELECT file FROM (SELECT 'a' AS file)", "SELECT t.file, concat(t.file, 'x') FROM (SELECT 'a' AS file) AS t", "SELECT count(file), lower(file) FROM (SELECT 'a' AS file) GROUP BY file ORDER BY file",
		"WITH file AS (SELECT 1 AS file) SELECT file.file FROM file", "SELECT if(file = 'a', 1, 0) FROM (SELECT 'a' AS file)", "SELECT 1 WHERE 'file(' != 'url(' -- file('x')",
		"SELECT 'INTO OUTFILE', 'SELECT 1; SELECT 2' AS settings", "SELECT settings, format FROM (SELECT 1 AS settings, 2 AS format) WHERE settings = 1", "SELECT 1;", "(SELECT 1) UNION ALL (SELECT 2)",
		"SELECT * FROM numbers(3)", "SELECT * FROM generateRandom('a UInt8') LIMIT 1", "SELECT * FROM values('a UInt8', 1, 2)", "SELECT * FROM merge('system', '^one$')",
		"SELECT * FROM view(SELECT 1)", "SELECT 1 IN (1, 2)", "SELECT getServerSetting('mark_cache_size')", "SELECT file IN ('a') FROM (SELECT 'a' AS file)", "SELECT format('{}-{}', 1, 2)",
		"EXPLAIN SELECT 1", "EXPLAIN PLAN actions = 1 SELECT 1", "DESCRIBE TABLE system.one", "DESC system.one", "SHOW TABLES FROM system", "SHOW DATABASES", "SELECT {x:UInt8} + 1",
		"SELECT arrayMap(x -> x + 1, [1]), quantile(0.5)(number), sum(number) FILTER (WHERE 1) FROM numbers(2)", "from system.one select dummy", "SELECT 'ü' AS `ü`", "SELECT arrayMap(toString, [1])",
		"SELECT url, remote, s3 FROM (SELECT 1 AS url, 2 AS remote, 3 AS s3)", "SELECT 1 FORMAT JSON", "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT max(n) FROM r",
	} {
		if status, body := get(t, sql, "param_x", "1"); status != http.StatusOK {
			t.Errorf("%q was refused: %s", sql, body)
		}
	}
}

func TestReaderSettings(t *testing.T) {
	for name, value := range map[string]string{
		"readonly": "0", "max_execution_time": "0", "max_memory_usage": "0", "max_result_rows": "99999999999", "max_rows_to_read": "text",
	} {
		_, body := get(t, "SELECT toString(getSetting('"+name+"'))", name, value)
		if got, want := strings.TrimSpace(body), readerLimit(name); got != want {
			t.Errorf("%s=%s gave %q, want the reader's limit %q", name, value, got, want)
		}
	}
	if _, body := get(t, "SELECT getSetting('max_execution_time')", "max_execution_time", "5"); strings.TrimSpace(body) != "5" {
		t.Errorf("a tighter limit was not taken: %q", body)
	}
	for _, name := range []string{"format_schema", "format_template_row", "output_format_schema", "allow_ddl", "max_threads`, readonly", "profile", "user_files_path"} {
		if status, body := get(t, "SELECT 1", name, "x"); status == http.StatusOK {
			t.Errorf("setting %s was accepted: %s", name, body)
		}
	}
}

// TestFunctionsReviewed holds the functions of the pinned engine whose names
// suggest files, networks or code. After an upgrade of the engine, look at the
// new ones, extend refusedFunctions where needed, and rewrite the list.
func TestFunctionsReviewed(t *testing.T) {
	_, got := get(t, "SELECT name FROM system.functions WHERE match(lower(name), 'file|url|http|exec|s3|azure|model|catboost|load|path|remote|^ai|llm|shell|script|python|certificate|addressto|dump|read|write') ORDER BY name")
	golden(t, "testdata/functions.txt", got)
	_, aliases := get(t, "SELECT name, alias_to FROM system.functions WHERE alias_to != ''")
	for line := range strings.Lines(aliases) {
		name, target, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if refusedFunctions[strings.ToLower(target)] && !refusedFunctions[strings.ToLower(name)] {
			t.Errorf("%s is another name of the refused %s", name, target)
		}
	}
	_, got = get(t, "SELECT name FROM system.table_functions ORDER BY name")
	golden(t, "testdata/table_functions.txt", got)
}

// FuzzInspect checks that the gate neither panics nor lets a call of file()
// through, whatever surrounds it.
func FuzzInspect(f *testing.F) {
	for _, seed := range []string{"SELECT ", "SELECT (((", "SELECT '\\", "SELECT {x:", "SELECT `a", "WITH x AS (SELECT 1) SELECT ", "SELECT $$ "} {
		f.Add(seed)
	}
	g := &gate{tableFunctions: map[string]bool{"file": true, "numbers": true}}
	f.Fuzz(func(t *testing.T, text string) {
		in := inspection{sql: text, toks: tokens(text), gate: g}
		err := in.run()
		toks := tokens(text)
		for i := 0; i+1 < len(toks); i++ {
			if toks[i].is(text, "file") && toks[i+1].isSymbol(text, '(') && err == nil {
				t.Fatalf("%q was admitted", text)
			}
		}
	})
}
