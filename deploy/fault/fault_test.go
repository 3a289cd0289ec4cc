package fault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/deploy/fault"
)

const insert = "INSERT INTO audit.events FORMAT Native"

// server is a ClickHouse that takes everything whole and remembers it.
type server struct {
	*httptest.Server
	code int // of the exception that it answers with; 0 is none

	mu     sync.Mutex
	bodies []string
}

func newServer(t *testing.T) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // broken off: nothing is stored
		}
		s.mu.Lock()
		s.bodies = append(s.bodies, string(body))
		s.mu.Unlock()
		if s.code != 0 {
			w.Header().Set("X-ClickHouse-Exception-Code", "243")
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, "done")
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) stored() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bodies...)
}

func newProxy(t *testing.T, s *server) *fault.Proxy {
	t.Helper()
	p, err := fault.New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func arm(t *testing.T, p *fault.Proxy, f fault.Fault) *fault.Armed {
	t.Helper()
	a, err := p.Arm(f)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// answer is what a client got.
type answer struct {
	status int
	code   string
	body   string
	err    error
}

// send makes one request of a client that keeps no connection.
func send(ctx context.Context, p *fault.Proxy, statement, body string) answer {
	u := p.URL() + "/?" + url.Values{"query": {statement}, "insert_deduplication_token": {"t1"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header.Get("X-ClickHouse-Exception-Code"), string(got), err}
}

func TestPassesWhatIsNotMeant(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, s)
	if got := send(t.Context(), p, insert, "rows"); got.status != 200 || got.body != "done" {
		t.Errorf("without a fault: %+v", got)
	}
	a := arm(t, p, fault.Fault{Kind: fault.Fail, Code: 252, Statement: "audit.events", Times: 1})
	if got := send(t.Context(), p, "INSERT INTO audit.dead_letters FORMAT Native", "x"); got.status != 200 {
		t.Errorf("another table: %+v", got)
	}
	got := send(t.Context(), p, insert, "rows")
	if got.status != 500 || got.code != "252" || !strings.Contains(got.body, "Code: 252. DB::Exception: planted by the fault suite. (TOO_MANY_PARTS)") {
		t.Errorf("the insert: %+v", got)
	}
	if got := send(t.Context(), p, insert, "rows"); got.status != 200 {
		t.Errorf("after the one time: %+v", got)
	}
	if a.Count() != 1 {
		t.Errorf("hit %d times: want 1", a.Count())
	}
}

// What a client and a server see of each kind of fault.
func TestKinds(t *testing.T) {
	for _, c := range []struct {
		fault  fault.Fault
		stored int  // requests that the server has whole
		broken bool // the client sees a connection that breaks
	}{
		{fault.Fault{Kind: fault.Delay, Delay: time.Millisecond}, 1, false},
		{fault.Fault{Kind: fault.Refuse}, 0, true},
		{fault.Fault{Kind: fault.CutRequest}, 0, true},
		{fault.Fault{Kind: fault.CutAnswer}, 1, true},
		{fault.Fault{Kind: fault.LoseAnswer}, 1, true},
		{fault.Fault{Kind: fault.Repeat, Copies: 100}, 100, false},
	} {
		t.Run(string(c.fault.Kind), func(t *testing.T) {
			s := newServer(t)
			p := newProxy(t, s)
			a := arm(t, p, c.fault)
			got := send(t.Context(), p, insert, strings.Repeat("row", 1<<16))
			if broken := got.err != nil; broken != c.broken {
				t.Errorf("client got %d, %v: want broken %v", got.status, got.err, c.broken)
			}
			stored := s.stored()
			if len(stored) != c.stored {
				t.Errorf("server has %d requests: want %d", len(stored), c.stored)
			}
			for _, body := range stored {
				if len(body) != 3<<16 {
					t.Errorf("server has %d bytes: want all", len(body))
				}
			}
			h := <-a.Hits()
			if h.Statement != insert || h.Token != "t1" || h.Bytes != 3<<16 {
				t.Errorf("hit %q, token %q, %d bytes", h.Statement, h.Token, h.Bytes)
			}
			if c.stored > 0 {
				if got := <-h.Answer; got.Status != 200 || got.Err != nil {
					t.Errorf("server's answer %+v", got)
				}
			}
		})
	}
}

func TestRefuseIsAReset(t *testing.T) {
	p := newProxy(t, newServer(t))
	arm(t, p, fault.Fault{Kind: fault.Refuse})
	if got := send(t.Context(), p, insert, "rows"); !errors.Is(got.err, syscall.ECONNRESET) && !errors.Is(got.err, io.EOF) {
		t.Errorf("%v: want a reset", got.err)
	}
}

// A held request reaches the server although its client has gone.
func TestHeldRequestOutlivesItsClient(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, s)
	a := arm(t, p, fault.Fault{Kind: fault.HoldRequest, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan answer, 1)
	go func() { gone <- send(ctx, p, insert, "late") }()
	h := <-a.Hits()
	cancel()
	if got := <-gone; got.err == nil {
		t.Errorf("the client that went got %+v", got)
	}
	if got := send(t.Context(), p, insert, "early"); got.status != 200 {
		t.Errorf("another client meanwhile: %+v", got)
	}
	a.Release()
	if got := <-h.Answer; got.Status != 200 {
		t.Errorf("the held request: %+v", got)
	}
	if got := s.stored(); len(got) != 2 || got[1] != "late" {
		t.Errorf("server has %q: want early, then late", got)
	}
}

// A held answer is told of when the server has the request, and comes when it is
// released.
func TestHeldAnswer(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, s)
	a := arm(t, p, fault.Fault{Kind: fault.HoldAnswer})
	got := make(chan answer, 1)
	go func() { got <- send(t.Context(), p, insert, "rows") }()
	h := <-a.Hits()
	if answer := <-h.Answer; answer.Status != 200 {
		t.Errorf("server answered %+v", answer)
	}
	select {
	case early := <-got:
		t.Errorf("client got %+v before the release", early)
	default:
	}
	a.Release()
	if late := <-got; late.status != 200 || late.body != "done" {
		t.Errorf("client got %+v", late)
	}
}

func TestArmingReleasesTheOneBefore(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, s)
	first := arm(t, p, fault.Fault{Kind: fault.HoldRequest})
	got := make(chan answer, 1)
	go func() { got <- send(t.Context(), p, insert, "held") }()
	<-first.Hits()
	arm(t, p, fault.Fault{Kind: fault.Fail, Code: 241})
	if a := <-got; a.status != 200 {
		t.Errorf("what was held: %+v", a)
	}
	if a := send(t.Context(), p, insert, "x"); a.code != "241" {
		t.Errorf("the new fault: %+v", a)
	}
}

// Repeat stops at the first error, and the server's own exceptions are counted.
func TestServersOwnExceptions(t *testing.T) {
	s := newServer(t)
	s.code = 243
	p := newProxy(t, s)
	arm(t, p, fault.Fault{Kind: fault.Repeat, Copies: 10})
	if got := send(t.Context(), p, insert, "x"); got.code != "243" || len(s.stored()) != 1 {
		t.Errorf("%+v after %d requests", got, len(s.stored()))
	}
	if got := p.Exceptions(); got[243] != 1 {
		t.Errorf("exceptions %v", got)
	}
}

// Close ends what is held.
func TestCloseDropsWhatIsHeld(t *testing.T) {
	s := newServer(t)
	p, err := fault.New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	a := arm(t, p, fault.Fault{Kind: fault.HoldRequest})
	got := make(chan answer, 1)
	go func() { got <- send(t.Context(), p, insert, "held") }()
	<-a.Hits()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.err == nil || len(s.stored()) != 0 {
		t.Errorf("client got %+v, server has %q", a, s.stored())
	}
}

func TestValidate(t *testing.T) {
	p := newProxy(t, newServer(t))
	for _, f := range []fault.Fault{
		{}, {Kind: "slow"}, {Kind: fault.Delay}, {Kind: fault.Fail}, {Kind: fault.Repeat},
	} {
		if _, err := p.Arm(f); err == nil {
			t.Errorf("%+v: no error", f)
		}
	}
	for _, target := range []string{"", "127.0.0.1:8123", "https://x", "http://"} {
		if _, err := fault.New(target); err == nil {
			t.Errorf("target %q: no error", target)
		}
	}
}

// A statement in the body is seen too: that is how selects come.
func TestStatementInTheBody(t *testing.T) {
	s := newServer(t)
	p := newProxy(t, s)
	arm(t, p, fault.Fault{Kind: fault.Fail, Code: 159, Statement: "SELECT version"})
	res, err := http.Post(p.URL(), "text/plain", bytes.NewBufferString("\nSELECT version()"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("X-ClickHouse-Exception-Code"); got != "159" {
		t.Errorf("exception %q: want 159", got)
	}
}
