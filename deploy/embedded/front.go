package embedded

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Exception codes of the engine that the front raises or treats by itself.
const (
	codeBadArguments         = 36
	codeUnknownTable         = 60
	codeSyntaxError          = 62
	codeUnknownDatabase      = 81
	codeUnknownSetting       = 115
	codeTimeout              = 159
	codeReadonly             = 164
	codeTooManyQueries       = 202
	codeMemoryLimit          = 241
	codeTooManyBytes         = 396
	codeAccessDenied         = 497
	codeAuthenticationFailed = 516
	codeUnknownException     = 1002
)

// Statements of each role that run at once; more wait for their turn.
const (
	maxReaders = 8
	maxWriters = 8
)

// role is what a connection may do.
type role uint8

const (
	roleRead  role = iota // gated, readonly, limited
	roleWrite             // what the engine's grants allow: create and insert
)

// front serves the engine over ClickHouse's HTTP protocol. It keeps no state
// between requests: each request is an engine session of its own, so settings,
// parameters and the current database never leak into another.
type front struct {
	c     *sqlEngine
	log   *slog.Logger
	slots map[role]chan struct{}
	mux   *http.ServeMux
	// timeout is how long a client may take to read one piece of an answer.
	timeout time.Duration
	// running counts requests, each of which may hold an engine session.
	running sync.WaitGroup
}

func newFront(c *sqlEngine, log *slog.Logger) *front {
	f := &front{c: c, log: log, mux: http.NewServeMux(), timeout: writeTimeout, slots: map[role]chan struct{}{
		roleRead:  make(chan struct{}, maxReaders),
		roleWrite: make(chan struct{}, maxWriters),
	}}
	f.mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "Ok.\n") })
	f.mux.HandleFunc("GET /{$}", f.handle)
	f.mux.HandleFunc("POST /{$}", f.handle)
	return f
}

// ServeHTTP refuses what a web page in the user's browser could send before
// anything else looks at the request.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !fromThisMachine(r) {
		http.Error(w, "refused: this server answers only requests for localhost, 127.0.0.1 or [::1] that do not come from a web page", http.StatusForbidden)
		return
	}
	f.mux.ServeHTTP(w, r)
}

// fromThisMachine tells a client that means this server from a page of another
// site: by DNS rebinding it would carry that site's name as host, else that
// site as origin.
func fromThisMachine(r *http.Request) bool {
	if !isLoopback(hostOnly(r.Host)) {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Header.Get("Sec-Fetch-Site") != "cross-site"
	}
	u, err := url.Parse(origin)
	return err == nil && isLoopback(u.Hostname())
}

func hostOnly(hostport string) string {
	if u, err := url.Parse("http://" + hostport); err == nil {
		return u.Hostname()
	}
	return ""
}

// handle runs one statement.
func (f *front) handle(w http.ResponseWriter, r *http.Request) {
	f.running.Add(1)
	defer f.running.Done()
	req, err := f.parse(r)
	reply := newReply(w, req)
	reply.engine, reply.timeout = f.c, f.timeout
	if err == nil {
		err = f.run(r.Context(), req, reply)
	}
	if err = reply.finish(err); err != nil {
		f.log.Debug("statement failed", "query_id", req.id, "err", err)
	}
}

// idle returns a channel that is closed once no request is running. It is for
// the end, when no new ones come.
func (f *front) idle() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		f.running.Wait()
		close(done)
	}()
	return done
}

// run waits for a slot, opens the request's session and executes.
func (f *front) run(ctx context.Context, req *request, reply *reply) error {
	slot := f.slots[req.role]
	select {
	case slot <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-slot }()
	s, err := f.c.lib.open(f.c.args...)
	if err != nil {
		return err
	}
	defer s.close()
	if err := req.configure(s); err != nil {
		return err
	}
	stop := f.killWhenGone(ctx, req)
	defer stop()
	return req.execute(ctx, s, reply)
}

// authenticate reads the user from wherever clients put it. Nobody reads;
// only WriteUser with its password writes.
func (f *front) authenticate(r *http.Request) (role, error) {
	user, password := credentials(r)
	switch user {
	case WriteUser:
		if subtle.ConstantTimeCompare([]byte(password), []byte(f.c.access.WritePassword)) == 1 {
			return roleWrite, nil
		}
		return roleRead, frontError(codeAuthenticationFailed,
			"%s: wrong password: it is in the file %s of the data directory (AUTHENTICATION_FAILED)", WriteUser, passwordName)
	case "", "default", "reader":
		if password == "" {
			return roleRead, nil
		}
	}
	return roleRead, frontError(codeAuthenticationFailed,
		"unknown user or password: read without a user, or write as %s (AUTHENTICATION_FAILED)", WriteUser)
}

func credentials(r *http.Request) (user, password string) {
	if user, password, ok := r.BasicAuth(); ok {
		return user, password
	}
	if user := r.Header.Get("X-ClickHouse-User"); user != "" {
		return user, r.Header.Get("X-ClickHouse-Key")
	}
	q := r.URL.Query()
	return q.Get("user"), q.Get("password")
}

// frontError is an exception raised here and not by the engine, in the same
// form.
func frontError(code int, format string, args ...any) *engineError {
	return &engineError{code: code, text: fmt.Sprintf("Code: "+strconv.Itoa(code)+". DB::Exception: "+format, args...)}
}

// httpStatus is the status a server sends with an exception.
func httpStatus(err error) int {
	var e *engineError
	if !errors.As(err, &e) {
		return http.StatusInternalServerError
	}
	switch e.code {
	case codeAuthenticationFailed:
		return http.StatusUnauthorized
	case codeReadonly, codeAccessDenied:
		return http.StatusForbidden
	case codeUnknownTable, codeUnknownDatabase:
		return http.StatusNotFound
	case codeTimeout:
		return http.StatusRequestTimeout
	case codeTooManyQueries, codeMemoryLimit:
		return http.StatusServiceUnavailable
	case codeUnknownException:
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// isGone reports that the client hung up, which is nobody's error.
func isGone(err error) bool {
	var op *net.OpError
	return errors.Is(err, context.Canceled) || errors.As(err, &op)
}
