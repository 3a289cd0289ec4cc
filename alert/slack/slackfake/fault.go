package slackfake

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// Fault is how one call fails.
type Fault struct {
	// Done: the call takes effect before it fails, so the caller cannot tell.
	Done bool
	// Status is the HTTP status of the answer. 0 drops the connection.
	Status int
	// RetryAfter goes with status 429.
	RetryAfter time.Duration
	// Code is an error of Slack, such as "fatal_error": status 200 and not ok.
	Code string
}

// Fail makes the next calls of a method fail, one fault each.
func (s *Server) Fail(method string, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[method] = append(s.faults[method], faults...)
}

// Outage makes every call fail with 503 until it is ended.
func (s *Server) Outage(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = on
}

func (s *Server) takeFault(method string) (Fault, bool) {
	if s.outage {
		return Fault{Status: http.StatusServiceUnavailable}, true
	}
	queue := s.faults[method]
	if len(queue) == 0 {
		return Fault{}, false
	}
	s.faults[method] = queue[1:]
	return queue[0], true
}

func (s *Server) fail(w http.ResponseWriter, method string, f Fault) {
	if f.Code != "" {
		s.answer(w, method, nil, refuse(f.Code))
		return
	}
	s.note(method, f.Status, "")
	if f.Status == 0 {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	if f.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", fmt.Sprint(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(f.Status)
	fmt.Fprintln(w, "<html>something is wrong</html>")
}

// Transport carries requests to the server without a network, so that tests can
// use a clock of their own. A dropped connection is an error of its kind.
func (s *Server) Transport() http.RoundTripper { return inProcess{s} }

type inProcess struct{ s *Server }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			resp, err = nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
		} else if p != nil {
			panic(p)
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := &recorder{status: http.StatusOK, header: http.Header{}}
	t.s.ServeHTTP(w, r)
	return &http.Response{
		StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// recorder keeps an answer.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }

// APIURL is the base of the API of a server that listens at addr.
func APIURL(addr string) string {
	return (&url.URL{Scheme: "http", Host: addr, Path: "/api/"}).String()
}
