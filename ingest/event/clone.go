package event

import (
	"slices"
	"unsafe"
)

// Clone is a copy of e that shares memory with nothing. All its strings lie in
// one allocation, so who keeps one of them keeps about as much as an event.
func (e *Event) Clone() Event {
	out := *e
	out.Objects = slices.Clone(e.Objects)
	out.XFF = slices.Clone(e.XFF)
	out.Headers, out.Labels = slices.Clone(e.Headers), slices.Clone(e.Labels)
	out.Redactions, out.Quality = slices.Clone(e.Redactions), slices.Clone(e.Quality)
	size := 0
	out.eachString(func(s *string) { size += len(*s) })
	text := make([]byte, 0, size)
	out.eachString(func(s *string) {
		start := len(text)
		text = append(text, *s...) // never grows, so what was cut off it stays
		*s = unsafe.String(unsafe.SliceData(text[start:]), len(*s))
	})
	return out
}

// eachString hands out every string of the event that may share memory with a
// record: all but those of closed sets, which are constants.
func (e *Event) eachString(do func(*string)) {
	for _, s := range [...]*string{
		&e.Origin.Topic, &e.Gateway, &e.GatewayID, &e.Tenant, &e.RequestID, &e.TraceID,
		&e.Method, &e.Scheme, &e.HTTPVersion, &e.Host, &e.Path, &e.Query, &e.Route, &e.RouteID, &e.Service, &e.APIVersion,
		&e.ErrorReason, &e.ClientHost, &e.ClientNet, &e.ClientASOrg, &e.ClientCountry, &e.UserAgent, &e.UAFamily, &e.Referer,
		&e.Principal, &e.ClientID, &e.CredentialID, &e.TokenFP, &e.SessionFP, &e.FPKeyID,
		&e.TokenAlg, &e.TokenKid, &e.TokenIss, &e.TokenAud, &e.TokenExpState, &e.TokenBound,
		&e.TLSVersion, &e.TLSFP, &e.MTLSSubject, &e.Upstream, &e.Actor, &e.Credential,
		(*string)(&e.Kind), (*string)(&e.TSSrc), (*string)(&e.RouteSrc), (*string)(&e.DataClass),
		(*string)(&e.Outcome), (*string)(&e.BytesScope), (*string)(&e.AuthType),
	} {
		do(s)
	}
	for i := range e.Objects {
		do(&e.Objects[i].Name)
		do(&e.Objects[i].Ref)
	}
	for _, labels := range [...][]Label{e.Headers, e.Labels} {
		for i := range labels {
			do(&labels[i].Name)
			do(&labels[i].Value)
		}
	}
	for _, list := range [...][]string{e.Redactions, e.Quality} {
		for i := range list {
			do(&list[i])
		}
	}
}
