package traffic

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/ingest/event"
	"gatehouse/ingest/gateway"
)

// kept is what of a call a gateway's record still tells, in its resolution. The
// decoders are another's work: that they agree is the point.
func kept(name string, r event.Raw, o Option) event.Raw {
	r.Gateway, r.Kind = name, event.KindAccess
	switch name {
	case "kong":
		r.Peer, r.Tenant, r.RouteID, r.HTTPVersion = "", "default", r.Service, ""
		r.TS, r.LatencyUS, r.UpstreamLatencyUS = ms3(r.TS), ms3(r.LatencyUS), ms3(r.UpstreamLatencyUS)
	case "traefik":
		r.RouteID, r.Service = r.Service+"@kubernetes", r.Service+"@kubernetes"
		r.RequestID, r.Principal, r.ClientID, r.CredentialID = "", "", "", ""
		r.TLSVersion = "1.3"
		r = bodyOnly(r)
	case "envoy":
		r.Peer, r.TLSVersion, r.Principal, r.ClientID, r.CredentialID, r.Scheme, r.Referer = "", "", "", "", "", "", ""
		r.RouteID, r.XFF = "default", []string{r.Client}
		r.TS, r.LatencyUS, r.UpstreamLatencyUS = ms3(r.TS), ms3(r.LatencyUS), ms3(r.UpstreamLatencyUS)
		r.Service += ".shop.svc.cluster.local"
		if r.UpstreamStatus == 0 {
			r.ErrorReason, r.Service = "direct_response", ""
		}
		r = bodyOnly(r)
	case "nginx":
		r.Peer, r.Principal, r.ClientID, r.CredentialID = "", "", "", ""
		r.TS = ms3(r.TS+r.LatencyUS) - ms3(r.LatencyUS)
		r.LatencyUS, r.UpstreamLatencyUS = ms3(r.LatencyUS), ms3(r.UpstreamLatencyUS)
	case "clf":
		r = keptByCLF(r)
	}
	if name != "canonical" && o != WithCredential {
		r.Authorization = ""
		if name != "kong" {
			r.APIKey, r.Cookie = "", ""
		}
	}
	return r
}

// ms3 cuts µs to ms; absent stays absent.
func ms3(us int64) int64 {
	if us < 0 {
		return us
	}
	return us / 1000 * 1000
}

func bodyOnly(r event.Raw) event.Raw {
	r.ReqBytes, r.RespBytes = bodyBytes(&r, r.ReqBytes), bodyBytes(&r, r.RespBytes)
	r.BytesScope = event.BytesBody
	return r
}

func keptByCLF(r event.Raw) event.Raw {
	out := event.NewRaw("clf")
	out.TS, out.TSSrc = (r.TS+r.LatencyUS)/sec*sec, event.TimeStart
	out.Client, out.Principal = r.Client, r.Principal
	out.Method, out.Path, out.Query, out.HTTPVersion = r.Method, r.Path, r.Query, r.HTTPVersion
	out.Status, out.RespBytes, out.BytesScope = r.Status, bodyBytes(&r, r.RespBytes), event.BytesBody
	out.Referer, out.UserAgent = r.Referer, r.UserAgent
	return out
}

// What a gateway would have logged of a call, its decoder reads again.
func TestDecodersReadWhatEncodersWrite(t *testing.T) {
	ignored := cmpopts.IgnoreFields(plain{}, "AuthType", "Quality", "Headers", "Outcome")
	for _, name := range Gateways() {
		for _, o := range []Option{0, WithCredential} {
			n := 0
			attacks := []Attack{{Name: TokenReuse}, {Name: ObjectEnumeration}, {Name: EndpointProbing}, {Name: VolumeSpike}}
			for c := range Scenario(Config{Seed: 11, Start: start, Duration: time.Minute, Attacks: attacks}) {
				line, err := Encode(name, &c.Raw, o)
				if err != nil {
					t.Fatal(err)
				}
				got := decodeOne(t, name, line)
				want := kept(name, c.Raw, o)
				if d := cmp.Diff(fields(want), fields(got), ignored, cmpopts.EquateEmpty()); d != "" {
					t.Fatalf("%s, call %d (-call +decoded):\n%s\n%s", name, n, d, line)
				}
				n++
			}
			if n < 1000 {
				t.Errorf("%s: %d calls compared, want 1000", name, n)
			}
		}
	}
}

// plain is a Raw whose fields print.
type plain event.Raw

func fields(r event.Raw) plain { return plain(r) }

func decodeOne(t *testing.T, name string, line []byte) event.Raw {
	t.Helper()
	var got []event.Raw
	gateway.Decode(name, line, func(_ int32, raw *event.Raw) { got = append(got, raw.Clone()) }, func(_ int32, err *event.DecodeError, _ int) {
		t.Fatalf("%s: %v\n%s", name, err, line)
	})
	if len(got) != 1 {
		t.Fatalf("%s: %d events from one line", name, len(got))
	}
	return got[0]
}

// The source type can also be recognised from each line.
func TestLinesAreRecognised(t *testing.T) {
	for _, name := range Gateways() {
		for c := range Scenario(Config{Seed: 11, Start: start, Duration: 5 * time.Second}) {
			line, err := Encode(name, &c.Raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := decodeOne(t, "", line).Gateway; got != name {
				t.Fatalf("a line of %s is taken for one of %q", name, got)
			}
		}
	}
}
