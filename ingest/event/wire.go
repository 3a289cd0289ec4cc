package event

import (
	"net/netip"
	"slices"
	"strings"
)

// wire is the JSON form for reading. Its members are in the order of Event; the
// round-trip test fails when a field of Event is missing here.
type wire struct {
	V      int        `json:"v"`
	Kind   Kind       `json:"kind"`
	TS     string     `json:"ts"`
	TSSrc  TimeSource `json:"ts_src"`
	Origin string     `json:"origin"`

	Gateway   string `json:"gateway"`
	GatewayID string `json:"gateway_id"`
	Tenant    string `json:"tenant"`
	RequestID string `json:"request_id"`
	TraceID   string `json:"trace_id"`

	Method      string      `json:"method"`
	Scheme      string      `json:"scheme"`
	HTTPVersion string      `json:"http_version"`
	Host        string      `json:"host"`
	Path        string      `json:"path"`
	Query       string      `json:"query"`
	Route       string      `json:"route"`
	RouteSrc    RouteSource `json:"route_src"`
	RouteID     string      `json:"route_id"`
	Service     string      `json:"service"`
	APIVersion  string      `json:"api_version"`
	DataClass   DataClass   `json:"data_class"`
	Objects     []Object    `json:"objects"`

	Status            int        `json:"status"`
	UpstreamStatus    int        `json:"upstream_status"`
	Outcome           Outcome    `json:"outcome"`
	ErrorReason       string     `json:"error_reason"`
	ReqBytes          int64      `json:"req_bytes"`
	RespBytes         int64      `json:"resp_bytes"`
	BytesScope        BytesScope `json:"bytes_scope"`
	LatencyUS         int64      `json:"latency_us"`
	UpstreamLatencyUS int64      `json:"upstream_latency_us"`

	ClientIP      netip.Addr   `json:"client_ip"`
	ClientHost    string       `json:"client_host"`
	ClientNet     string       `json:"client_net"`
	ClientASN     uint32       `json:"client_asn"`
	ClientASOrg   string       `json:"client_as_org"`
	ClientCountry string       `json:"client_country"`
	PeerIP        netip.Addr   `json:"peer_ip"`
	XFF           []netip.Addr `json:"xff"`
	UserAgent     string       `json:"user_agent"`
	UAFamily      string       `json:"ua_family"`
	Referer       string       `json:"referer"`

	AuthType      AuthType `json:"auth_type"`
	Principal     string   `json:"principal"`
	ClientID      string   `json:"client_id"`
	CredentialID  string   `json:"credential_id"`
	TokenFP       string   `json:"token_fp"`
	SessionFP     string   `json:"session_fp"`
	FPKeyID       string   `json:"fp_key_id"`
	TokenAlg      string   `json:"token_alg"`
	TokenKid      string   `json:"token_kid"`
	TokenIss      string   `json:"token_iss"`
	TokenAud      string   `json:"token_aud"`
	TokenExpState string   `json:"token_exp_state"`
	TokenBound    string   `json:"token_bound"`

	TLSVersion  string `json:"tls_version"`
	TLSFP       string `json:"tls_fp"`
	MTLSSubject string `json:"mtls_subject"`
	Upstream    string `json:"upstream"`

	Headers    map[string]string `json:"headers"`
	Labels     map[string]string `json:"labels"`
	Redactions []string          `json:"redactions"`
	Quality    []string          `json:"quality"`
	Actor      string            `json:"actor"`
	Credential string            `json:"credential"`
}

func (w *wire) event(origin Origin, ts int64) Event {
	return Event{
		Origin: origin, Kind: w.Kind, TS: ts, TSSrc: w.TSSrc,
		Gateway: w.Gateway, GatewayID: w.GatewayID, Tenant: w.Tenant, RequestID: w.RequestID, TraceID: w.TraceID,
		Method: w.Method, Scheme: w.Scheme, HTTPVersion: w.HTTPVersion, Host: w.Host, Path: w.Path, Query: w.Query,
		Route: w.Route, RouteSrc: w.RouteSrc, RouteID: w.RouteID, Service: w.Service, APIVersion: w.APIVersion,
		DataClass: w.DataClass, Objects: w.Objects,
		Status: w.Status, UpstreamStatus: w.UpstreamStatus, Outcome: w.Outcome, ErrorReason: w.ErrorReason,
		ReqBytes: w.ReqBytes, RespBytes: w.RespBytes, BytesScope: w.BytesScope,
		LatencyUS: w.LatencyUS, UpstreamLatencyUS: w.UpstreamLatencyUS,
		ClientIP: w.ClientIP, ClientHost: w.ClientHost, ClientNet: w.ClientNet, ClientASN: w.ClientASN,
		ClientASOrg: w.ClientASOrg, ClientCountry: w.ClientCountry, PeerIP: w.PeerIP, XFF: w.XFF,
		UserAgent: w.UserAgent, UAFamily: w.UAFamily, Referer: w.Referer,
		AuthType: w.AuthType, Principal: w.Principal, ClientID: w.ClientID, CredentialID: w.CredentialID,
		TokenFP: w.TokenFP, SessionFP: w.SessionFP, FPKeyID: w.FPKeyID,
		TokenAlg: w.TokenAlg, TokenKid: w.TokenKid, TokenIss: w.TokenIss, TokenAud: w.TokenAud,
		TokenExpState: w.TokenExpState, TokenBound: w.TokenBound,
		TLSVersion: w.TLSVersion, TLSFP: w.TLSFP, MTLSSubject: w.MTLSSubject, Upstream: w.Upstream,
		Headers: SortLabels(w.Headers), Labels: SortLabels(w.Labels), Redactions: w.Redactions, Quality: w.Quality,
		Actor: w.Actor, Credential: w.Credential,
	}
}

// SortLabels turns a map into labels in the order of their names; nil for none.
func SortLabels(m map[string]string) []Label {
	if len(m) == 0 {
		return nil
	}
	ls := make([]Label, 0, len(m))
	for name, value := range m {
		ls = append(ls, Label{name, value})
	}
	slices.SortFunc(ls, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return ls
}
