package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// maxHeaders bounds the headers that are taken from one record.
const maxHeaders = 64

// setHeader puts a request header where it belongs; name is in lower case.
// Credentials go into the fields that redaction fingerprints, never elsewhere.
func setHeader(raw *event.Raw, name, value string) {
	if value == "" {
		return
	}
	switch name {
	case "user-agent":
		raw.UserAgent = value
	case "referer":
		raw.Referer = value
	case "authorization":
		setAuthorization(raw, value)
	case "cookie":
		raw.Cookie = secret(value)
	case "apikey", "api-key", "x-api-key", "x-apikey":
		if raw.APIKey = secret(value); raw.AuthType == "" {
			raw.AuthType = event.AuthAPIKey
		}
	case "x-forwarded-for":
		raw.XFF = forwarded(raw.XFF[:0], value)
	case "host":
		if raw.Host == "" {
			raw.Host = hostName(value)
		}
	case "traceparent":
		raw.TraceID = traceID(value)
	default:
		addHeader(raw, name, value)
	}
}

func addHeader(raw *event.Raw, name, value string) {
	if raw.Headers == nil {
		raw.Headers = make([]event.Label, 0, 8)
	}
	if len(raw.Headers) < maxHeaders {
		raw.Headers = append(raw.Headers, event.Label{Name: name, Value: value})
	}
}

// setAuthorization keeps a credential. One that the gateway blanked still tells
// that there was one.
func setAuthorization(raw *event.Raw, value string) {
	raw.Authorization = secret(value)
	const basic = "Basic"
	switch {
	case raw.Authorization == "" && raw.AuthType == "":
		raw.AuthType = event.AuthUnknown
	case len(value) < len(basic) || !strings.EqualFold(value[:len(basic)], basic):
	case len(value) == len(basic) || value[len(basic)] == ' ':
		raw.AuthType = event.AuthBasic
	}
}

// maxPlaceholder is the longest word among placeholders; runs of * or x may be
// longer.
const maxPlaceholder = 16

// secret is a credential, or "" if what is there is what a gateway writes in
// place of one.
func secret(value string) string {
	v := value
	if i := strings.IndexByte(value, ' '); i >= 0 {
		v = trimSpace(value[i+1:]) // behind a scheme, as in "Bearer ***"
	}
	if v == "" || isRun(v) || len(v) <= maxPlaceholder && isPlaceholder(v) {
		return ""
	}
	return value
}

// isRun tells that v is one of "*", "x" and "X" over and over.
func isRun(v string) bool {
	if c := v[0]; c != '*' && c != 'x' && c != 'X' {
		return false
	}
	for i := range len(v) {
		if v[i] != v[0] {
			return false
		}
	}
	return true
}

func isPlaceholder(v string) bool {
	v = strings.Trim(v, "[]<>(){}*")
	if v == "" || v == "-" {
		return true
	}
	switch v[0] | 0x20 { // spares most tokens the comparisons
	case 'r', 'm', 'h', 'f':
	default:
		return false
	}
	for _, word := range [...]string{"redacted", "masked", "hidden", "filtered", "removed"} {
		if strings.EqualFold(v, word) {
			return true
		}
	}
	return false
}

// traceID takes the trace id out of a W3C traceparent, or checks one that stands
// alone: 32 hex digits, not all zero.
func traceID(v string) string {
	if len(v) >= 55 && v[2] == '-' && v[35] == '-' {
		v = v[3:35]
	}
	if !isHex32(v) || strings.Trim(v, "0") == "" {
		return ""
	}
	return lower(v)
}

func isHex32(v string) bool {
	if len(v) != 32 {
		return false
	}
	for i := range len(v) {
		if hexValue(v[i]) < 0 {
			return false
		}
	}
	return true
}
