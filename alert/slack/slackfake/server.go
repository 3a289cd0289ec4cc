package slackfake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Channel is a conversation of the workspace.
type Channel struct {
	ID, Name string
	Private  bool
	Archived bool
	// NotMember is a channel that the app was not invited to.
	NotMember bool
}

// DefaultToken and DefaultChannel are what a Config without them gets.
const (
	DefaultToken   = "xoxb-0000-fake-token"
	DefaultChannel = "C0000ALERT"
)

// Config configures a [Server]. The zero value is a workspace with one channel
// and a token that may do everything.
type Config struct {
	// Token is the only valid token. "" = DefaultToken.
	Token string
	// Scopes are what the token may do. nil = all that the server knows.
	Scopes []string
	// Channels are the conversations. nil = DefaultChannel, named alerts.
	Channels []Channel
	// Burst is how many posts a channel takes at once; one more every second. 0
	// = no limit.
	Burst int
	// HistoryLag is how long after it was posted a message appears in
	// histories.
	HistoryLag time.Duration
	// Now is the clock. nil = time.Now.
	Now func() time.Time
}

// Message is one message, as it is now.
type Message struct {
	Channel   string
	TS        string
	Thread    string // ts of the root message, "" for a root message
	Broadcast bool   // a reply that the channel shows too
	Text      string
	Markdown  bool // whether Slack would format Text
	Blocks    json.RawMessage
	Metadata  json.RawMessage
	Edits     int
	Posted    time.Time
}

// Call is one request that was answered.
type Call struct {
	Method string
	At     time.Time
	Status int    // of HTTP, 0 when the connection was dropped
	Error  string // of Slack, "" for ok
}

// Server is the fake. It is an http.Handler, safe for concurrent use.
type Server struct {
	cfg Config

	mu       sync.Mutex
	channels map[string]*Channel
	messages []*Message
	calls    []Call
	faults   map[string][]Fault
	outage   bool
	lastTS   int64 // µs
	buckets  map[string]time.Time
}

// allScopes are the scopes that methods ask for.
func allScopes() []string {
	return []string{"chat:write", "channels:history", "groups:history", "channels:read", "groups:read", "metadata.message:read"}
}

// New makes a workspace.
func New(cfg Config) *Server {
	cfg.Token = cmp.Or(cfg.Token, DefaultToken)
	if cfg.Scopes == nil {
		cfg.Scopes = allScopes()
	}
	if cfg.Channels == nil {
		cfg.Channels = []Channel{{ID: DefaultChannel, Name: "alerts"}}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, channels: map[string]*Channel{}, faults: map[string][]Fault{}, buckets: map[string]time.Time{}}
	for _, c := range cfg.Channels {
		s.channels[c.ID] = &c
	}
	return s
}

// Messages lists all messages in the order they were posted.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	for _, m := range s.messages {
		out = append(out, *m)
	}
	return out
}

// Calls lists all requests that were answered or dropped.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Say posts a message of somebody else.
func (s *Server) Say(channel, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, &Message{Channel: channel, TS: s.nextTS(), Text: text, Markdown: true, Posted: s.cfg.Now()})
}

// Delete removes a message, as a person in the channel could.
func (s *Server) Delete(channel, ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = slices.DeleteFunc(s.messages, func(m *Message) bool { return m.Channel == channel && m.TS == ts })
}

// Archive archives a channel, or brings it back.
func (s *Server) Archive(channel string, archived bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[channel].Archived = archived
}

// reply is an answer of the Web API.
type reply map[string]any

// failure is an answer that is not ok. It is the error of the methods.
type failure struct {
	code             string
	needed, provided string
	messages         []string
	retryAfter       int // seconds; makes it a 429
}

func (f *failure) Error() string { return f.code }

func refuse(code string) error { return &failure{code: code} }

// method is one method of the Web API. The server's lock is held.
type method struct {
	scope func(*Server, params) string // the scope it needs, "" = none
	run   func(*Server, params) (reply, error)
}

func methods() map[string]method {
	return map[string]method{
		"auth.test":             {func(*Server, params) string { return "" }, (*Server).authTest},
		"chat.postMessage":      {func(*Server, params) string { return "chat:write" }, (*Server).postMessage},
		"chat.update":           {func(*Server, params) string { return "chat:write" }, (*Server).update},
		"conversations.history": {scopeOf("history"), (*Server).history},
		"conversations.replies": {scopeOf("history"), (*Server).replies},
		"conversations.info":    {scopeOf("read"), (*Server).info},
	}
}

// scopeOf is the scope for channels that are public or private.
func scopeOf(what string) func(*Server, params) string {
	return func(s *Server, p params) string {
		if c := s.channels[p.text("channel")]; c != nil && c.Private {
			return "groups:" + what
		}
		return "channels:" + what
	}
}

// ServeHTTP implements http.Handler: the methods below /api/ (or at the root),
// and the page at /.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		s.page(w, r)
		return
	}
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	m, ok := methods()[name]
	if !ok {
		s.answer(w, name, nil, &failure{code: "unknown_method"})
		return
	}
	p, err := readParams(r)
	if err != nil {
		s.answer(w, name, nil, err)
		return
	}
	s.mu.Lock()
	fault, faulty := s.takeFault(name)
	var out reply
	if !faulty || fault.Done {
		out, err = s.call(m, p)
	}
	s.mu.Unlock()
	if faulty {
		s.fail(w, name, fault)
		return
	}
	s.answer(w, name, out, err)
}

// call checks token and scope and runs a method.
func (s *Server) call(m method, p params) (reply, error) {
	switch {
	case p.token == "":
		return nil, refuse("not_authed")
	case p.token != s.cfg.Token:
		return nil, refuse("invalid_auth")
	}
	if need := m.scope(s, p); need != "" && !slices.Contains(s.cfg.Scopes, need) {
		return nil, &failure{code: "missing_scope", needed: need, provided: strings.Join(s.cfg.Scopes, ",")}
	}
	return m.run(s, p)
}

func (s *Server) answer(w http.ResponseWriter, name string, out reply, err error) {
	status, code := http.StatusOK, ""
	body := reply{"ok": true}
	maps.Copy(body, out)
	if f, ok := err.(*failure); ok {
		code = f.code
		body = reply{"ok": false, "error": f.code}
		if f.needed != "" {
			body["needed"], body["provided"] = f.needed, f.provided
		}
		if len(f.messages) > 0 {
			body["response_metadata"] = reply{"messages": f.messages}
		}
		if f.retryAfter > 0 {
			status = http.StatusTooManyRequests
			w.Header().Set("Retry-After", fmt.Sprint(f.retryAfter))
		}
	}
	s.note(name, status, code)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-OAuth-Scopes", strings.Join(s.cfg.Scopes, ","))
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: there is nobody to tell
}

func (s *Server) note(name string, status int, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{Method: name, At: s.cfg.Now(), Status: status, Error: code})
}

func (s *Server) authTest(params) (reply, error) {
	return reply{"url": "https://fake.slack.example/", "team": "Fake", "team_id": "T0000FAKE", "user": "gatehouse", "user_id": "U0000FAKE", "bot_id": "B0000FAKE"}, nil
}
