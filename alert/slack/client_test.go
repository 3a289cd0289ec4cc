package slack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/alert"
	"gatehouse/alert/slack/slackfake"
)

// client talks to a handler over a real network.
func client(t *testing.T, h http.Handler, timeout time.Duration) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(Config{Token: Token{slackfake.DefaultToken}, APIURL: server.URL + "/api", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func post(channel string) alert.Post {
	return alert.Post{Channel: channel, DeliveryID: "d1", Message: alert.Message{Kind: alert.MessageRoot, Incident: "INC-1", Summary: "s", Header: "h"}}
}

// What a send that failed says about the message.
func TestOutcomes(t *testing.T) {
	say := func(status int, header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set("Retry-After", header)
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    alert.Outcome
		after   time.Duration
	}{
		"limited":              {say(429, "30", ""), alert.RetryAfter, 30 * time.Second},
		"limited without time": {say(429, "", ""), alert.RetryAfter, 0},
		"limited, bad time":    {say(429, "soon", ""), alert.Unknown, 0},
		"in trouble":           {say(503, "", "<html>"), alert.Unknown, 0},
		"not JSON":             {say(200, "", "<html>"), alert.Unknown, 0},
		"success that is none": {say(200, "", `{"ok":false}`), alert.Unknown, 0},
		"success without ts":   {say(200, "", `{"ok":true}`), alert.Unknown, 0},
		"wrong token":          {say(200, "", `{"ok":false,"error":"invalid_auth"}`), alert.Denied, 0},
		"no channel":           {say(200, "", `{"ok":false,"error":"channel_not_found"}`), alert.Denied, 0},
		"bad blocks":           {say(200, "", `{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["why"]}}`), alert.TooRich, 0},
		"no such thread":       {say(200, "", `{"ok":false,"error":"thread_not_found"}`), alert.Gone, 0},
		"an error not known":   {say(200, "", `{"ok":false,"error":"new_in_2027"}`), alert.Unknown, 0},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, alert.Unknown, 0},
		"dropped":               {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, alert.Unknown, 0},
		"a proxy wants a login": {say(407, "", ""), alert.Denied, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, c.handler, 0).Post(t.Context(), post("C1"))
			checkOutcome(t, err, c.want, c.after)
		})
	}
}

func checkOutcome(t *testing.T, err error, want alert.Outcome, after time.Duration) {
	t.Helper()
	var e *alert.SendError
	if !errors.As(err, &e) || e.Outcome != want || e.After != after {
		t.Errorf("got %v, want outcome %s, after %s", err, want, after)
	}
}

func TestARefusedConnectionIsUnsent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	c, err := New(Config{Token: Token{slackfake.DefaultToken}, APIURL: "http://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Post(t.Context(), post("C1"))
	checkOutcome(t, err, alert.Unsent, 0)
}

// A server that never answers costs the timeout, and leaves the outcome open.
func TestASilentServerTimesOut(t *testing.T) {
	release := make(chan struct{})
	c := client(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }), 50*time.Millisecond)
	t.Cleanup(func() { close(release) })
	_, err := c.Post(t.Context(), post("C1"))
	checkOutcome(t, err, alert.Unknown, 0)
}

// The token is in no error, even of a server that repeats it.
func TestErrorsHoldNoToken(t *testing.T) {
	const secret = slackfake.DefaultToken
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"ok":false,"error":"what is %s"}`, secret)
	}), 0)
	_, err := c.Post(t.Context(), post("C1"))
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "***") {
		t.Errorf("got %v, want an error with the token replaced", err)
	}
	token := Token{secret}
	if s := fmt.Sprintf("%v %+v %#v %s %q", token, token, token, token, Config{Token: token}); strings.Contains(s, secret) {
		t.Errorf("a token prints as %s", s)
	}
}

// The slow part of a look is not refused for a stranger's malformed message.
func TestFindSkipsWhatOthersPosted(t *testing.T) {
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"ok":true,"messages":[
			{"ts":"3.000000","blocks":[{"type":"header","text":7}],"metadata":{"event_type":"gatehouse_delivery","event_payload":{"delivery_id":"other"}}},
			{"ts":"2.000000","attachments":"odd"},
			{"ts":"1.000000","blocks":[],"metadata":{"event_type":"gatehouse_delivery","event_payload":{"delivery_id":"d1"}}}]}`)
	}), 0)
	ts, err := c.Find(t.Context(), post("C1"), time.Unix(0, 0))
	if err != nil || ts != "1.000000" {
		t.Errorf("found %q, %v; want 1.000000", ts, err)
	}
}

func TestCheck(t *testing.T) {
	fake := slackfake.New(slackfake.Config{
		Scopes:   []string{"chat:write", "channels:read"},
		Channels: []slackfake.Channel{{ID: "C1", Name: "in"}, {ID: "C2", Name: "out", NotMember: true}, {ID: "C3", Name: "old", Archived: true}},
	})
	r, err := client(t, fake, 0).Check(t.Context(), "C1", "C2", "C3", "C4")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.Missing, " "); got != "channels:history groups:history groups:read metadata.message:read" || r.OK() {
		t.Errorf("missing scopes %q, ok %v", got, r.OK())
	}
	for n, want := range []string{"", "invite the app", "archived", "channel_not_found"} {
		if got := r.Channels[n].Problem; !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("channel %s: problem %q, want %q", r.Channels[n].ID, got, want)
		}
	}
	r, err = client(t, slackfake.New(slackfake.Config{}), 0).Check(t.Context(), slackfake.DefaultChannel)
	if err != nil || !r.OK() {
		t.Errorf("a workspace in order: %+v, %v", r, err)
	}
	_, err = client(t, slackfake.New(slackfake.Config{Token: "xoxb-other"}), 0).Check(t.Context())
	checkOutcome(t, err, alert.Denied, 0)
}

func TestReadToken(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if token, err := ReadToken(write("good", "xoxb-1-2\n", 0o600)); err != nil || token.secret != "xoxb-1-2" {
		t.Errorf("got %v, %v", token, err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"wide mode": {write("wide", "xoxb-1-2", 0o644), "want 0600"},
		"empty":     {write("empty", "\n", 0o600), "empty"},
		"app token": {write("app", "xapp-1-2", 0o600), "begins with xoxb-"},
		"two lines": {write("two", "xoxb-1\nxoxb-2", 0o600), "copy it again"},
		"absent":    {filepath.Join(dir, "absent"), "no such file"},
	} {
		_, err := ReadToken(c.path)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "-1-2") {
			t.Errorf("%s: got %v, want %q and no token", name, err, c.want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, bad := range []Config{{}, {Token: Token{"t"}, APIURL: "slack.com"}, {Token: Token{"t"}, APIURL: "ftp://x/"}, {Token: Token{"t"}, APIURL: "https://u:p@x/"}, {Token: Token{"t"}, Timeout: -1}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestACancelledPostIsUnknown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := client(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices that a client is gone only then
		cancel()
		<-r.Context().Done()
	}), 0)
	_, err := c.Post(ctx, post("C1"))
	checkOutcome(t, err, alert.Unknown, 0)
}

// The manifest that people paste asks for the scopes that the code checks.
func TestTheManifestHasTheScopes(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	manifest := string(text)
	manifest = manifest[strings.Index(manifest, "       bot:\n"):strings.Index(manifest, "settings:")]
	for scope := range RequiredScopes() {
		if !strings.Contains(manifest, "- "+scope+" ") && !strings.Contains(manifest, "- "+scope+"\n") {
			t.Errorf("the manifest lacks %s", scope)
		}
	}
	if n := strings.Count(manifest, "- "); n != len(RequiredScopes()) {
		t.Errorf("the manifest asks for %d scopes, the code for %d", n, len(RequiredScopes()))
	}
}
