package event

import (
	"fmt"
	"log/slog"
	"slices"
)

// Raw is one decoded record before redaction. It may hold live credentials, so
// it must never reach a disk, a network, a log or a metric: it has no encoder,
// and printing it in any way gives [RawPlaceholder]. Field meanings are those of
// Event where the names agree.
//
// Strings of a Raw may share the memory of the record that it was decoded from,
// and its lists are the decoder's, which reuses them: a Raw that a decoder hands
// out is valid during that call only.
//
// Do not put a Raw into an unexported struct field: fmt reaches through those
// without calling methods. The shape test forbids it.
type Raw struct {
	Kind  Kind // "" means access
	TS    int64
	TSSrc TimeSource

	Gateway, GatewayID, Tenant, RequestID, TraceID string

	Method, Scheme, HTTPVersion string
	Host                        string
	Path                        string // as sent, without query
	Query                       string // as sent, without "?"
	Route                       string
	RouteSrc                    RouteSource
	RouteID, Service            string
	APIVersion                  string

	Status, UpstreamStatus       int
	Outcome                      Outcome // only where flags of the gateway say more than Status
	ErrorReason                  string
	ReqBytes, RespBytes          int64
	BytesScope                   BytesScope
	LatencyUS, UpstreamLatencyUS int64

	Client string   // address or host name of the client, without port
	Peer   string   // address of the direct peer, without port
	XFF    []string // X-Forwarded-For, left to right

	UserAgent, Referer string

	AuthType                          AuthType
	Principal, ClientID, CredentialID string

	Authorization string // value of the Authorization header, secret
	APIKey        string // an API key from wherever the gateway put it, secret
	Cookie        string // value of the Cookie header, secret
	TokenHash     string // a gateway's own hash of the token, hex SHA-256
	TokenFP       string // only the canonical format, from an edge that has redacted already
	SessionFP     string // same
	FPKeyID       string // same

	TLSVersion, TLSFP, MTLSSubject, Upstream string

	Headers []Label // request headers other than those above, names in lower case
	Labels  []Label
	Quality []string
}

// NewRaw is a Raw in which every number that can be absent is.
func NewRaw(gateway string) Raw {
	return Raw{
		Kind: KindAccess, Gateway: gateway,
		ReqBytes: Absent, RespBytes: Absent, LatencyUS: Absent, UpstreamLatencyUS: Absent,
	}
}

// Reset makes r what [NewRaw] gives, and keeps the memory of its lists.
func (r *Raw) Reset(gateway string) {
	clear(r.Headers) // they may have held secrets
	clear(r.Labels)
	hops, headers, labels, quality := r.XFF[:0], r.Headers[:0], r.Labels[:0], r.Quality[:0]
	*r = Raw{} // in place; a literal with fields would be made elsewhere and copied
	r.Kind, r.Gateway = KindAccess, gateway
	r.ReqBytes, r.RespBytes, r.LatencyUS, r.UpstreamLatencyUS = Absent, Absent, Absent, Absent
	r.XFF, r.Headers, r.Labels, r.Quality = hops, headers, labels, quality
}

// Clone is a Raw with lists of its own. Strings are shared.
func (r *Raw) Clone() Raw {
	out := *r
	out.XFF, out.Quality = slices.Clone(r.XFF), slices.Clone(r.Quality)
	out.Headers, out.Labels = slices.Clone(r.Headers), slices.Clone(r.Labels)
	return out
}

// RawPlaceholder is what every way of printing a Raw gives.
const RawPlaceholder = "[raw event]"

// Format implements fmt.Formatter for every verb.
func (Raw) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(RawPlaceholder)) }

// LogValue implements slog.LogValuer.
func (Raw) LogValue() slog.Value { return slog.StringValue(RawPlaceholder) }

// MarshalText implements encoding.TextMarshaler, and with that JSON and YAML.
func (Raw) MarshalText() ([]byte, error) { return []byte(RawPlaceholder), nil }

var (
	_ fmt.Formatter  = Raw{}
	_ slog.LogValuer = Raw{}
)
