package redact

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
)

// maxJWTPart is the longest header or payload that is decoded, in bytes of
// base64.
const maxJWTPart = 8 << 10

// jwt writes what a JWT says of itself: header facts, issuer, audience and
// whether it had expired when the call was made. Nothing else of the payload
// leaves this function; the signature is not checked here, so all of it is the
// caller's claim.
func (s *scratch) jwt(token string, ts int64) {
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
		s.notes |= noteTokenMalformed
		return
	}
	s.e.TokenAlg = s.fact(header.Alg, 16)
	s.e.TokenKid = s.fact(header.Kid, 128)
	if strings.Count(token, ".") > 2 { // encrypted: the payload is nobody's to read
		s.e.TokenExpState = "unknown"
		return
	}
	if !jwtPart(payload, &claims) {
		s.notes |= noteTokenMalformed
		s.e.TokenExpState = "unknown"
		return
	}
	s.e.TokenIss = s.fact(claims.Iss, 256)
	s.e.TokenAud = s.fact(string(claims.Aud), 256)
	s.e.TokenExpState = expiry(claims.Exp, ts)
}

func expiry(exp *float64, ts int64) string {
	const microseconds = 1e6
	switch {
	case exp == nil:
		return "none"
	case math.IsNaN(*exp) || *exp*microseconds <= float64(ts):
		return "expired"
	}
	return "ok"
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
func (s *scratch) fact(v string, longest int) string {
	if v == "" {
		return ""
	}
	safe := func(c byte) bool { return isAlnum(c) || strings.IndexByte("-._~:/=+|", c) >= 0 }
	if len(v) > longest || !all(v, safe) || findKnown(v).end > 0 {
		s.notes |= noteFieldInvalid
		return ""
	}
	return v
}
