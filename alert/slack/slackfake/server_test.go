package slackfake_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/alert/slack/slackfake"
)

// caller calls the fake over HTTP as any client could.
type caller struct {
	t      *testing.T
	url    string
	client *http.Client
}

func serve(t *testing.T, s *slackfake.Server) caller {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return caller{t, server.URL, server.Client()}
}

// answer is what the Web API says.
type answer struct {
	Status   int
	Header   http.Header
	OK       bool
	Error    string
	TS       string
	Needed   string
	Provided string
	HasMore  bool `json:"has_more"`
	Messages []struct {
		TS, Text, Subtype string
		Thread            string `json:"thread_ts"`
		Metadata          json.RawMessage
	}
	Channel  json.RawMessage
	Metadata struct {
		Messages   []string
		NextCursor string `json:"next_cursor"`
	} `json:"response_metadata"`
}

func (c caller) do(method, contentType, token, body string) answer {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+"/api/"+method, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{Status: resp.StatusCode, Header: resp.Header}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	return a
}

// form calls with a form of pairs, and a valid token.
func (c caller) form(method string, pairs ...string) answer {
	c.t.Helper()
	form := url.Values{}
	for n := 0; n < len(pairs); n += 2 {
		form.Set(pairs[n], pairs[n+1])
	}
	return c.do(method, "application/x-www-form-urlencoded", slackfake.DefaultToken, form.Encode())
}

func TestTokensAndScopes(t *testing.T) {
	c := serve(t, slackfake.New(slackfake.Config{Scopes: []string{"channels:read"}}))
	const formType = "application/x-www-form-urlencoded"
	for name, a := range map[string]answer{
		"not_authed":        c.do("auth.test", "", "", ""),
		"invalid_auth":      c.do("auth.test", "", "xoxb-other", ""),
		"":                  c.do("auth.test", formType, "", "token="+slackfake.DefaultToken),
		"missing_scope":     c.form("chat.postMessage", "channel", slackfake.DefaultChannel, "text", "x"),
		"unknown_method":    c.form("chat.shout"),
		"invalid_json":      c.do("auth.test", "application/json", slackfake.DefaultToken, "{"),
		"invalid_post_type": c.do("auth.test", "text/plain", slackfake.DefaultToken, "x"),
	} {
		if a.Error != name || a.OK != (name == "") || a.Status != http.StatusOK {
			t.Errorf("got %+v, want error %q", a, name)
		}
		if name == "missing_scope" && (a.Needed != "chat:write" || a.Provided != "channels:read") {
			t.Errorf("needed %q, provided %q", a.Needed, a.Provided)
		}
	}
	if got := c.do("auth.test", "", slackfake.DefaultToken, "").Header.Get("X-OAuth-Scopes"); got != "channels:read" {
		t.Errorf("scopes in the header: %q", got)
	}
}

func TestPostingInBothForms(t *testing.T) {
	s := slackfake.New(slackfake.Config{})
	c := serve(t, s)
	a := c.form("chat.postMessage", "channel", slackfake.DefaultChannel, "text", "one", "blocks", `[{"type":"header","text":{"type":"plain_text","text":"H"}}]`)
	b := c.do("chat.postMessage", "application/json; charset=utf-8", slackfake.DefaultToken, fmt.Sprintf(
		`{"channel":%q,"text":"two","thread_ts":%q,"reply_broadcast":true,"metadata":{"event_type":"e","event_payload":{"k":"v"}},"blocks":[{"type":"divider"}]}`,
		slackfake.DefaultChannel, a.TS))
	if !a.OK || !b.OK || a.TS >= b.TS {
		t.Fatalf("posted %+v and %+v", a, b)
	}
	got := s.Messages()
	if len(got) != 2 || got[0].Lines()[0] != "H" || got[1].Thread != a.TS || !got[1].Broadcast || !strings.Contains(string(got[1].Metadata), `"k"`) {
		t.Errorf("messages %+v", got)
	}
	if u := c.form("chat.update", "channel", slackfake.DefaultChannel, "ts", a.TS, "text", "uno"); !u.OK {
		t.Errorf("update: %+v", u)
	}
	if m := s.Messages()[0]; m.Text != "uno" || m.Edits != 1 || m.Blocks != nil {
		t.Errorf("after the update: %+v", m)
	}
	s.Delete(slackfake.DefaultChannel, a.TS)
	if u := c.form("chat.update", "channel", slackfake.DefaultChannel, "ts", a.TS, "text", "x"); u.Error != "message_not_found" {
		t.Errorf("update of what was deleted: %+v", u)
	}
}

func TestRefusals(t *testing.T) {
	s := slackfake.New(slackfake.Config{Channels: []slackfake.Channel{{ID: "C1"}, {ID: "C2", NotMember: true}, {ID: "C3", Archived: true}, {ID: "C4", Private: true, NotMember: true}}})
	c := serve(t, s)
	header := func(n int) string {
		return fmt.Sprintf(`[{"type":"header","text":{"type":"plain_text","text":%q}}]`, strings.Repeat("x", n))
	}
	section := `{"type":"section","text":{"type":"plain_text","text":"` + strings.Repeat("x", 3000) + `"}}`
	for name, c := range map[string]struct {
		want string
		got  answer
	}{
		"no channel":       {"channel_not_found", c.form("chat.postMessage", "channel", "C9", "text", "x")},
		"not invited":      {"not_in_channel", c.form("chat.postMessage", "channel", "C2", "text", "x")},
		"archived":         {"is_archived", c.form("chat.postMessage", "channel", "C3", "text", "x")},
		"private":          {"channel_not_found", c.form("chat.postMessage", "channel", "C4", "text", "x")},
		"no text":          {"no_text", c.form("chat.postMessage", "channel", "C1")},
		"long text":        {"msg_too_long", c.form("chat.postMessage", "channel", "C1", "text", strings.Repeat("x", 40_001))},
		"long header":      {"invalid_blocks", c.form("chat.postMessage", "channel", "C1", "blocks", header(151))},
		"empty header":     {"invalid_blocks", c.form("chat.postMessage", "channel", "C1", "blocks", header(0))},
		"header in limit":  {"", c.form("chat.postMessage", "channel", "C1", "blocks", header(150))},
		"mrkdwn header":    {"invalid_blocks", c.form("chat.postMessage", "channel", "C1", "blocks", `[{"type":"header","text":{"type":"mrkdwn","text":"x"}}]`)},
		"unknown block":    {"invalid_blocks", c.form("chat.postMessage", "channel", "C1", "blocks", `[{"type":"alert"}]`)},
		"51 blocks":        {"invalid_blocks", c.form("chat.postMessage", "channel", "C1", "blocks", "["+strings.Repeat(`{"type":"divider"},`, 50)+`{"type":"divider"}]`)},
		"too much text":    {"msg_blocks_too_long", c.form("chat.postMessage", "channel", "C1", "blocks", "["+strings.Repeat(section+",", 4)+section+"]")},
		"table of one row": {"invalid_blocks", c.form("chat.postMessage", "channel", "C1", "blocks", `[{"type":"data_table","caption":"c","rows":[[{"type":"raw_text","text":"a"}]]}]`)},
		"ragged table":     {"invalid_blocks", c.form("chat.postMessage", "channel", "C1", "blocks", `[{"type":"data_table","caption":"c","rows":[[{"type":"raw_text","text":"a"}],[{"type":"raw_text","text":"a"},{"type":"raw_text","text":"a"}]]}]`)},
		"no caption":       {"invalid_blocks", c.form("chat.postMessage", "channel", "C1", "blocks", `[{"type":"data_table","rows":[[{"type":"raw_text","text":"a"}],[{"type":"raw_text","text":"b"}]]}]`)},
		"bad metadata":     {"invalid_metadata_schema", c.form("chat.postMessage", "channel", "C1", "text", "x", "metadata", `{}`)},
		"no such thread":   {"thread_not_found", c.form("conversations.replies", "channel", "C1", "ts", "1.000000")},
	} {
		if c.got.Error != c.want {
			t.Errorf("%s: got %q %v, want %q", name, c.got.Error, c.got.Metadata.Messages, c.want)
		}
	}
	s.Archive("C3", false)
	if a := c.form("chat.postMessage", "channel", "C3", "text", "x"); !a.OK {
		t.Errorf("a channel that came back: %+v", a)
	}
}

// History is newest first, without replies but those that were broadcast; a
// thread is oldest first. Both come in pages, and with metadata when asked.
func TestHistories(t *testing.T) {
	s := slackfake.New(slackfake.Config{})
	c := serve(t, s)
	var ts []string
	for n := range 7 {
		ts = append(ts, c.form("chat.postMessage", "channel", slackfake.DefaultChannel, "text", fmt.Sprint(n), "metadata", `{"event_type":"e","event_payload":{}}`).TS)
	}
	c.form("chat.postMessage", "channel", slackfake.DefaultChannel, "text", "reply", "thread_ts", ts[0])
	c.form("chat.postMessage", "channel", slackfake.DefaultChannel, "text", "loud reply", "thread_ts", ts[0], "reply_broadcast", "1")
	read := func(method string, pairs ...string) string {
		var texts []string
		cursor := ""
		for {
			a := c.form(method, append(pairs, "channel", slackfake.DefaultChannel, "limit", "3", "cursor", cursor)...)
			if !a.OK || a.HasMore != (a.Metadata.NextCursor != "") {
				t.Fatalf("%s: %+v", method, a)
			}
			for _, m := range a.Messages {
				texts = append(texts, m.Text)
			}
			if cursor = a.Metadata.NextCursor; cursor == "" {
				return strings.Join(texts, ",")
			}
		}
	}
	for _, r := range []struct {
		got, want string
	}{
		{read("conversations.history"), "loud reply,6,5,4,3,2,1,0"},
		{read("conversations.history", "oldest", ts[4]), "loud reply,6,5"},
		{read("conversations.history", "oldest", ts[4], "inclusive", "true"), "loud reply,6,5,4"},
		{read("conversations.history", "latest", ts[1]), "0"},
		{read("conversations.replies", "ts", ts[0]), "0,reply,loud reply"},
	} {
		if r.got != r.want {
			t.Errorf("got %s, want %s", r.got, r.want)
		}
	}
	if a := c.form("conversations.history", "channel", slackfake.DefaultChannel, "cursor", "x"); a.Error != "invalid_cursor" {
		t.Errorf("a cursor of nowhere: %+v", a)
	}
	with := c.form("conversations.history", "channel", slackfake.DefaultChannel, "include_all_metadata", "true")
	without := c.form("conversations.history", "channel", slackfake.DefaultChannel)
	if with.Messages[7].Metadata == nil || without.Messages[7].Metadata != nil {
		t.Error("metadata comes when asked, and only then")
	}
}

// A channel takes a burst, then one message a second.
func TestRateLimit(t *testing.T) {
	now := time.Unix(1000, 0)
	s := slackfake.New(slackfake.Config{Burst: 3, Now: func() time.Time { return now }})
	c := serve(t, s)
	send := func() answer {
		return c.form("chat.postMessage", "channel", slackfake.DefaultChannel, "text", "x")
	}
	for n := range 3 {
		if a := send(); !a.OK {
			t.Fatalf("message %d: %+v", n+1, a)
		}
	}
	if a := send(); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "1" {
		t.Errorf("the fourth: %+v", a)
	}
	now = now.Add(time.Second)
	if a := send(); !a.OK {
		t.Errorf("a second later: %+v", a)
	}
	if a := send(); a.OK {
		t.Errorf("and another: %+v", a)
	}
}

// Faults do what they say: with the message posted, or not.
func TestFaults(t *testing.T) {
	now := time.Unix(1000, 0)
	s := slackfake.New(slackfake.Config{HistoryLag: time.Second, Now: func() time.Time { return now }})
	client := &http.Client{Transport: s.Transport()}
	send := func() (int, error) {
		form := url.Values{"token": {slackfake.DefaultToken}, "channel": {slackfake.DefaultChannel}, "text": {"x"}}
		resp, err := client.PostForm(slackfake.APIURL("slack.example")+"chat.postMessage", form)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	s.Fail("chat.postMessage", slackfake.Fault{Done: true}, slackfake.Fault{}, slackfake.Fault{Done: true, Status: 500}, slackfake.Fault{Status: 429, RetryAfter: 1500 * time.Millisecond})
	for n, want := range []struct{ status, messages int }{{0, 1}, {0, 1}, {500, 2}, {429, 2}, {200, 3}} {
		status, err := send()
		if status != want.status || (err != nil) != (want.status == 0) || len(s.Messages()) != want.messages {
			t.Errorf("call %d: status %d, %v, %d messages; want %+v", n, status, err, len(s.Messages()), want)
		}
	}
	s.Outage(true)
	if status, _ := send(); status != 503 || len(s.Messages()) != 3 {
		t.Errorf("outage: %d", status)
	}
	s.Outage(false)
	c := serve(t, s)
	if a := c.form("conversations.history", "channel", slackfake.DefaultChannel); len(a.Messages) != 0 {
		t.Errorf("history shows %d messages before its lag", len(a.Messages))
	}
	now = now.Add(2 * time.Second)
	if a := c.form("conversations.history", "channel", slackfake.DefaultChannel); len(a.Messages) != 3 {
		t.Errorf("history shows %d messages after its lag", len(a.Messages))
	}
	if calls := s.Calls(); len(calls) != 8 || calls[0].Status != 0 || calls[3].Status != 429 {
		t.Errorf("calls %+v", calls)
	}
}

// The page shows what was posted, and runs nothing of it.
func TestThePage(t *testing.T) {
	s := slackfake.New(slackfake.Config{})
	c := serve(t, s)
	c.form("chat.postMessage", "channel", slackfake.DefaultChannel, "text", "x", "blocks",
		`[{"type":"header","text":{"type":"plain_text","text":"<script>alert(1)</script>"}},{"type":"section","fields":[{"type":"mrkdwn","text":"*Entity*"},{"type":"plain_text","text":"key-7"}]}]`)
	resp, err := c.client.Get(c.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(page); strings.Contains(s, "<script>") || !strings.Contains(s, "&lt;script&gt;") || !strings.Contains(s, "Entity         key-7") {
		t.Errorf("page:\n%s", s)
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
}

// Whatever is sent, the fake answers.
func FuzzRequests(f *testing.F) {
	f.Add("chat.postMessage", "application/json", `{"channel":"C0000ALERT","blocks":[{"type":"rich_text","elements":[{"type":"rich_text_list","elements":[{}]}]}]}`)
	f.Add("conversations.history", "application/x-www-form-urlencoded", "channel=C0000ALERT&limit=-1&cursor=%00")
	f.Fuzz(func(t *testing.T, method, contentType, body string) {
		s := slackfake.New(slackfake.Config{})
		r := httptest.NewRequest(http.MethodPost, "/api/x", strings.NewReader(body))
		r.URL.Path = "/api/" + method
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", "Bearer "+slackfake.DefaultToken)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusTooManyRequests {
			t.Errorf("status %d", w.Code)
		}
		for _, m := range s.Messages() {
			m.Lines()
		}
	})
}
