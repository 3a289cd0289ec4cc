package traffic

import (
	"net/url"
	"regexp"
	"strings"

	"gatehouse/ingest/event"
)

var (
	emailLike = regexp.MustCompile(`[a-z0-9.]+@mail\.example`)
	cardLike  = regexp.MustCompile(`\b[0-9]{14,16}\b`)
)

// secretParameters are the query parameters that hold a secret.
var secretParameters = []string{"password", "access_token", "api_key"}

// Secrets lists every secret that a call carries, in every spelling in which it
// carries it: tokens (and the claims and signature of a JWT alone), API keys,
// session cookies, passwords, e-mail addresses and card numbers. It is made for
// what Scenario yields, and finds what is planted there, not secrets in general.
func Secrets(raw *event.Raw) []string {
	var found []string
	add := func(secret string) {
		if secret != "" {
			found = append(found, secret)
		}
	}
	_, credential, _ := strings.Cut(raw.Authorization, " ")
	addToken(add, credential)
	add(raw.APIKey)
	for pair := range strings.SplitSeq(raw.Cookie, "; ") {
		if value, ok := strings.CutPrefix(pair, "sid="); ok {
			add(value)
		}
	}
	for _, text := range []string{raw.Path, raw.Query, raw.Principal} {
		for _, spelling := range spellings(text) {
			for _, email := range emailLike.FindAllString(spelling, -1) {
				add(email)
				add(strings.Replace(email, "@", "%40", 1))
			}
		}
	}
	for _, card := range cardLike.FindAllString(raw.Path, -1) {
		add(card)
	}
	for pair := range strings.SplitSeq(raw.Query, "&") {
		for _, name := range secretParameters {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				addToken(add, value)
			}
		}
	}
	return found
}

// addToken adds a token and, for a JWT, its claims and its signature.
func addToken(add func(string), token string) {
	add(token)
	if parts := strings.Split(token, "."); len(parts) == 3 {
		add(parts[1])
		add(parts[2])
	}
}

// spellings is text as sent and, where it differs, percent-decoded.
func spellings(text string) []string {
	if decoded := unescape(text); decoded != text {
		return []string{text, decoded}
	}
	return []string{text}
}

// unescape decodes a part of a query; what cannot be decoded stays as it is.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}
