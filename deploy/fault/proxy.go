package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Proxy passes requests on to one ClickHouse server, except where a fault is
// armed. A client that should have faults of its own gets a Proxy of its own.
type Proxy struct {
	target    *url.URL
	listener  net.Listener
	server    *http.Server
	transport *http.Transport
	ctx       context.Context // of requests whose client may be gone
	cancel    context.CancelFunc
	done      chan struct{}

	mu     sync.Mutex
	armed  *Armed
	thrown map[int]int
	busy   int
}

// Limits of a request: what is larger is refused with status 413.
const (
	maxBody     = 256 << 20
	readTimeout = 10 * time.Second // of a request's head
)

// New starts a proxy on a free loopback port in front of the server at target,
// such as http://127.0.0.1:8123. Close stops it.
func New(target string) (*Proxy, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("start fault proxy: target %q: want http://host:port", target)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start fault proxy: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{
		target: u, listener: listener, ctx: ctx, cancel: cancel, done: make(chan struct{}),
		transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}, thrown: map[int]int{},
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: readTimeout}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(listener) // ends with Close
	}()
	return p, nil
}

// URL is where clients reach the proxy.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Arm puts a fault in place and releases the one before.
func (p *Proxy) Arm(f Fault) (*Armed, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	a := newArmed(f)
	p.mu.Lock()
	before := p.armed
	p.armed = a
	p.mu.Unlock()
	if before != nil {
		before.Release()
	}
	return a, nil
}

// Exceptions counts the exceptions that the server itself has thrown, by code.
func (p *Proxy) Exceptions() map[int]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[int]int{}
	for code, n := range p.thrown {
		out[code] = n
	}
	return out
}

// Busy is how many requests the server is working on. A frozen client may have
// sent its last one, and that ends without it.
func (p *Proxy) Busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy
}

func (p *Proxy) working(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy += n
}

// Close breaks every connection and drops what is held.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.server.Close()
	<-p.done
	p.transport.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("close fault proxy: %w", err)
	}
	return nil
}

// request is one request, whole.
type request struct {
	from      *http.Request
	statement string
	body      []byte
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	req := &request{from: r, statement: statementOf(r, body), body: body}
	p.mu.Lock()
	a := p.armed
	p.mu.Unlock()
	if a == nil || !a.take(req.statement) {
		p.pass(w, r.Context(), req)
		return
	}
	p.hit(w, req, a)
}

// statementOf is the SQL of a request: a parameter, or the beginning of the body.
func statementOf(r *http.Request, body []byte) string {
	if s := r.URL.Query().Get("query"); s != "" {
		return strings.TrimSpace(s)
	}
	const enough = 4 << 10
	return strings.TrimSpace(string(body[:min(len(body), enough)]))
}

// pass asks the server and gives its answer to the client.
func (p *Proxy) pass(w http.ResponseWriter, ctx context.Context, req *request) Answer {
	res, err := p.ask(ctx, req, bytes.NewReader(req.body))
	if err != nil {
		reset(w) // never return without it: an empty answer would be a success
		return Answer{Err: err}
	}
	defer res.Body.Close()
	give(w, res)
	return answerOf(res)
}

// ask sends a request on and waits for the beginning of the answer.
func (p *Proxy) ask(ctx context.Context, req *request, body io.Reader) (*http.Response, error) {
	u := *req.from.URL
	u.Scheme, u.Host = p.target.Scheme, p.target.Host
	out, err := http.NewRequestWithContext(ctx, req.from.Method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("pass request on: %w", err)
	}
	out.Header = req.from.Header.Clone()
	out.ContentLength = int64(len(req.body))
	p.working(1)
	res, err := p.transport.RoundTrip(out)
	p.working(-1)
	if err != nil {
		return nil, fmt.Errorf("pass request on: %w", err)
	}
	if code := answerOf(res).Code; code != 0 {
		p.mu.Lock()
		p.thrown[code]++
		p.mu.Unlock()
	}
	return res, nil
}

func answerOf(res *http.Response) Answer {
	code, _ := strconv.Atoi(res.Header.Get(exceptionHeader)) // absent: 0
	return Answer{Status: res.StatusCode, Code: code}
}

// give copies an answer to the client as it comes.
func give(w http.ResponseWriter, res *http.Response) {
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(res.StatusCode)
	flush := http.NewResponseController(w)
	buf := make([]byte, 64<<10)
	for {
		n, err := res.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			_ = flush.Flush()
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			reset(w)
			return
		}
	}
}

// reset breaks the client's connection so that it notices at once.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the answer has begun: the server breaks it
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// dump is the head of an answer with a length that is longer than what follows.
func dump(res *http.Response) []byte {
	const more = 64
	length := max(res.ContentLength, 0) + more
	res.Header.Set("Content-Length", strconv.FormatInt(length, 10))
	res.ContentLength, res.TransferEncoding = length, nil
	head, err := httputil.DumpResponse(res, false)
	if err != nil {
		return nil
	}
	return head
}
