package redact

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Policy says which headers and query parameters an event keeps, and in which
// form. What it does not name is not kept. [DefaultPolicy] is the
// one that Gatehouse ships; one without a name counts as not given.
type Policy struct {
	// Name of the preset.
	Name string
	// Headers maps names of request headers, in lower case, to what their value
	// must look like to be kept. Other headers are dropped.
	Headers map[string]Check
	// Params maps names of query parameters, in lower case, to what their value
	// must look like to be kept. Other values become the kind of value they are,
	// such as {int}.
	Params map[string]Check
	// SessionCookies are the names of cookies, in lower case and without the
	// prefixes "__Host-" and "__Secure-", whose value is a session id.
	SessionCookies []string
}

// Check is what a value must look like to be kept.
type Check string

// The checks. Beside them every value that is kept is searched for secrets.
const (
	CheckNumber    Check = "number"     // up to 9 digits
	CheckWord      Check = "word"       // up to 32 letters, digits and "_-.", with the look of words
	CheckWords     Check = "words"      // up to 8 of those, joined by "," or space, each with an optional sign
	CheckMediaType Check = "media_type" // type/subtype; parameters are cut off
	CheckList      Check = "list"       // what Accept headers hold, up to 128 bytes
	CheckOrigin    Check = "origin"     // scheme://host[:port]
	CheckHost      Check = "host"
	CheckID        Check = "id" // UUID, ULID, number or 16 to 32 hex digits
)

var checkNames = []Check{
	CheckNumber, CheckWord, CheckWords, CheckMediaType, CheckList, CheckOrigin, CheckHost, CheckID,
}

// DefaultPolicy is the preset "default".
func DefaultPolicy() Policy {
	return Policy{
		Name: "default",
		Headers: map[string]Check{
			"accept": CheckList, "accept-encoding": CheckList, "accept-language": CheckList, "api-version": CheckWord,
			"content-encoding": CheckWord, "content-length": CheckNumber, "content-type": CheckMediaType,
			"origin": CheckOrigin, "sec-fetch-dest": CheckWord, "sec-fetch-mode": CheckWord, "sec-fetch-site": CheckWord,
			"upgrade": CheckWord, "x-api-version": CheckWord, "x-correlation-id": CheckID, "x-forwarded-host": CheckHost,
			"x-forwarded-proto": CheckWord, "x-http-method-override": CheckWord, "x-request-id": CheckID, "x-requested-with": CheckWord,
		},
		Params: map[string]Check{
			"page": CheckNumber, "p": CheckNumber, "per_page": CheckNumber, "perpage": CheckNumber, "page_size": CheckNumber, "pagesize": CheckNumber,
			"limit": CheckNumber, "offset": CheckNumber, "size": CheckNumber, "count": CheckNumber, "top": CheckNumber, "skip": CheckNumber,
			"start": CheckNumber, "from": CheckNumber, "first": CheckNumber, "last": CheckNumber, "depth": CheckNumber,
			"sort": CheckWords, "sort_by": CheckWords, "sortby": CheckWords, "order": CheckWords, "order_by": CheckWords, "orderby": CheckWords, "dir": CheckWord,
			"fields": CheckWords, "include": CheckWords, "expand": CheckWords, "select": CheckWords, "format": CheckWord, "flav": CheckWord,
			"lang": CheckWord, "locale": CheckWord, "hl": CheckWord, "v": CheckWord, "version": CheckWord, "api-version": CheckWord, "status": CheckWord, "type": CheckWord,
			"grant_type": CheckWord, "response_type": CheckWord, "action": CheckWord,
		},
		SessionCookies: []string{
			"jsessionid", "phpsessid", "session", "sessionid", "session_id", "sid", "connect.sid", "laravel_session", "asp.net_sessionid", "ci_session",
			"aspsessionid", "cfid", "cftoken", "rack.session", "express.sid", "koa.sess", "beaker.session.id", "symfony", "_gitlab_session", "auth_session_id",
			"keycloak_session", ".aspxauth", ".aspnetcore.session", ".aspnetcore.cookies", "wordpress_logged_in", "next-auth.session-token", "authjs.session-token",
		},
	}
}

// validate refuses a policy that would silently keep nothing where it names
// something.
func (p *Policy) validate() error {
	for what, checks := range map[string]map[string]Check{"headers": p.Headers, "params": p.Params} {
		for name, check := range checks {
			switch {
			case name != lower(name):
				return fmt.Errorf("policy %s: %s %q: want a name in lower case", p.Name, what, name)
			case !slices.Contains(checkNames, check):
				return fmt.Errorf("policy %s: %s %q: unknown check %q: want one of %v", p.Name, what, name, check, checkNames)
			}
		}
	}
	for _, name := range p.SessionCookies {
		if name == "" || name != lower(name) {
			return fmt.Errorf("policy %s: session_cookies %q: want a name in lower case", p.Name, name)
		}
	}
	return nil
}

// clone is a copy that its maker cannot change.
func (p Policy) clone() Policy {
	p.Headers, p.Params, p.SessionCookies = maps.Clone(p.Headers), maps.Clone(p.Params), slices.Clone(p.SessionCookies)
	return p
}

// isSession says whether a cookie or matrix parameter holds a session id: by its
// name in the policy, by a chunk or hash behind it, or by the ending "_session".
func (p *Policy) isSession(name string) bool {
	name = strings.TrimPrefix(strings.TrimPrefix(lower(name), "__host-"), "__secure-")
	if strings.HasSuffix(name, "_session") {
		return true
	}
	for _, known := range p.SessionCookies {
		if rest, ok := strings.CutPrefix(name, known); ok && (rest == "" || rest[0] == '_' || rest[0] == '.' || known == "aspsessionid") {
			return true
		}
	}
	return false
}

// keeps says whether a value may stand as it is.
func (c Check) keeps(v string) bool {
	const short, list, words = 32, 128, 8
	switch c {
	case CheckNumber:
		return len(v) <= 9 && allOf(v, classDigit)
	case CheckWord:
		return len(v) <= short && allOf(v, classWord) && isWords(v) && !shapeOf(v).hidden()
	case CheckWords:
		return len(v) <= words*short && strings.Count(v, ",") < words && all(v, isWordsByte) && isWords(v) && !shapeOf(v).hidden()
	case CheckList:
		return len(v) <= list && allOf(v, classList) && !shapeOf(v).hidden()
	case CheckID:
		return isID(v)
	}
	return false
}

// isWordsByte allows what sort orders and field lists are made of.
func isWordsByte(c byte) bool { return isWordByte(c) || c == ',' || c == '+' || c == ':' }

// isID says whether v has the form of an id that systems draw and write for
// people to search for.
func isID(v string) bool {
	switch shapeOf(v) {
	case shapeUUID, shapeULID, shapeInt:
		return true
	}
	return len(v) >= 16 && len(v) <= 32 && allOf(v, classHex)
}
