package embedded

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxStatementBytes bounds a statement without its data; it is the engine's
// own max_query_size.
const maxStatementBytes = 256 << 10

// request is one parsed HTTP request.
type request struct {
	role     role
	id       string // what the client calls the statement, for people
	tag      string // what the engine calls it, for cancelling
	sql      string // the query parameter
	body     *bufio.Reader
	database string
	format   string // output format where the text names none
	revision int    // client_protocol_version
	compress bool   // answer in the engine's compressed framing
	gzip     bool   // answer with Content-Encoding gzip
	hold     bool   // answer only when the statement has ended
	settings []param
	params   []param
}

// parse reads everything but the body's content off the request. The request
// it returns is never nil, so that an error can be answered in kind.
func (f *front) parse(r *http.Request) (*request, error) {
	q := r.URL.Query()
	req := &request{
		id:       q.Get("query_id"),
		sql:      q.Get("query"),
		database: first(q.Get("database"), r.Header.Get("X-ClickHouse-Database")),
		format:   first(r.Header.Get("X-ClickHouse-Format"), q.Get("default_format"), "TabSeparated"),
		tag:      rand.Text(),
		compress: isTrue(q.Get("compress")),
		hold:     isTrue(q.Get("wait_end_of_query")),
		gzip:     isTrue(q.Get("enable_http_compression")) && acceptsGzip(r),
	}
	if req.id == "" {
		req.id = req.tag
	}
	var err error
	if req.role, err = f.authenticate(r); err != nil {
		return req, err
	}
	if text := q.Get("client_protocol_version"); text != "" {
		if req.revision, err = strconv.Atoi(text); err != nil || req.revision < 0 {
			return req, frontError(codeBadArguments, "client_protocol_version %q: want a number (BAD_ARGUMENTS)", text)
		}
	}
	req.readParameters(q)
	return req, req.openBody(r, isTrue(q.Get("decompress")))
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func isTrue(v string) bool { return v == "1" || strings.EqualFold(v, "true") }

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(part), ";"); name == "gzip" {
			return true
		}
	}
	return false
}

// transportParameters are URL parameters that are about the exchange and not
// settings of the statement.
var transportParameters = map[string]bool{
	"query": true, "query_id": true, "database": true, "default_format": true, "user": true, "password": true,
	"quota_key": true, "compress": true, "decompress": true, "client_protocol_version": true, "session_id": true,
	"session_timeout": true, "session_check": true, "stacktrace": true, "role": true, "close_session": true,
	"buffer_size": true, "wait_end_of_query": true, "enable_http_compression": true, "add_http_cors_header": true,
	"http_zlib_compression_level": true, "log_comment": true, "http_write_exception_in_output_format": true,
	"send_progress_in_http_headers": true, "http_headers_progress_interval_ms": true,
	"network_compression_method": true, "network_zstd_compression_level": true,
}

// readParameters sorts the URL parameters: param_x are query parameters, what
// is not transport is a setting.
func (req *request) readParameters(q url.Values) {
	for name, values := range q {
		p := param{name: name, value: values[len(values)-1]}
		if x, ok := strings.CutPrefix(name, "param_"); ok {
			req.params = append(req.params, param{name: x, value: p.value})
		} else if !transportParameters[name] {
			req.settings = append(req.settings, p)
		}
	}
	byName := func(a, b param) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(req.settings, byName)
	slices.SortFunc(req.params, byName)
}

// openBody undoes the body's encodings: Content-Encoding, then the engine's
// compressed framing.
func (req *request) openBody(r *http.Request, framed bool) error {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return frontError(codeBadArguments, "external tables in a multipart body are not supported: insert into a table first (BAD_ARGUMENTS)")
	}
	var body io.Reader = r.Body
	var err error
	switch enc := r.Header.Get("Content-Encoding"); enc {
	case "":
	case "gzip":
		body, err = gzip.NewReader(body)
	case "deflate":
		body, err = zlib.NewReader(body)
	default:
		return frontError(codeBadArguments, "Content-Encoding %q is not supported: use gzip, deflate or none (BAD_ARGUMENTS)", enc)
	}
	if err != nil {
		return frontError(codeBadArguments, "cannot read the request body: %v (BAD_ARGUMENTS)", err)
	}
	if framed {
		body = newFrameReader(body)
	}
	req.body = bufio.NewReaderSize(body, maxStatementBytes+1)
	return nil
}

// configure sets up the session: database, the client's settings, and for
// readers their limits, which come last and cannot be undone.
func (req *request) configure(s *session) error {
	settings := req.settings
	if req.role == roleRead {
		var err error
		if settings, err = readerSettings(settings); err != nil {
			return err
		}
	}
	settings = slices.Concat([]param{{"log_comment", req.tag}}, settings)
	if req.database != "" {
		if _, _, err := s.exec(query{sql: "USE " + quoteIdentifier(req.database), format: "TSV"}); err != nil {
			return err
		}
	}
	_, _, err := s.exec(query{sql: setStatement(settings), format: "TSV"})
	return err
}

func setStatement(settings []param) string {
	var b strings.Builder
	for i, p := range settings {
		b.WriteString([]string{"SET ", ", "}[min(i, 1)])
		b.WriteString(quoteIdentifier(p.name) + " = " + quoteString(p.value))
	}
	return b.String()
}

func quoteIdentifier(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

func quoteString(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// execute tells the kinds of statement apart and runs the one at hand.
func (req *request) execute(ctx context.Context, s *session, out *reply) error {
	text, whole, err := req.head()
	if err != nil {
		return err
	}
	if req.role == roleWrite {
		if ins, ok := parseInsert(text, first(req.insertFormat(), "Values")); ok && ins.inline {
			return req.insert(s, ins, out)
		}
	}
	if !whole {
		return frontError(codeSyntaxError, "statement is longer than %d bytes (SYNTAX_ERROR)", maxStatementBytes)
	}
	return req.answer(ctx, s, text, out)
}

// head returns the statement's text as far as it can reach: the query parameter
// and, unless that is an INSERT, the body behind it. whole is false if more of
// the body follows.
func (req *request) head() (text string, whole bool, err error) {
	body, err := req.body.Peek(maxStatementBytes + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", false, fmt.Errorf("read request body: %w", err)
	}
	if req.sql == "" {
		return string(body), len(body) <= maxStatementBytes, nil
	}
	if _, ok := parseInsert(req.sql, ""); ok || len(body) == 0 {
		return req.sql, true, nil
	}
	return req.sql + "\n" + string(body), len(body) <= maxStatementBytes, nil
}

// insertFormat is the format a client names outside the statement. The default
// output format is none.
func (req *request) insertFormat() string {
	if req.format == "TabSeparated" {
		return ""
	}
	return req.format
}

// insert streams the data, which is the body if the statement came as the
// query parameter, and what follows the statement in the body otherwise.
func (req *request) insert(s *session, ins insertStatement, out *reply) error {
	data := io.Reader(req.body)
	if req.sql != "" {
		data = io.MultiReader(strings.NewReader(req.sql[ins.dataAt:]), req.body)
	} else if _, err := req.body.Discard(ins.dataAt); err != nil {
		return fmt.Errorf("read request body: %w", err)
	}
	done, err := s.insert(ins.head, ins.format, data)
	if err != nil {
		return err
	}
	out.summary(done)
	return nil
}

// answer runs a statement that has no data of its own and sends its output.
func (req *request) answer(ctx context.Context, s *session, sql string, out *reply) error {
	if isHello(sql) && req.format == "Native" {
		return out.write(out.engine.identity.hello(req.revision))
	}
	if req.role == roleRead {
		var err error
		if sql, err = out.engine.gate.admit(s, sql, req.params); err != nil {
			return err
		}
	}
	toks := tokens(sql)
	out.format = first(outputFormat(sql, toks), req.format)
	q := query{sql: sql, format: req.format, params: req.params}
	done, err := s.stream(q, func(chunk []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return out.chunk(chunk)
	})
	if err != nil {
		return err
	}
	if out.started {
		return nil
	}
	out.summary(done)
	if out.format == "Native" {
		return req.emptyNative(s, sql, toks, out)
	}
	return nil
}

// emptyNative sends the columns of an answer without rows, for which the engine
// writes nothing. A statement that has no columns, such as DDL, is not
// describable and stays empty.
func (req *request) emptyNative(s *session, sql string, toks []token, out *reply) error {
	describe := query{sql: "DESCRIBE TABLE (" + withoutFormat(sql, toks) + "\n)", format: "TSVRaw", params: req.params}
	tsv, _, err := s.exec(describe)
	var refused *engineError
	if errors.As(err, &refused) {
		return nil
	}
	if err != nil {
		return err
	}
	return out.write(nativeBlock(parseDescribe(tsv), blockRevision(req.revision)))
}
