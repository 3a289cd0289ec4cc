package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// libchdb is the loaded engine library: the C functions that are used, bound
// without cgo. The library can be loaded once per process; the engine inside
// it holds one data path per process.
type libchdb struct {
	setSignalHandlers func(enabled int32)
	connect           func(argc int32, argv **byte) unsafe.Pointer // *chdb_connection, nil on failure
	closeConn         func(conn unsafe.Pointer)
	shutdown          func() int32
	classify          func(conn, sql unsafe.Pointer, sqlLen uintptr, db unsafe.Pointer, dbLen uintptr, out unsafe.Pointer) int32

	query        paramQuery
	streamQuery  paramQuery
	streamFetch  func(conn, stream unsafe.Pointer) unsafe.Pointer
	streamCancel func(conn, stream unsafe.Pointer)

	streamInsert  func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr) unsafe.Pointer
	insertAppend  func(stream, data unsafe.Pointer, n uintptr) int32
	insertDone    func(stream unsafe.Pointer) unsafe.Pointer
	insertError   func(stream unsafe.Pointer) unsafe.Pointer
	insertDestroy func(stream unsafe.Pointer)

	resultBuffer  func(result unsafe.Pointer) unsafe.Pointer
	resultLength  func(result unsafe.Pointer) uintptr
	resultError   func(result unsafe.Pointer) unsafe.Pointer
	rowsRead      func(result unsafe.Pointer) uint64
	bytesRead     func(result unsafe.Pointer) uint64
	rowsWritten   func(result unsafe.Pointer) uint64
	bytesWritten  func(result unsafe.Pointer) uint64
	resultDestroy func(result unsafe.Pointer)
}

// paramQuery is the C signature of a query with bound parameters.
type paramQuery func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr,
	names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer

// loadLibchdb maps the library file into the process and binds its functions.
// A file that is not a libchdb of the pinned generation gives an error that
// names the missing function.
func loadLibchdb(path string) (*libchdb, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w; remove the file to have it fetched again, or set %s to another libchdb", path, err, envLibchdb)
	}
	lib := &libchdb{}
	for name, fn := range lib.symbols() {
		addr, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("load %s: function %s is missing: it is not libchdb %s; set %s to a matching file or unset it",
				path, name, engineVersion, envLibchdb)
		}
		purego.RegisterFunc(fn, addr)
	}
	return lib, nil
}

func (l *libchdb) symbols() map[string]any {
	return map[string]any{
		"chdb_set_signal_handlers_enabled": &l.setSignalHandlers,
		"chdb_connect":                     &l.connect,
		"chdb_close_conn":                  &l.closeConn,
		"chdb_shutdown":                    &l.shutdown,
		"chdb_classify_query_n":            &l.classify,
		"chdb_query_with_params_n":         &l.query,
		"chdb_stream_query_with_params_n":  &l.streamQuery,
		"chdb_stream_fetch_result":         &l.streamFetch,
		"chdb_stream_cancel_query":         &l.streamCancel,
		"chdb_stream_insert_n":             &l.streamInsert,
		"chdb_stream_append":               &l.insertAppend,
		"chdb_stream_done":                 &l.insertDone,
		"chdb_stream_insert_error":         &l.insertError,
		"chdb_destroy_insert_stream":       &l.insertDestroy,
		"chdb_result_buffer":               &l.resultBuffer,
		"chdb_result_length":               &l.resultLength,
		"chdb_result_error":                &l.resultError,
		"chdb_result_rows_read":            &l.rowsRead,
		"chdb_result_bytes_read":           &l.bytesRead,
		"chdb_result_rows_written":         &l.rowsWritten,
		"chdb_result_bytes_written":        &l.bytesWritten,
		"chdb_destroy_query_result":        &l.resultDestroy,
	}
}

// session is one engine connection. It runs one statement at a time and is
// not safe for concurrent use; sessions are independent of each other.
type session struct {
	lib  *libchdb
	slot unsafe.Pointer // chdb_connection *, what closeConn wants
	conn unsafe.Pointer // chdb_connection
}

// open connects with the given engine arguments ("--path=…", "--max_threads=2").
// The first connection of a process boots the engine.
func (l *libchdb) open(args ...string) (*session, error) {
	argv := make([]*byte, 0, len(args)+1)
	for _, arg := range append([]string{"clickhouse"}, args...) {
		argv = append(argv, &append([]byte(arg), 0)[0])
	}
	slot := l.connect(int32(len(argv)), &argv[0])
	runtime.KeepAlive(argv)
	if slot == nil {
		return nil, errors.New("connect to the engine: refused: a process can hold one SQL engine at a time; " +
			"if it holds none yet, the engine's files are damaged, or written by a newer engine than " + engineVersion)
	}
	return &session{lib: l, slot: slot, conn: *(*unsafe.Pointer)(slot)}, nil
}

func (s *session) close() { s.lib.closeConn(s.slot) }

// engineError is an exception of the engine: its code, and its text in the
// server's own form "Code: N. DB::Exception: …".
type engineError struct {
	code int
	text string
}

// Error returns the text as the engine wrote it.
func (e *engineError) Error() string { return e.text }

// newEngineError reads the code off the text; text without one counts as
// UNKNOWN_EXCEPTION, so that clients always get a code.
func newEngineError(text string) *engineError {
	text = strings.TrimPrefix(strings.TrimSpace(text), "Error: ")
	if rest, ok := strings.CutPrefix(text, "Code: "); ok {
		digits, _, _ := strings.Cut(rest, ".")
		if code, err := strconv.Atoi(digits); err == nil {
			return &engineError{code: code, text: text}
		}
	}
	return &engineError{code: codeUnknownException, text: fmt.Sprintf("Code: %d. DB::Exception: %s", codeUnknownException, text)}
}

// analysis mirrors chdb_query_analysis_v1.
type analysis struct{ structSize, statementCount, flags, class uint32 }

// classReadOnly is the class of statements that leave no trace.
const classReadOnly = 0

// classify has the engine's parser count the statements of the text and say
// what they may change. Text that does not parse counts 0.
func (s *session) classify(sql string) (count, class uint32) {
	a := analysis{structSize: uint32(unsafe.Sizeof(analysis{}))}
	if s.lib.classify(s.conn, stringPtr(sql), uintptr(len(sql)), nil, 0, unsafe.Pointer(&a)) != 0 {
		return 0, 0
	}
	runtime.KeepAlive(sql)
	return a.statementCount, a.class
}

// query is a statement with what it is bound to and how it answers.
type query struct {
	sql    string
	format string // output format where the text has no FORMAT clause
	params []param
}

func (s *session) call(fn paramQuery, q query) unsafe.Pointer {
	c := newCParams(q.params)
	res := fn(s.conn, stringPtr(q.sql), uintptr(len(q.sql)), stringPtr(q.format), uintptr(len(q.format)),
		c.names, c.nameLens, c.values, c.valueLens, uintptr(len(q.params)))
	runtime.KeepAlive(q)
	runtime.KeepAlive(c)
	return res
}

// exec runs one statement and returns its whole output: for statements with a
// small answer.
func (s *session) exec(q query) ([]byte, progress, error) {
	res := s.call(s.lib.query, q)
	defer s.lib.resultDestroy(res)
	if err := s.lib.failure(res); err != nil {
		return nil, progress{}, err
	}
	var done progress
	done.add(s.lib, res)
	return bytes.Clone(s.lib.bytes(res)), done, nil
}

// failure returns the exception a result carries, or nil.
func (l *libchdb) failure(res unsafe.Pointer) error {
	if text := goString(l.resultError(res)); text != "" {
		return newEngineError(text)
	}
	return nil
}

// bytes views the output a result holds; valid until the result is destroyed.
func (l *libchdb) bytes(res unsafe.Pointer) []byte {
	n := l.resultLength(res)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(l.resultBuffer(res)), n)
}

// param is a query parameter: {name:Type} in the text, the value in the
// engine's text form.
type param struct{ name, value string }

// stream runs a statement and hands its output to emit chunk by chunk; in
// Native a chunk is one block. Memory stays bounded by a chunk. An error of
// emit cancels the statement and is returned.
func (s *session) stream(q query, emit func(chunk []byte) error) (progress, error) {
	st := s.call(s.lib.streamQuery, q)
	defer s.lib.resultDestroy(st)
	if err := s.lib.failure(st); err != nil {
		if isNotStreamable(err) {
			return s.whole(q, emit)
		}
		return progress{}, err
	}
	var done progress
	for {
		n, err := s.fetch(st, &done, emit)
		if err != nil {
			s.lib.streamCancel(s.conn, st)
			return done, err
		}
		if n == 0 {
			return done, nil
		}
	}
}

// isNotStreamable tells the engine's refusal to stream a statement (SHOW, DDL),
// which it makes before running any of it.
func isNotStreamable(err error) bool {
	var e *engineError
	return errors.As(err, &e) && e.code == codeBadArguments && strings.Contains(e.text, "Streaming query is not supported")
}

func (s *session) whole(q query, emit func(chunk []byte) error) (progress, error) {
	out, done, err := s.exec(q)
	if err != nil || len(out) == 0 {
		return done, err
	}
	return done, emit(out)
}

// insert sends data, in the given input format, to an INSERT without FORMAT
// clause. If reading data fails the insert is cancelled: blocks that were
// already written stay, as in a server, so one block is all or nothing.
func (s *session) insert(sql, format string, data io.Reader) (progress, error) {
	st := s.lib.streamInsert(s.conn, stringPtr(sql), uintptr(len(sql)), stringPtr(format), uintptr(len(format)))
	runtime.KeepAlive(sql)
	runtime.KeepAlive(format)
	defer s.lib.insertDestroy(st) // cancels what was not finished
	if text := goString(s.lib.insertError(st)); text != "" {
		return progress{}, newEngineError(text)
	}
	if err := s.feed(st, data); err != nil {
		return progress{}, err
	}
	res := s.lib.insertDone(st)
	defer s.lib.resultDestroy(res)
	if err := s.lib.failure(res); err != nil {
		return progress{}, err
	}
	var done progress
	done.add(s.lib, res)
	return done, nil
}

// insertChunkBytes is how much of an insert's data is handed over at once.
const insertChunkBytes = 1 << 20

// feed hands over all of data, which has ended properly only at io.EOF: a body
// that breaks off ends in another error and must not pass for a short one.
func (s *session) feed(st unsafe.Pointer, data io.Reader) error {
	buf := make([]byte, insertChunkBytes)
	for n := 0; ; {
		m, err := data.Read(buf[n:])
		n += m
		if n == len(buf) || err == io.EOF && n > 0 {
			if s.lib.insertAppend(st, unsafe.Pointer(&buf[0]), uintptr(n)) != 0 {
				return newEngineError(goString(s.lib.insertError(st)))
			}
			n = 0
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read insert data: %w", err)
		}
	}
}

// fetch takes one chunk off a stream and returns its size; 0 is the end.
func (s *session) fetch(st unsafe.Pointer, done *progress, emit func([]byte) error) (int, error) {
	res := s.lib.streamFetch(s.conn, st)
	defer s.lib.resultDestroy(res)
	if err := s.lib.failure(res); err != nil {
		return 0, err
	}
	done.add(s.lib, res)
	chunk := s.lib.bytes(res)
	if len(chunk) == 0 {
		return 0, nil
	}
	return len(chunk), emit(chunk)
}

// progress counts what a statement read and wrote, for X-ClickHouse-Summary.
type progress struct {
	readRows, readBytes, writtenRows, writtenBytes uint64
}

func (p *progress) add(l *libchdb, res unsafe.Pointer) {
	p.readRows += l.rowsRead(res)
	p.readBytes += l.bytesRead(res)
	p.writtenRows += l.rowsWritten(res)
	p.writtenBytes += l.bytesWritten(res)
}

// cParams holds parameters in the C layout: four parallel arrays.
type cParams struct {
	params                             []param
	nameArr, valueArr                  []unsafe.Pointer
	nameLen, valueLen                  []uintptr
	names, nameLens, values, valueLens unsafe.Pointer
}

func newCParams(params []param) *cParams {
	c := &cParams{params: params}
	if len(params) == 0 {
		return c
	}
	for _, p := range params {
		c.nameArr = append(c.nameArr, stringPtr(p.name))
		c.nameLen = append(c.nameLen, uintptr(len(p.name)))
		c.valueArr = append(c.valueArr, stringPtr(p.value))
		c.valueLen = append(c.valueLen, uintptr(len(p.value)))
	}
	c.names, c.nameLens = unsafe.Pointer(&c.nameArr[0]), unsafe.Pointer(&c.nameLen[0])
	c.values, c.valueLens = unsafe.Pointer(&c.valueArr[0]), unsafe.Pointer(&c.valueLen[0])
	return c
}

// stringPtr is the address of the text; the engine takes lengths, so no
// terminator is needed. It is never nil, because the library reads a nil
// text of length 0 as an error.
func stringPtr(s string) unsafe.Pointer {
	if s == "" {
		s = " "
	}
	return unsafe.Pointer(unsafe.StringData(s))
}

// goString copies a NUL-terminated text.
func goString(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}
