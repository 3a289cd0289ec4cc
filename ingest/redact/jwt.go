package redact

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// maxJWTPart is the longest header or payload that is decoded, in bytes of
// base64.
const maxJWTPart = 8 << 10

// tokenFacts are what a JWT says of itself.
type tokenFacts struct {
	alg, kid, iss, aud string
	exp                float64 // seconds since the Unix epoch
	expires            bool
	sealed             bool  // encrypted: the payload is nobody's to read
	notes              notes // what was not as it should be
}

// jwt writes what a JWT says of itself: header facts, issuer, audience and
// whether it had expired when the call was made. The signature is not checked
// here, so all of it is the caller's claim.
func (s *scratch) jwt(token string, ts int64) {
	f := s.facts(s.e.TokenFP, token)
	s.notes |= f.notes
	s.e.TokenAlg, s.e.TokenKid, s.e.TokenIss, s.e.TokenAud = f.alg, f.kid, f.iss, f.aud
	const microseconds = 1e6
	switch {
	case f.sealed || f.notes&noteTokenMalformed != 0:
		s.e.TokenExpState = "unknown"
	case !f.expires:
		s.e.TokenExpState = "none"
	case f.exp*microseconds <= float64(ts):
		s.e.TokenExpState = "expired"
	default:
		s.e.TokenExpState = "ok"
	}
}

// readJWT takes the facts out of a token. Nothing else of the payload leaves
// this function.
func readJWT(token string) (f tokenFacts) {
	head, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	var header struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}
	var claims struct {
		Iss string   `json:"iss"`
		Aud audience `json:"aud"`
		Exp *float64 `json:"exp"`
	}
	if !jwtPart(head, &header) {
		f.notes |= noteTokenMalformed
		return f
	}
	f.alg, f.kid = f.fact(header.Alg, 16), f.fact(header.Kid, 128)
	if f.sealed = strings.Count(token, ".") > 2; f.sealed {
		return f
	}
	if !jwtPart(payload, &claims) {
		f.notes |= noteTokenMalformed
		return f
	}
	f.iss, f.aud = f.fact(claims.Iss, 256), f.fact(string(claims.Aud), 256)
	if f.expires = claims.Exp != nil; f.expires {
		f.exp = *claims.Exp
	}
	return f
}

func jwtPart(part string, into any) bool {
	if len(part) > maxJWTPart {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	return err == nil && json.Unmarshal(b, into) == nil
}

// audience is the aud claim, a string or a list of them, of which the first is
// kept.
type audience string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		if len(list) > 0 {
			*a = audience(list[0])
		}
		return nil
	}
	return json.Unmarshal(b, (*string)(a))
}

// fact is a value that a token claims, if it is short, of safe bytes and no
// secret itself; random ids are usual in kid and aud.
func (f *tokenFacts) fact(v string, longest int) string {
	if v == "" {
		return ""
	}
	safe := func(c byte) bool { return isAlnum(c) || strings.IndexByte("-._~:/=+|", c) >= 0 }
	if len(v) > longest || !all(v, safe) || findKnown(v).end > 0 {
		f.notes |= noteFieldInvalid
		return ""
	}
	return v
}
