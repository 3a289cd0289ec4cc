package embedded

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// call is one plain HTTP request and what it must give.
type call struct {
	method, path, body string
	header             map[string]string
	auth               bool // as the writer
	status             int
	want               string // exact body, unless it ends in …
}

func (c call) do(t *testing.T) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(first(c.method, "GET"), engines.ClickHouse().URL+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	if host := c.header["Host"]; host != "" {
		req.Host = host
	}
	if c.auth {
		req.SetBasicAuth(engines.ClickHouse().WriteUser, engines.ClickHouse().WritePassword)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func (c call) check(t *testing.T) {
	t.Helper()
	resp, body := c.do(t)
	if c.status == 0 {
		c.status = http.StatusOK
	}
	prefix, open := strings.CutSuffix(c.want, "…")
	if resp.StatusCode != c.status || open && !strings.HasPrefix(body, prefix) || !open && body != c.want {
		t.Errorf("%s %s %q:\n got %d %q\nwant %d %q", c.method, c.path, c.body, resp.StatusCode, body, c.status, c.want)
	}
	code := resp.Header.Get("X-ClickHouse-Exception-Code")
	if (code != "") != strings.HasPrefix(body, "Code: ") {
		t.Errorf("%s: exception code header %q with body %q", c.path, code, body)
	}
}

func TestCurl(t *testing.T) {
	for _, c := range []call{
		{path: "/ping", want: "Ok.\n"},
		{path: "/?query=SELECT+1", want: "1\n"},
		{path: "/?query=SELECT+1+AS+a,+'x'+AS+b+FORMAT+CSVWithNames", want: "\"a\",\"b\"\n1,\"x\"\n"},
		{path: "/?default_format=JSONEachRow&query=SELECT+1+AS+a", want: "{\"a\":1}\n"},
		{method: "POST", path: "/", body: "SELECT 1 AS a FORMAT JSONEachRow", want: "{\"a\":1}\n"},
		{method: "POST", path: "/", body: "SELECT 1", header: map[string]string{"X-ClickHouse-Format": "CSVWithNames"}, want: "\"1\"\n1\n"},
		{method: "POST", path: "/?query=SELECT+1,", body: "2", want: "1\t2\n"},
		{path: "/?query=SELECT+{x:UInt8}%2B1&param_x=41", want: "42\n"},
		{path: "/?query=SELECT+{s:String}&param_s=a%5Cnb", want: "a\\nb\n"},
		{path: "/?database=system&query=SELECT+count()+FROM+one", want: "1\n"},
		{path: "/?database=nope&query=SELECT+1", status: 404, want: "Code: 81. DB::Exception: …"},
		{path: "/?query=SELECT+nope", status: 400, want: "Code: 47. DB::Exception: …"},
		{path: "/?query=SHOW+DATABASES+LIKE+'system'", want: "system\n"},
		{path: "/?query=SELECT+1&nope=1", status: 403, want: "Code: 164. DB::Exception: Setting nope cannot be changed on a read-only connection…"},
		{path: "/?query=SELECT+1&nope=1", auth: true, status: 400, want: "Code: 115. DB::Exception: …"},
		{path: "/?query=SELECT+1&user=gatehouse&password=wrong", status: 401, want: "Code: 516. DB::Exception: gatehouse: wrong password…"},
		{path: "/?query=SELECT+1&user=root", status: 401, want: "Code: 516. DB::Exception: …"},
		{path: "/?query=SELECT+1", header: map[string]string{"X-ClickHouse-User": "default"}, want: "1\n"},
		{path: "/?query=SELECT+1&client_protocol_version=x", status: 400, want: "Code: 36. DB::Exception: …"},
		{method: "POST", path: "/?query=SELECT+1", header: map[string]string{"Content-Encoding": "br"}, status: 400, want: "Code: 36. DB::Exception: Content-Encoding \"br\"…"},
		{method: "POST", path: "/", body: strings.Repeat("x", maxStatementBytes+1), status: 400, want: "Code: 62. DB::Exception: statement is longer than…"},
		{method: "POST", path: "/?query=SELECT+1", header: map[string]string{"Content-Type": "multipart/form-data; boundary=x"}, status: 400, want: "Code: 36. DB::Exception: external tables…"},
		{method: "PUT", path: "/", status: 405, want: "Method Not Allowed\n"},
		{path: "/play", status: 404, want: "404 page not found\n"},
		{path: "/?query=SELECT+currentUser()", auth: true, want: "default\n"},
	} {
		c.check(t)
	}
}

// TestPlainInsert covers the ways people insert without a client library.
func TestPlainInsert(t *testing.T) {
	table := newTable(t, "(a UInt64, s String) ENGINE = MergeTree ORDER BY a")
	for _, c := range []call{
		{path: "/?query=INSERT+INTO+" + table + "+FORMAT+CSV", body: "1,\"x\ny\"\n"},
		{path: "/", body: "INSERT INTO " + table + " VALUES (2, 'it''s'), (3, 'FORMAT CSV')"},
		{path: "/", body: "INSERT INTO " + table + " (a, s) FORMAT JSONEachRow\n{\"a\":4,\"s\":\"j\"}\n{\"a\":5,\"s\":\"k\"}"},
		{path: "/", body: "INSERT INTO " + table + " SELECT 6, 'sel'"},
		{path: "/?query=INSERT+INTO+" + table + "+VALUES", body: "(7, 'v')"},
	} {
		c.method, c.auth = "POST", true
		c.check(t)
	}
	call{method: "POST", path: "/", body: "SELECT a, s FROM " + table + " ORDER BY a FORMAT CSV",
		want: "1,\"x\ny\"\n2,\"it's\"\n3,\"FORMAT CSV\"\n4,\"j\"\n5,\"k\"\n6,\"sel\"\n7,\"v\"\n"}.check(t)
	resp, _ := call{method: "POST", path: "/?query=INSERT+INTO+" + table + "+FORMAT+CSV", body: "8,a\n9,b\n", auth: true}.do(t)
	if summary := resp.Header.Get("X-ClickHouse-Summary"); !strings.Contains(summary, `"written_rows":"2"`) {
		t.Errorf("summary of an insert of 2 rows: %s", summary)
	}
	call{method: "POST", path: "/?query=INSERT+INTO+" + table + "+FORMAT+CSV", body: "x,y\n", auth: true, status: 400, want: "Code: 27. DB::Exception: …"}.check(t)
	call{method: "POST", path: "/", body: "INSERT INTO " + table + " VALUES (1, 'no')", status: 403, want: "Code: 497. DB::Exception: Refused on a read-only connection…"}.check(t)
}

// TestBrokenOffInsert hangs up in the middle of a body whose first rows are
// complete.
func TestBrokenOffInsert(t *testing.T) {
	table := newTable(t, "(a UInt64) ENGINE = MergeTree ORDER BY a")
	addr := strings.TrimPrefix(engines.ClickHouse().URL, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// More than is handed over at once, so that rows have reached the engine;
	// the chunk that ends the body never comes.
	rows := strings.Repeat("1\n", insertChunkBytes)
	ch := engines.ClickHouse()
	fmt.Fprintf(conn, "POST /?query=INSERT+INTO+%s+FORMAT+CSV&user=%s&password=%s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n",
		table, ch.WriteUser, ch.WritePassword, addr, len(rows), rows)
	running := func() bool {
		_, body := get(t, "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO "+table+"%'")
		return body == "1\n"
	}
	eventually(t, "the insert runs", running)
	conn.Close()
	eventually(t, "the insert is gone", func() bool { return !running() })
	if got := count(t, table); got != 0 {
		t.Errorf("an insert that broke off left %d rows", got)
	}
}

// TestFormats reads in the formats people save and load elsewhere.
func TestFormats(t *testing.T) {
	for format, check := range map[string]func(string) bool{
		"JSON":         func(b string) bool { return strings.Contains(b, `"rows": 2`) },
		"CSVWithNames": func(b string) bool { return b == "\"n\"\n0\n1\n" },
		"Parquet":      func(b string) bool { return strings.HasPrefix(b, "PAR1") && strings.HasSuffix(b, "PAR1") },
		"Arrow":        func(b string) bool { return strings.HasPrefix(b, "ARROW1") },
		"RowBinary":    func(b string) bool { return b == "\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" },
		"Pretty":       func(b string) bool { return strings.Contains(b, "┃") },
	} {
		if status, body := get(t, "SELECT number AS n FROM numbers(2) FORMAT "+format); status != 200 || !check(body) {
			t.Errorf("FORMAT %s gave %d %q", format, status, body)
		}
	}
}

func TestNativeRevisions(t *testing.T) {
	block := "\x01\x01\x01n\x05UInt8\x07"
	for revision, want := range map[int]string{0: block, 1: string(blockInfo) + block, 54405: string(blockInfo) + block, 54460: block} {
		_, got := get(t, "SELECT 7 AS n FORMAT Native", "client_protocol_version", strconv.Itoa(revision))
		if got != want {
			t.Errorf("revision %d: got %q, want %q", revision, got, want)
		}
	}
	// Each block has its own info: a chunk of the engine's output is one block.
	_, got := get(t, "SELECT toUInt8(number) AS n FROM numbers(3) FORMAT Native", "client_protocol_version", "54405", "max_block_size", "1")
	want := ""
	for i := range 3 {
		want += string(blockInfo) + "\x01\x01\x01n\x05UInt8" + string(rune(i))
	}
	if got != want {
		t.Errorf("three blocks: got %q, want %q", got, want)
	}
	_, got = get(t, helloQuery, "client_protocol_version", "54460", "default_format", "Native")
	if !strings.HasPrefix(got, string(blockInfo)+"\x04\x01\rdisplayName()\x06String\x00\x12gatehouse-embedded") {
		t.Errorf("hello at revision 54460: %q", got)
	}
}

// TestWebPagesAreRefused covers a browser that was led here by DNS rebinding
// or by a page's script.
func TestWebPagesAreRefused(t *testing.T) {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(engines.ClickHouse().URL, "http://"))
	for _, h := range []map[string]string{
		{"Host": "evil.example"}, {"Host": "evil.example:" + port}, {"Host": "127.0.0.1.evil.example"}, {"Host": "169.254.169.254"}, {"Host": "localhost.evil.example"},
		{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
	} {
		call{path: "/?query=SELECT+1", header: h, status: 403, want: "refused: …"}.check(t)
	}
	for _, h := range []map[string]string{{"Host": "localhost:" + port}, {"Host": "[::1]:" + port}, {"Host": "127.0.0.1"}, {"Origin": "http://localhost:9470"}} {
		call{path: "/?query=SELECT+1", header: h, want: "1\n"}.check(t)
	}
}

func TestGzip(t *testing.T) {
	table := newTable(t, "(a UInt64) ENGINE = MergeTree ORDER BY a")
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	io.WriteString(zip, "1\n2\n")
	zip.Close()
	call{method: "POST", path: "/?query=INSERT+INTO+" + table + "+FORMAT+CSV", body: zipped.String(), header: map[string]string{"Content-Encoding": "gzip"}, auth: true}.check(t)
	resp, body := call{path: "/?enable_http_compression=1&query=SELECT+sum(a)+FROM+" + table, header: map[string]string{"Accept-Encoding": "gzip"}}.do(t)
	if resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("answer is not gzip: %q", body)
	}
	unzip, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(unzip)
	if diff := cmp.Diff("3\n", string(plain)); diff != "" || err != nil {
		t.Errorf("%s (%v)", diff, err)
	}
}

// TestSlowStatement fails after it sent rows, longer after them than a client
// may take to read: the exception must still arrive.
func TestSlowStatement(t *testing.T) {
	f := newFront(engines.clickhouse, slog.New(slog.DiscardHandler))
	f.timeout = time.Second
	server := httptest.NewServer(f)
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/?max_block_size=1&query=SELECT+throwIf(number=1+AND+sleep(1.5)=0)+FROM+numbers(2)")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(string(body), "0\n") || !strings.Contains(string(body), "\r\n__exception__\r\n"+resp.Header.Get("X-ClickHouse-Exception-Tag")) {
		t.Errorf("got %q (%v)", body, err)
	}
}

// TestWaitEndOfQuery holds a result back until it is known to be whole.
func TestWaitEndOfQuery(t *testing.T) {
	const failsLate = "SELECT throwIf(number = 600000) FROM numbers(1000000) FORMAT CSV"
	if status, body := get(t, failsLate); status != 200 || !strings.Contains(body, "__exception__") {
		t.Errorf("a late exception at once: status %d, %d bytes", status, len(body))
	}
	if status, body := get(t, failsLate, "wait_end_of_query", "1"); status != 400 || !strings.HasPrefix(body, "Code: 395.") {
		t.Errorf("a late exception held back: status %d, body %.100q", status, body)
	}
	if status, body := get(t, "SELECT 1", "wait_end_of_query", "1"); status != 200 || body != "1\n" {
		t.Errorf("a result held back: %d %q", status, body)
	}
	if status, body := get(t, "SELECT repeat('x', 1000) FROM numbers(100000)", "wait_end_of_query", "1"); status != 400 || !strings.HasPrefix(body, "Code: 396.") {
		t.Errorf("a result too large to hold: status %d, body %.200q", status, body)
	}
}

// TestGoneClientIsCancelled starts a statement that never ends by itself and
// hangs up.
func TestGoneClientIsCancelled(t *testing.T) {
	running := func() bool {
		_, body := get(t, "SELECT count() FROM system.processes WHERE query LIKE '%gone-client%' AND query NOT LIKE '%system.processes%'")
		return body != "0\n"
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", engines.ClickHouse().URL+"/?query=SELECT+count(),'gone-client'+FROM+numbers(1000000000000)+WHERE+sipHash64(number)=1&max_rows_to_read=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(engines.ClickHouse().WriteUser, engines.ClickHouse().WritePassword)
	ended := make(chan error, 1)
	go func() {
		_, err := http.DefaultClient.Do(req)
		ended <- err
	}()
	eventually(t, "the statement runs", running)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	eventually(t, "the statement is gone", func() bool { return !running() })
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("waited too long until %s", what)
		case <-tick.C:
		}
	}
}
