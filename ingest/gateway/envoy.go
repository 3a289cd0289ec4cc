package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// decodeEnvoy reads Envoy's access log: JSON with the member names of Istio or
// of Envoy Gateway, and the text lines of Envoy and Istio. Envoy's names are the
// operator's to choose; the common aliases are known, others are skipped.
//
// start_time is when the request began; durations are ms. Sizes are those of
// bodies. The client is downstream_remote_address, into which Envoy has put the
// address that its trusted-hop rule chose; where a format has only
// X-Forwarded-For, the last hop, which is what Envoy itself appended.
func decodeEnvoy(m *memory, record []byte, raw *event.Raw) *event.DecodeError {
	raw.Gateway = "envoy"
	if len(record) > 0 && record[0] == '[' {
		return readEnvoyText(m, raw, view(record))
	}
	e := &m.envoy
	e.scanner = newScanner(m, record)
	err := e.decode(raw)
	*e = envoy{}
	return err
}

func (e *envoy) decode(raw *event.Raw) *event.DecodeError {
	raw.BytesScope = event.BytesBody
	envoyMembers.read(&e.scanner, &e.memory.envoyNext, e, raw)
	if err := e.end(); err != nil {
		return err
	}
	return e.finish(raw)
}

// envoy is the state of reading one record. Texts that decide an outcome are
// kept until all members are read.
type envoy struct {
	scanner
	start          string
	answered       bool
	method, target string
	protocol       string
	flags, details string
	reasons        [2]string // connection termination, upstream transport failure
	logType        string
	cluster        string
	originPath     string
}

// envoyMembers are the members of the JSON formats of Istio and Envoy Gateway, the
// common aliases, and what many operators add.
var envoyMembers = newMembers(
	func(e *envoy, _ *event.Raw) { e.skip() },
	[]member[envoy]{
		{"start_time", func(e *envoy, _ *event.Raw) { e.start = e.text() }},
		{"method :method", func(e *envoy, _ *event.Raw) { e.method = e.text() }},
		{"path :path", func(e *envoy, _ *event.Raw) { e.target = e.text() }},
		{"x-envoy-origin-path x-envoy-original-path original_path", func(e *envoy, _ *event.Raw) { e.originPath = e.text() }},
		{"protocol", func(e *envoy, _ *event.Raw) { e.protocol = e.text() }},
		{"authority :authority", func(e *envoy, raw *event.Raw) { raw.Host = hostName(e.text()) }},
		{"response_code", func(e *envoy, raw *event.Raw) { raw.Status, e.answered = e.status("response_code"), true }},
		{"response_flags", func(e *envoy, _ *event.Raw) { e.flags = e.text() }},
		{"response_code_details", func(e *envoy, _ *event.Raw) { e.details = e.text() }},
		{"bytes_received", func(e *envoy, raw *event.Raw) { raw.ReqBytes = e.quantity(asIs) }},
		{"bytes_sent", func(e *envoy, raw *event.Raw) { raw.RespBytes = e.quantity(asIs) }},
		{"duration total_duration", func(e *envoy, raw *event.Raw) { raw.LatencyUS = e.quantity(fromMillis) }},
		{"downstream_remote_address", func(e *envoy, raw *event.Raw) { raw.Client = hostOf(e.text()) }},
		{"downstream_direct_remote_address", func(e *envoy, raw *event.Raw) { raw.Peer = hostOf(e.text()) }},
		{"x_forwarded_for x-forwarded-for req_x_forwarded_for forwarded_for", func(e *envoy, raw *event.Raw) { raw.XFF = forwarded(raw.XFF[:0], e.text()) }},
		{"user_agent user-agent", func(e *envoy, raw *event.Raw) { raw.UserAgent = e.text() }},
		{"request_id x-request-id", func(e *envoy, raw *event.Raw) { raw.RequestID = e.text() }},
		{"route_name", func(e *envoy, raw *event.Raw) { raw.RouteID = e.text() }},
		{"upstream_cluster upstream_cluster_raw backendCluster", func(e *envoy, _ *event.Raw) { e.cluster = e.text() }},
		{"upstream_host backendHost", func(e *envoy, raw *event.Raw) { raw.Upstream = e.text() }},
		{"upstream_service_time x-envoy-upstream-service-time resp_backend_service_time", func(e *envoy, raw *event.Raw) { raw.UpstreamLatencyUS = e.quantity(fromMillis) }},
		{"connection_termination_details", func(e *envoy, _ *event.Raw) { e.reasons[0] = e.text() }},
		{"upstream_transport_failure_reason", func(e *envoy, _ *event.Raw) { e.reasons[1] = e.text() }},
		{"access_log_type", func(e *envoy, _ *event.Raw) { e.logType = e.text() }},
		{"scheme :scheme x-forwarded-proto x_forwarded_proto", func(e *envoy, raw *event.Raw) { raw.Scheme = lower(e.text()) }},
		{"trace_id traceparent", func(e *envoy, raw *event.Raw) { raw.TraceID = traceID(e.text()) }},
		{"downstream_tls_version", func(e *envoy, raw *event.Raw) { raw.TLSVersion = e.text() }},
		{"downstream_peer_subject", func(e *envoy, raw *event.Raw) {
			if raw.MTLSSubject = e.text(); raw.MTLSSubject != "" {
				raw.AuthType = event.AuthMTLS
			}
		}},
		{"tls_ja3_fingerprint ja3 tls_ja4_fingerprint ja4", func(e *envoy, raw *event.Raw) { raw.TLSFP = e.text() }},
		{"authorization", func(e *envoy, raw *event.Raw) { setHeader(raw, "authorization", e.text()) }},
		{"cookie", func(e *envoy, raw *event.Raw) { setHeader(raw, "cookie", e.text()) }},
		{"referer", func(e *envoy, raw *event.Raw) { setHeader(raw, "referer", e.text()) }},
		{"x-api-key", func(e *envoy, raw *event.Raw) { setHeader(raw, "x-api-key", e.text()) }},
		{"apikey", func(e *envoy, raw *event.Raw) { setHeader(raw, "apikey", e.text()) }},
		{"api-key", func(e *envoy, raw *event.Raw) { setHeader(raw, "api-key", e.text()) }},
		{"x_api_key", func(e *envoy, raw *event.Raw) { setHeader(raw, "x-api-key", e.text()) }},
	},
)

// finish checks what is required and sets what depends on several members.
func (e *envoy) finish(raw *event.Raw) *event.DecodeError {
	m := parseTime(e.start)
	switch {
	case strings.HasSuffix(e.logType, "Start"), strings.HasSuffix(e.logType, "Periodic"), strings.HasSuffix(e.logType, "PoolReady"):
		return event.Reject(event.ReasonNotAccess, "access_log_type", "the record at the end of a request")
	case e.start == "":
		return event.Reject(event.ReasonMissingField, "start_time", "RFC 3339 time")
	case !e.answered:
		return event.Reject(event.ReasonMissingField, "response_code", "a status")
	case !m.usable:
		return event.Reject(event.ReasonBadTime, "start_time", "RFC 3339 time")
	case e.method == "" && e.protocol == "":
		return event.Reject(event.ReasonNotAccess, "method", "an HTTP request, not a TCP connection")
	}
	if e.originPath != "" {
		e.target = e.originPath // the path before rewriting is what the client asked for
	}
	setMethod(raw, e.method, &e.notes)
	e.notes |= setTarget(raw, e.target)
	raw.HTTPVersion = httpVersion(e.protocol)
	raw.Service = serviceOfCluster(e.cluster)
	if raw.Client == "" {
		raw.Client = last(raw.XFF)
	}
	if raw.Host == "" {
		e.notes |= noteHostMissing
	}
	e.setResult(raw)
	setTime(raw, m, &e.notes)
	raw.Quality = e.notes.appendTo(raw.Quality[:0])
	return nil
}

// viaUpstream is the detail of a response that came from the upstream.
const viaUpstream = "via_upstream"

// setResult tells who answered and why.
func (e *envoy) setResult(raw *event.Raw) {
	if e.details == viaUpstream {
		raw.UpstreamStatus, e.details = raw.Status, ""
	}
	if e.flags != "" {
		raw.Outcome = outcomeOfFlags(e.flags, raw.Status)
	}
	if raw.Outcome == "" && raw.Status >= 500 && e.details != "" {
		raw.Outcome = event.OutcomeUpstreamError // Envoy made this answer itself
	}
	for _, why := range [...]string{e.flags, e.details, e.reasons[0], e.reasons[1]} {
		switch {
		case why == "":
		case raw.ErrorReason == "":
			raw.ErrorReason = why
		default:
			raw.ErrorReason = e.memory.joined(raw.ErrorReason, " ", why)
		}
	}
}

// outcomeOfFlags is the outcome that Envoy's response flags tell, "" where the
// status says as much.
func outcomeOfFlags(flags string, status int) event.Outcome {
	for more := true; more; {
		var flag string
		flag, flags, more = strings.Cut(flags, ",")
		switch flag {
		case "RL":
			return event.OutcomeRateLimited
		case "UAEX":
			return outcomeOfRefusal(status)
		case "DC":
			return event.OutcomeAborted
		case "DPE", "IH":
			return event.OutcomeClientError
		case "UF", "UH", "UO", "UT", "UC", "UR", "LH", "LR", "URX", "NC", "UPE", "UMSDR", "DO", "DF", "NFCF", "OM", "RLSE":
			if status == 0 || status >= 500 {
				return event.OutcomeUpstreamError
			}
		}
	}
	return ""
}

// outcomeOfRefusal is that of a refusal by external authorization, which may
// answer with any status.
func outcomeOfRefusal(status int) event.Outcome {
	if status == 401 || status == 403 || status == 429 {
		return "" // the status says it
	}
	return event.OutcomeForbidden
}

// serviceOfCluster is the service that a cluster stands for. Istio names clusters
// direction|port|subset|host.
func serviceOfCluster(cluster string) string {
	if i := strings.LastIndexByte(cluster, '|'); i >= 0 && i+1 < len(cluster) {
		return cluster[i+1:]
	}
	return cluster
}
