package embedded

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// reply writes the answer to one request. Nothing is sent before the first
// output, so an early exception still has its own status.
type reply struct {
	w       http.ResponseWriter
	engine  *sqlEngine
	out     io.Writer     // through all encodings
	raw     io.Writer     // without the engine's framing
	held    *bytes.Buffer // what is sent when the statement has ended; nil: sent at once
	close   func() error
	format  string
	prefix  []byte // goes before each Native block
	tag     string // marks an exception in a stream that has begun
	started bool
	timeout time.Duration // for each write
}

func newReply(w http.ResponseWriter, req *request) *reply {
	r := &reply{w: w, out: w, raw: w, close: func() error { return nil }, format: req.format, tag: rand.Text()[:exceptionTagLen]}
	if req.hold {
		r.held = &bytes.Buffer{}
		r.out, r.raw = r.held, r.held
	}
	w.Header().Set("X-ClickHouse-Query-Id", req.id)
	w.Header().Set("X-ClickHouse-Timezone", "UTC")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case req.compress:
		r.out = &frameWriter{out: r.raw}
	case req.gzip:
		zip := gzip.NewWriter(r.raw)
		r.out, r.raw, r.close = zip, zip, zip.Close
		w.Header().Set("Content-Encoding", "gzip")
	}
	if blockRevision(req.revision) >= revisionBlockInfo {
		r.prefix = blockInfo
	}
	return r
}

// exceptionTagLen is the length clients expect.
const exceptionTagLen = 16

func (r *reply) start() {
	if r.started {
		return
	}
	r.started = true
	r.w.Header().Set("Content-Type", contentType(r.format))
	r.w.Header().Set("X-ClickHouse-Format", r.format)
	r.w.Header().Set("X-ClickHouse-Exception-Tag", r.tag)
}

// chunk sends a piece of the engine's output; in Native it is one block.
func (r *reply) chunk(data []byte) error {
	if r.format == "Native" && r.prefix != nil {
		if err := r.write(r.prefix); err != nil {
			return err
		}
	}
	return r.write(data)
}

// write sends bytes as they are, but for the compression asked for.
func (r *reply) write(data []byte) error {
	r.start()
	if err := r.extend(); err != nil {
		return err
	}
	if _, err := r.out.Write(data); err != nil {
		return fmt.Errorf("write response: %w", err)
	}
	if r.held != nil && r.held.Len() > maxHeldBytes {
		return frontError(codeTooManyBytes, "the result is larger than %d bytes, more than wait_end_of_query holds back: drop that parameter (TOO_MANY_ROWS_OR_BYTES)", maxHeldBytes)
	}
	return nil
}

// writeTimeout is how long a client may take to read one piece of a result.
const writeTimeout = 60 * time.Second

// extend gives the client time for the next piece: one that stops reading must
// not hold its engine session for ever.
func (r *reply) extend() error {
	if err := http.NewResponseController(r.w).SetWriteDeadline(time.Now().Add(r.timeout)); err != nil {
		return fmt.Errorf("write response: %w", err)
	}
	return nil
}

// maxHeldBytes bounds a result that is held back until its statement ends.
const maxHeldBytes = 64 << 20

// summary tells what the statement did, in a server's words.
func (r *reply) summary(p progress) {
	r.w.Header().Set("X-ClickHouse-Summary", fmt.Sprintf(
		`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d"}`,
		p.readRows, p.readBytes, p.writtenRows, p.writtenBytes))
}

// finish ends the answer: with the exception if there was one, as status and
// text before the first output and as a marked block after it. It returns err
// if it is worth a log line.
func (r *reply) finish(err error) error {
	// The last piece may have gone out long ago.
	err = errors.Join(err, r.extend())
	switch {
	case err == nil:
		return errors.Join(r.close(), r.release())
	case isGone(err):
		return nil
	case r.started && r.held == nil:
		return errors.Join(err, r.exceptionBlock(err), r.close())
	}
	r.w.Header().Del("Content-Encoding")
	r.w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	r.w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(exceptionCode(err)))
	if httpStatus(err) == http.StatusUnauthorized {
		r.w.Header().Set("WWW-Authenticate", `Basic realm="gatehouse"`)
	}
	r.w.WriteHeader(httpStatus(err))
	fmt.Fprintln(r.w, exceptionText(err))
	return err
}

// release sends what was held back.
func (r *reply) release() error {
	if r.held == nil {
		return nil
	}
	_, err := r.w.Write(r.held.Bytes())
	return err
}

// exceptionBlock reports an exception inside a body that has begun. The tag was
// announced in a header, so that data which looks like a block is not taken
// for one. It goes inside a Content-Encoding but not inside the engine's own
// framing, where clients look for it.
func (r *reply) exceptionBlock(err error) error {
	text := exceptionText(err)
	_, werr := fmt.Fprintf(r.raw, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", r.tag, text, len(text), r.tag)
	return werr
}

func exceptionCode(err error) int {
	var e *engineError
	if errors.As(err, &e) {
		return e.code
	}
	return codeUnknownException
}

func exceptionText(err error) string {
	var e *engineError
	if errors.As(err, &e) {
		return strings.TrimSpace(e.text)
	}
	return newEngineError(err.Error()).text
}

// contentType is what a server sends for an output format.
func contentType(format string) string {
	switch {
	case strings.HasPrefix(format, "JSONEachRow"), strings.HasPrefix(format, "JSONCompactEachRow"):
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(format, "JSON"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(format, "CSV"):
		return "text/csv; charset=UTF-8; header=" + headerPresence(format)
	case strings.HasPrefix(format, "TabSeparated"), strings.HasPrefix(format, "TSV"):
		return "text/tab-separated-values; charset=UTF-8"
	case format == "Native", format == "RowBinary", format == "Parquet", strings.HasPrefix(format, "Arrow"):
		return "application/octet-stream"
	default:
		return "text/plain; charset=UTF-8"
	}
}

func headerPresence(format string) string {
	if strings.Contains(format, "WithNames") {
		return "present"
	}
	return "absent"
}
