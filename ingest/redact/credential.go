package redact

import (
	"encoding/base64"
	"encoding/hex"
	"strings"

	"gatehouse/ingest/event"
)

// credentials writes the fields that say how the caller authenticated and with
// what. Of several credentials the one that the gateway checked first wins:
// Authorization header, API key, the gateway's own hash, session cookie, and
// last what stood in the URL.
func (s *scratch) credentials(raw *event.Raw) {
	if raw.Authorization != "" {
		s.notes |= noteAuthorization
		s.authorization(raw)
	}
	if key := strings.TrimSpace(raw.APIKey); key != "" && !isMasked(key) {
		s.notes |= noteAPIKey
		s.apiKey(key)
	}
	if raw.TokenHash != "" && s.e.TokenFP == "" {
		s.tokenHash(raw)
	}
	if raw.Cookie != "" {
		s.notes |= noteCookie
		s.cookies(raw.Cookie, raw.TS)
	}
	if s.stray != "" && s.e.TokenFP == "" && s.e.SessionFP == "" {
		s.useStray(raw.TS)
	}
	s.edgeFingerprints(raw)
	s.authType(raw)
}

// assume sets AuthType where nothing better is known.
func (s *scratch) assume(t event.AuthType) {
	if s.e.AuthType == "" {
		s.e.AuthType = t
	}
}

func (s *scratch) authorization(raw *event.Raw) {
	scheme, value, _ := cutByte(strings.TrimSpace(raw.Authorization), ' ')
	value = strings.TrimSpace(value)
	if isMasked(value) || value == "" && isMasked(scheme) {
		return
	}
	low := "bearer" // the usual one costs nothing
	if scheme != "Bearer" {
		low = lower(scheme)
	}
	switch {
	case low == "bearer" || low == "token" || low == "dpop":
		if value != "" {
			s.token(value, raw.TS)
			s.e.TokenBound = "bearer"
		}
		if low == "dpop" {
			s.e.TokenBound = "dpop"
		}
	case low == "basic":
		s.assume(event.AuthBasic)
		s.basic(value)
	case low == "apikey" || low == "api-key":
		s.apiKey(value)
	case low == "hmac" || low == "digest" || low == "signature" || strings.HasPrefix(low, "aws4-"):
		s.assume(event.AuthHMAC)
		s.signed(value)
	case value == "": // a bare token, as some clients send it
		s.token(scheme, raw.TS)
	default:
		s.assume(event.AuthUnknown)
		s.e.TokenFP = s.fingerprint(ClassToken, value)
	}
}

// isMasked says that somebody on the way has taken the value out. What is left is
// the same for every caller, so it must not become one token that all share.
func isMasked(v string) bool {
	word := v
	for word != "" && classes[word[0]]&classMask != 0 {
		word = word[1:]
	}
	for word != "" && classes[word[len(word)-1]]&classMask != 0 {
		word = word[:len(word)-1]
	}
	return v != "" && (word == "" || equalFold(word, "redacted") || equalFold(word, "masked") || equalFold(word, "filtered"))
}

// token writes what is known of a bearer token.
func (s *scratch) token(value string, ts int64) {
	s.e.TokenFP = s.fingerprint(ClassToken, value)
	if jwtAt(value, 0) != len(value) || strings.Count(value, ".") < 2 {
		s.assume(event.AuthOAuth2)
		return
	}
	s.assume(event.AuthJWT)
	s.jwt(value, ts)
}

// basic takes the user of a Basic credential. The password is never looked at,
// let alone hashed: passwords are guessable, their fingerprints would be too.
func (s *scratch) basic(value string) {
	plainText, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		if plainText, err = base64.RawStdEncoding.DecodeString(value); err != nil {
			s.notes |= noteTokenMalformed
			return
		}
	}
	user, password, _ := strings.Cut(string(plainText), ":")
	if password != "" {
		s.notes |= noteBasicPassword
	}
	// Services let clients send an API key as the user.
	if kind := shapeOf(user); kind == shapeToken || kind == shapeOpaque {
		if s.e.TokenFP == "" {
			s.e.TokenFP = s.fingerprint(ClassAPIKey, user)
		}
		return
	}
	if s.e.Principal == "" {
		s.e.Principal = s.identity(user, ClassPrincipal)
	}
}

// signed takes the key id of a signed request. The id is public by design, but
// some ids are shaped like secrets; those become references.
func (s *scratch) signed(value string) {
	for _, name := range []string{"Credential=", "keyId=", "username=", "id="} {
		_, rest, ok := strings.Cut(value, name)
		if !ok {
			continue
		}
		id, _, _ := strings.Cut(strings.TrimLeft(rest, `"`), `"`)
		id, _, _ = strings.Cut(id, ",")
		id, _, _ = strings.Cut(id, "/") // AWS: the rest is date and region
		if s.e.CredentialID == "" && id != "" {
			s.e.CredentialID = s.credentialID(id)
		}
		return
	}
}

// apiKey writes the fingerprint of an API key; beside a token it becomes the id
// of a second credential.
func (s *scratch) apiKey(key string) {
	if key == "" {
		return
	}
	s.assume(event.AuthAPIKey)
	fp := s.fingerprint(ClassAPIKey, key)
	switch {
	case s.e.TokenFP == "":
		s.e.TokenFP = fp
	case s.e.CredentialID == "":
		s.e.CredentialID = "fp:" + fp[:shortHex]
	}
}

// tokenHash takes the SHA-256 that a gateway sent instead of the token.
func (s *scratch) tokenHash(raw *event.Raw) {
	var inner [32]byte
	if len(raw.TokenHash) != hex.EncodedLen(len(inner)) || !allOf(raw.TokenHash, classHex) {
		s.notes |= noteTokenMalformed
		return
	}
	for i := range inner {
		inner[i] = unhex(raw.TokenHash[2*i])<<4 | unhex(raw.TokenHash[2*i+1])
	}
	class := ClassToken
	if raw.AuthType == event.AuthAPIKey {
		class = ClassAPIKey
	}
	s.e.TokenFP = s.fingerprintHashed(class, inner)
}

// cookies looks for the session, and for a token that is kept in a cookie.
func (s *scratch) cookies(header string, ts int64) {
	const most = 64
	for n := 0; header != "" && n < most; n++ {
		var pair string
		pair, header, _ = cutByte(header, ';')
		name, value, _ := cutByte(strings.TrimSpace(pair), '=')
		if value = strings.Trim(value, `" `); value == "" || isMasked(value) {
			continue
		}
		switch {
		case s.e.SessionFP == "" && s.holdsSession(name):
			s.e.SessionFP = s.fingerprint(ClassSession, value)
		case s.e.TokenFP == "" && jwtAt(value, 0) == len(value) && strings.Count(value, ".") >= 2:
			s.token(value, ts)
		case s.e.TokenFP == "" && isTokenCookie(name):
			s.e.TokenFP = s.fingerprint(ClassToken, value)
		}
	}
	if s.e.SessionFP != "" {
		s.assume(event.AuthSession)
	}
}

// holdsSession is Policy.isSession of a cookie's name, mostly remembered.
func (s *scratch) holdsSession(name string) bool {
	if known := s.jars.get(name); known != nil && name != "" {
		return *known
	}
	session := s.policy.isSession(name)
	if isParamName(name) { // others might be secrets
		s.jars.put(name, session)
	}
	return session
}

func isTokenCookie(name string) bool {
	switch strings.TrimPrefix(strings.TrimPrefix(lower(name), "__host-"), "__secure-") {
	case "token", "access_token", "auth_token", "id_token", "jwt", "authorization", "bearer":
		return true
	}
	return false
}

// useStray takes the token that stood in the URL.
func (s *scratch) useStray(ts int64) {
	switch s.strayClass {
	case ClassSession:
		s.e.SessionFP = s.fingerprint(ClassSession, s.stray)
		s.assume(event.AuthSession)
	case ClassAPIKey:
		s.apiKey(s.stray)
	default:
		s.token(s.stray, ts)
	}
}

// edgeFingerprints takes fingerprints that an edge of ours has made, unless some
// were made here: an event names one key.
func (s *scratch) edgeFingerprints(raw *event.Raw) {
	if raw.TokenFP == "" && raw.SessionFP == "" {
		return
	}
	token, session := isFingerprint(raw.TokenFP), isFingerprint(raw.SessionFP)
	made := s.e.FPKeyID != "" && s.e.FPKeyID != raw.FPKeyID
	if !validKeyID(raw.FPKeyID) || made || !token && !session {
		s.notes |= noteEdgeFingerprint
		return
	}
	if token && s.e.TokenFP == "" {
		s.e.TokenFP, s.e.FPKeyID = raw.TokenFP, raw.FPKeyID
	}
	if session && s.e.SessionFP == "" {
		s.e.SessionFP, s.e.FPKeyID = raw.SessionFP, raw.FPKeyID
	}
}

func isFingerprint(s string) bool {
	return len(s) == 2*fingerprintBytes && allOf(s, classHex) && anyOf(s)&classUpper == 0
}

// authType settles AuthType: what the gateway said, else what was seen.
func (s *scratch) authType(raw *event.Raw) {
	switch raw.AuthType {
	case event.AuthNone, event.AuthAPIKey, event.AuthJWT, event.AuthOAuth2, event.AuthBasic,
		event.AuthMTLS, event.AuthSession, event.AuthHMAC, event.AuthUnknown:
		if raw.AuthType != event.AuthUnknown || s.e.AuthType == "" {
			s.e.AuthType = raw.AuthType
		}
	}
	if s.e.MTLSSubject != "" {
		s.assume(event.AuthMTLS)
	}
	if s.e.TokenFP != "" {
		s.assume(event.AuthUnknown)
	}
}
