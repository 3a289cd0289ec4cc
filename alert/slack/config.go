package slack

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Token is a bot token. It prints as "***".
type Token struct{ secret string }

// String implements fmt.Stringer.
func (Token) String() string { return "***" }

// GoString implements fmt.GoStringer.
func (Token) GoString() string { return "***" }

// MarshalText implements encoding.TextMarshaler.
func (Token) MarshalText() ([]byte, error) { return []byte("***"), nil }

// IsZero says that there is no token.
func (t Token) IsZero() bool { return t.secret == "" }

// botPrefix is how bot tokens begin.
const botPrefix = "xoxb-"

// NewToken checks that s looks like a bot token.
func NewToken(s string) (Token, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return Token{}, errors.New("read Slack token: it is empty")
	case !strings.HasPrefix(s, botPrefix):
		return Token{}, fmt.Errorf("read Slack token: want a bot token, which begins with %s: it is on the app's page under OAuth & Permissions", botPrefix)
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return Token{}, errors.New("read Slack token: it has a space or a character that is not ASCII in it: copy it again")
	}
	return Token{s}, nil
}

// maxTokenFile is more than any token is long.
const maxTokenFile = 4 << 10

// ReadToken reads a bot token from a file whose only line it is. A file that
// others can read is refused.
func ReadToken(path string) (Token, error) {
	f, err := os.Open(path)
	if err != nil {
		return Token{}, fmt.Errorf("read Slack token: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return Token{}, fmt.Errorf("read Slack token: %w", err)
	} else if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return Token{}, fmt.Errorf("read Slack token: %s has mode %04o: want 0600, so that only its owner reads it: chmod 600 %s", path, mode, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	if err != nil {
		return Token{}, fmt.Errorf("read Slack token: %w", err)
	}
	return NewToken(string(data))
}

// Config configures a [Client].
type Config struct {
	// Token is the bot token. Required.
	Token Token
	// APIURL is the base of the Web API. "" = https://slack.com/api/.
	APIURL string
	// Timeout bounds one call. 0 = 10 seconds.
	Timeout time.Duration
	// Transport carries the calls. nil = http.DefaultTransport.
	Transport http.RoundTripper
}

const defaultAPIURL = "https://slack.com/api/"

func (c Config) withDefaults() (Config, error) {
	if c.Token.IsZero() {
		return c, errors.New("configure Slack: a bot token is required")
	}
	c.APIURL = cmp.Or(c.APIURL, defaultAPIURL)
	u, err := url.Parse(c.APIURL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil {
		return c, errors.New("configure Slack: api_url: want an http or https URL without a user, such as " + defaultAPIURL)
	}
	if !strings.HasSuffix(c.APIURL, "/") {
		c.APIURL += "/"
	}
	if c.Timeout < 0 {
		return c, errors.New("configure Slack: timeout must not be negative")
	}
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	return c, nil
}
