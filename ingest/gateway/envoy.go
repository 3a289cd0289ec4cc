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
func decodeEnvoy(record []byte, raw *event.Raw) *event.DecodeError {
	raw.Reset("envoy")
	if len(record) > 0 && record[0] == '[' {
		return readEnvoyText(raw, view(record))
	}
	e := envoy{scanner: newScanner(record)}
	e.read(raw)
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

func (e *envoy) read(raw *event.Raw) {
	raw.BytesScope = event.BytesBody
	for key, ok := e.enter(); ok; key, ok = e.next() {
		switch key {
		case "start_time":
			e.start = e.text()
		case "method", ":method":
			e.method = e.text()
		case "path", ":path":
			e.target = e.text()
		case "x-envoy-origin-path", "x-envoy-original-path", "original_path":
			e.originPath = e.text()
		case "protocol":
			e.protocol = e.text()
		case "authority", ":authority":
			raw.Host = hostName(e.text())
		case "response_code":
			raw.Status, e.answered = e.status("response_code"), true
		case "response_flags":
			e.flags = e.text()
		case "response_code_details":
			e.details = e.text()
		case "bytes_received":
			raw.ReqBytes = e.quantity(asIs)
		case "bytes_sent":
			raw.RespBytes = e.quantity(asIs)
		case "duration", "total_duration":
			raw.LatencyUS = e.quantity(fromMillis)
		default:
			e.parties(raw, key)
		}
	}
}

func (e *envoy) parties(raw *event.Raw, key string) {
	switch key {
	case "downstream_remote_address":
		raw.Client = hostOf(e.text())
	case "downstream_direct_remote_address":
		raw.Peer = hostOf(e.text())
	case "x_forwarded_for", "x-forwarded-for", "req_x_forwarded_for", "forwarded_for":
		raw.XFF = forwarded(e.text())
	case "user_agent", "user-agent":
		raw.UserAgent = e.text()
	case "request_id", "x-request-id":
		raw.RequestID = e.text()
	case "route_name":
		raw.RouteID = e.text()
	case "upstream_cluster", "upstream_cluster_raw", "backendCluster":
		e.cluster = e.text()
	case "upstream_host", "backendHost":
		raw.Upstream = e.text()
	case "upstream_service_time", "x-envoy-upstream-service-time", "resp_backend_service_time":
		raw.UpstreamLatencyUS = e.quantity(fromMillis)
	case "connection_termination_details":
		e.reasons[0] = e.text()
	case "upstream_transport_failure_reason":
		e.reasons[1] = e.text()
	case "access_log_type":
		e.logType = e.text()
	default:
		e.identity(raw, key)
	}
}

// identity takes members that no default format has and many add.
func (e *envoy) identity(raw *event.Raw, key string) {
	switch key {
	case "scheme", ":scheme", "x-forwarded-proto", "x_forwarded_proto":
		raw.Scheme = strings.ToLower(e.text())
	case "trace_id", "traceparent":
		raw.TraceID = traceID(e.text())
	case "downstream_tls_version":
		raw.TLSVersion = e.text()
	case "downstream_peer_subject":
		if raw.MTLSSubject = e.text(); raw.MTLSSubject != "" {
			raw.AuthType = event.AuthMTLS
		}
	case "tls_ja3_fingerprint", "ja3", "tls_ja4_fingerprint", "ja4":
		raw.TLSFP = e.text()
	case "authorization", "cookie", "referer", "x-api-key", "apikey", "api-key":
		setHeader(raw, key, e.text())
	case "x_api_key":
		setHeader(raw, "x-api-key", e.text())
	default:
		e.skip()
	}
}

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
	raw.Quality = e.notes.list()
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
			raw.ErrorReason += " " + why
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
