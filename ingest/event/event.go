package event

import (
	"net/netip"
	"strconv"
	"time"
)

// Version is the schema version that this package reads and writes.
const Version = 1

// Absent is the value of a number that the source did not give.
const Absent = -1

// Limits of an event. A value over its limit is cut (strings) or dropped (list
// items) by redaction, which notes it in Quality; a Kafka record over
// MaxRecordBytes is rejected whole.
const (
	MaxRecordBytes = 1 << 20
	MaxElements    = 10_000 // events in one record (a JSON array, a batch envelope)
	MaxPath        = 8192
	MaxQuery       = 8192
	MaxHost        = 255
	MaxRoute       = 1024
	MaxUserAgent   = 1024
	MaxName        = 256 // principal, service, request_id and the like
	MaxReason      = 512
	MaxObjects     = 16
	MaxXFF         = 16
	MaxHeaders     = 16
	MaxLabels      = 16
)

// Kind says what the record is.
type Kind string

// The kinds of record.
const (
	KindAccess Kind = "access" // a call through a gateway
	KindAuthn  Kind = "authn"  // an identity provider's login, token or session event
	KindAuthz  Kind = "authz"  // a policy decision
)

// TimeSource says which clock reading TS is.
type TimeSource string

// The sources of TS. End means that only the time of completion was known and
// no duration to subtract.
const (
	TimeStart TimeSource = "start"
	TimeEnd   TimeSource = "end"
)

// Outcome is the result of the call in one word, from status and the gateway's
// own flags.
type Outcome string

// The outcomes.
const (
	OutcomeOK            Outcome = "ok"
	OutcomeClientError   Outcome = "client_error"
	OutcomeAuthFailed    Outcome = "auth_failed"    // 401
	OutcomeForbidden     Outcome = "forbidden"      // 403
	OutcomeRateLimited   Outcome = "rate_limited"   // 429, or a gateway's rate-limit flag
	OutcomeBlocked       Outcome = "blocked"        // refused by a WAF or policy
	OutcomeServerError   Outcome = "server_error"   // 5xx of the service
	OutcomeUpstreamError Outcome = "upstream_error" // 5xx that the gateway made itself
	OutcomeAborted       Outcome = "aborted"        // no response: client or connection gone
)

// AuthType is how the caller authenticated, as far as the record tells.
type AuthType string

// The authentication types.
const (
	AuthNone    AuthType = "none"
	AuthAPIKey  AuthType = "api_key"
	AuthJWT     AuthType = "jwt"
	AuthOAuth2  AuthType = "oauth2" // an opaque bearer token
	AuthBasic   AuthType = "basic"
	AuthMTLS    AuthType = "mtls"
	AuthSession AuthType = "session"
	AuthHMAC    AuthType = "hmac"
	AuthUnknown AuthType = "unknown"
)

// RouteSource says where Route came from.
type RouteSource string

// The route sources. Learned means derived from the path by templating ids.
const (
	RouteGateway RouteSource = "gateway"
	RouteOpenAPI RouteSource = "openapi"
	RouteLearned RouteSource = "learned"
)

// BytesScope says what ReqBytes and RespBytes count, since gateways differ.
type BytesScope string

// The byte scopes.
const (
	BytesTotal BytesScope = "total" // headers and body
	BytesBody  BytesScope = "body"
)

// DataClass is what a call exposes, from a route file.
type DataClass string

// The data classes.
const (
	DataNone    DataClass = "none"
	DataPII     DataClass = "pii"
	DataPayment DataClass = "payment"
	DataHealth  DataClass = "health"
	DataSecret  DataClass = "secret"
)

// Object is one thing that a call named: an order id in the path, an account in
// the query. Ref is the id itself when it is an integer, UUID or ULID, else
// "fp:" and a keyed fingerprint of it.
type Object struct {
	Name string `json:"name"`
	Ref  string `json:"ref"`
}

// Label is one name and value of Headers or Labels, kept in sorted order.
type Label struct {
	Name, Value string
}

// Event is one redacted record: the only form that is stored, detected on,
// printed or sent. Only ingest/redact makes one from a Raw. Fields are in the
// order of the JSON form and of the ClickHouse columns; units and absence as the
// package comment says.
//
// Strings and lists of an Event must not be modified: they may share memory with
// other events and with the record that it came from, all of which stays in
// memory as long as one of its strings does. Who keeps an event, or a string of
// it, longer than the batch that it came in keeps a [Event.Clone] or a
// strings.Clone of it.
type Event struct {
	Origin Origin
	Kind   Kind
	TS     int64 // µs since the Unix epoch, start of the request
	TSSrc  TimeSource

	Gateway   string // product: kong, traefik, envoy, nginx, clf, canonical …
	GatewayID string // instance or cluster
	Tenant    string // tenant or workspace
	RequestID string
	TraceID   string // W3C trace id, 32 hex digits

	Method      string // upper case
	Scheme      string
	HTTPVersion string // "1.0", "1.1", "2", "3"
	Host        string // lower case, without port
	Path        string // without query; secrets and e-mails are placeholders
	Query       string // names kept, values only where allow-listed
	Route       string // template such as /pets/{petId}
	RouteSrc    RouteSource
	RouteID     string
	Service     string
	APIVersion  string
	DataClass   DataClass
	Objects     []Object

	Status         int // 0 = no response was sent
	UpstreamStatus int // 0 = no upstream answered
	Outcome        Outcome
	ErrorReason    string

	ReqBytes          int64 // or Absent
	RespBytes         int64 // or Absent
	BytesScope        BytesScope
	LatencyUS         int64 // or Absent
	UpstreamLatencyUS int64 // or Absent

	ClientIP      netip.Addr // zero when the source gave none or a name
	ClientHost    string     // the client's name, where the source logs names
	ClientNet     string     // the /16 (IPv4) or /32 (IPv6) around ClientIP
	ClientASN     uint32     // 0 = unknown
	ClientASOrg   string
	ClientCountry string // ISO 3166-1 alpha-2
	PeerIP        netip.Addr
	XFF           []netip.Addr

	UserAgent string
	UAFamily  string // browser, library or bot name without version
	Referer   string // origin and path, without query

	AuthType     AuthType
	Principal    string // user, subject, consumer; e-mails as a fingerprint
	ClientID     string // application
	CredentialID string // the gateway's own id of the credential
	TokenFP      string // keyed fingerprint of the token, 32 hex digits
	SessionFP    string // keyed fingerprint of the session cookie, 32 hex digits
	FPKeyID      string // id of the key behind the fingerprints of this event

	TokenAlg      string // JWT header
	TokenKid      string
	TokenIss      string
	TokenAud      string
	TokenExpState string // ok, expired, none, unknown
	TokenBound    string // bearer, dpop, mtls

	TLSVersion  string
	TLSFP       string // JA3 or JA4
	MTLSSubject string
	Upstream    string

	Headers    []Label  // allow-listed only
	Labels     []Label  // attributes that a decoder keeps
	Redactions []string // which redactors fired, sorted
	Quality    []string // what the decoder had to assume, sorted

	// Actor is who acted: the first of Principal, ClientID, CredentialID,
	// TokenFP, SessionFP, ClientIP, ClientHost that is present.
	Actor string
	// Credential is what was presented: the first of TokenFP, SessionFP,
	// CredentialID, ClientID, Principal. Empty for anonymous calls.
	Credential string
}

// Time is TS as a time in UTC.
func (e *Event) Time() time.Time { return time.UnixMicro(e.TS).UTC() }

// Complete sets Actor, Credential, ClientNet and, where it is still empty,
// Outcome from the other fields. Redaction calls it last.
func (e *Event) Complete() { e.CompleteIn(&Arena{}) }

// CompleteIn is [Event.Complete] with its strings in an arena.
func (e *Event) CompleteIn(a *Arena) {
	var buf [64]byte // the longest address is 45 bytes
	e.Actor = first(e.Principal, e.ClientID, e.CredentialID, e.TokenFP, e.SessionFP)
	switch {
	case e.Actor != "":
	case e.ClientIP.IsValid():
		e.Actor = a.String(e.ClientIP.AppendTo(buf[:0]))
	default:
		e.Actor = e.ClientHost
	}
	e.Credential = first(e.TokenFP, e.SessionFP, e.CredentialID, e.ClientID, e.Principal)
	e.ClientNet = a.String(appendNetwork(buf[:0], e.ClientIP))
	if e.Outcome == "" {
		e.Outcome = OutcomeOf(e.Status)
	}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// Bits of the network that stands in for the autonomous system where no ASN
// database is configured: a phone that changes address mostly stays inside it.
const netBits6 = 32 // and 16 of an IPv4 address, the first two of its four numbers

// Network is the /16 of an IPv4 address or the /32 of an IPv6 address in CIDR
// form, and "" for the zero Addr.
func Network(ip netip.Addr) string {
	var buf [64]byte
	return string(appendNetwork(buf[:0], ip))
}

func appendNetwork(dst []byte, ip netip.Addr) []byte {
	if !ip.IsValid() {
		return dst
	}
	ip = ip.Unmap()
	if ip.Is4() { // the usual case, spelled out because it is in every event
		quad := ip.As4()
		dst = strconv.AppendUint(dst, uint64(quad[0]), 10)
		dst = append(dst, '.')
		dst = strconv.AppendUint(dst, uint64(quad[1]), 10)
		return append(dst, ".0.0/16"...)
	}
	p, err := ip.WithZone("").Prefix(netBits6)
	if err != nil {
		return dst
	}
	return p.AppendTo(dst)
}

// OutcomeOf is the outcome that a status alone implies.
func OutcomeOf(status int) Outcome {
	switch {
	case status == 0, status == 499:
		return OutcomeAborted
	case status == 401:
		return OutcomeAuthFailed
	case status == 403:
		return OutcomeForbidden
	case status == 429:
		return OutcomeRateLimited
	case status >= 500:
		return OutcomeServerError
	case status >= 400:
		return OutcomeClientError
	}
	return OutcomeOK
}
