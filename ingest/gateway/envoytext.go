package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// readEnvoyText reads Envoy's default text format, and Istio's, which has
// three more fields behind the flags and six more at the end:
//
//	[start] "method path protocol" status flags received sent ms upstream-ms "xff" "agent" "id" "authority" "upstream"
//	[start] "method path protocol" status flags details termination "failure" received sent ms upstream-ms "xff" "agent" "id" "authority" "upstream" cluster upstream-local local remote sni route
func readEnvoyText(m *memory, raw *event.Raw, line string) *event.DecodeError {
	if !isEnvoyText(line) {
		return notCLF(line)
	}
	start, rest, ok := strings.Cut(line[1:], "] \"")
	request, rest, ok2 := strings.Cut(rest, `" `)
	if !ok || !ok2 {
		return event.Reject(event.ReasonSyntax, "", "an Envoy or Istio text line")
	}
	t := envoyText{rest: rest}
	t.memory, t.start, t.answered = m, start, true
	t.request(request)
	if err := t.result(raw); err != nil {
		return err
	}
	t.parties(raw)
	return t.finish(raw)
}

// isEnvoyText tells a line that starts with an RFC 3339 time in brackets.
func isEnvoyText(line string) bool {
	return len(line) > 20 && line[0] == '[' && line[5] == '-' && line[8] == '-' && line[11] == 'T'
}

// envoyText is the state of reading one line, whose fields are those of JSON.
type envoyText struct {
	envoy
	rest string
}

// field takes the next field, quoted or not; "-" and a missing one are "".
func (t *envoyText) field() string {
	v, rest, ok := cutQuoted(t.rest)
	if !ok {
		v, rest = cutWord(t.rest)
	}
	t.rest = rest
	return validText(absent(v), &t.notes)
}

func (t *envoyText) quantity(scale int) int64 {
	v := t.field()
	n, ok := fixed(v, scale)
	if !ok {
		if v != "" {
			t.notes |= noteFieldIgnored
		}
		return event.Absent
	}
	return max(n, event.Absent)
}

func (t *envoyText) request(line string) {
	method, rest, _ := strings.Cut(line, " ")
	target, protocol, _ := strings.Cut(rest, " ")
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		target, protocol = rest[:i], rest[i+1:] // a path may hold spaces
	}
	t.method, t.protocol = absent(method), absent(protocol)
	t.target = validText(absent(target), &t.notes)
}

// result reads status, flags, sizes and durations.
func (t *envoyText) result(raw *event.Raw) *event.DecodeError {
	status, ok := parseStatus(t.field())
	if !ok {
		return event.Reject(event.ReasonBadField, "response_code", "a status from 0 to 999")
	}
	raw.Status, raw.BytesScope = status, event.BytesBody
	t.flags = t.field()
	if word, _ := cutWord(t.rest); !isCount(word) {
		t.details, t.reasons[0], t.reasons[1] = t.field(), t.field(), t.field()
	}
	raw.ReqBytes, raw.RespBytes = t.quantity(asIs), t.quantity(asIs)
	raw.LatencyUS, raw.UpstreamLatencyUS = t.quantity(fromMillis), t.quantity(fromMillis)
	return nil
}

func isCount(word string) bool {
	_, ok := number(word)
	return ok
}

func (t *envoyText) parties(raw *event.Raw) {
	raw.XFF = forwarded(raw.XFF[:0], t.field())
	raw.UserAgent = t.field()
	raw.RequestID = t.field()
	raw.Host = hostName(t.field())
	raw.Upstream = strings.TrimPrefix(t.field(), "tcp://")
	if t.rest == "" {
		return
	}
	t.cluster = t.field()
	t.field() // upstream local address
	t.field() // downstream local address
	raw.Client = hostOf(t.field())
	t.field() // server name asked for in the TLS handshake
	if raw.RouteID = t.field(); t.rest != "" {
		t.notes |= noteExtraFields
	}
}
