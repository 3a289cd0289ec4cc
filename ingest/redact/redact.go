package redact

import (
	"errors"
	"hash/maphash"
	"sync"

	"gatehouse/ingest/event"
)

// Config is the settings of a Redactor.
type Config struct {
	// Keys make the fingerprints. Required: without a key nothing is redacted.
	Keys Keyring
	// Policy says what is kept; the zero value means DefaultPolicy.
	Policy Policy
}

// Redactor makes events of raw records. It is safe for concurrent use.
type Redactor struct {
	pool sync.Pool
}

// New makes a Redactor. It refuses a configuration without a key and a policy
// that names unknown checks.
func New(cfg Config) (*Redactor, error) {
	if len(cfg.Keys.keys) == 0 {
		return nil, errors.New("make redactor: no fingerprint key: load one with LoadOrCreateKey")
	}
	policy := cfg.Policy.clone()
	if policy.Name == "" {
		policy = DefaultPolicy()
	}
	if err := policy.validate(); err != nil {
		return nil, err
	}
	key := cfg.Keys.Active()
	seed := maphash.MakeSeed()
	r := &Redactor{}
	r.pool.New = func() any {
		s := &scratch{policy: &policy, fp: printer{fp: newFingerprinter(key)}, keyID: key.id}
		s.agents.seed = seed
		return s
	}
	return r, nil
}

// Redact writes the event of a raw record into e: every field is set anew, to
// what the record gives and nothing secret. It depends on nothing but its
// arguments, the key and the policy. The error, if any, is an *event.DecodeError
// of ReasonRedaction that tells nothing of the content; e is the zero Event then.
//
// Strings of e may share the memory of raw's strings, and with that of the
// record that it was decoded from; see [event.Event]. Nothing else of raw is kept.
func (r *Redactor) Redact(raw *event.Raw, o event.Origin, e *event.Event) (err error) {
	s := r.pool.Get().(*scratch)
	defer func() {
		if recover() != nil { // the scratch is not to be used again
			*e, err = event.Event{}, event.Reject(event.ReasonRedaction, "", "a record that redaction can take apart")
			return
		}
		s.forget()
		r.pool.Put(s)
	}()
	s.reset()
	*e = event.Event{} // in place; a literal with the origin would be made elsewhere and copied
	e.Origin = o
	s.e = e
	s.fill(raw)
	return nil
}

// fill writes every field. Tenant comes first, since fingerprints depend on it;
// the URL before the credentials, since it may hold one.
func (s *scratch) fill(raw *event.Raw) {
	e := s.e
	e.Gateway = s.name(raw.Gateway)
	e.GatewayID = s.name(raw.GatewayID)
	e.Tenant = s.name(raw.Tenant)
	s.fp.setTenant(e.Tenant)
	s.typed(raw)
	s.client(raw)
	s.target(raw)
	s.result(raw)
	e.RequestID = s.requestID(raw.RequestID)
	e.TraceID = s.traceID(raw.TraceID)
	s.agent(raw.UserAgent)
	e.Referer = s.referrer(raw.Referer)

	e.Principal = s.identity(raw.Principal, ClassPrincipal)
	e.ClientID = s.identity(raw.ClientID, ClassPrincipal)
	e.CredentialID = s.credentialID(raw.CredentialID)
	e.MTLSSubject = s.text(raw.MTLSSubject, event.MaxReason)
	s.credentials(raw)

	e.Headers = s.headers(raw.Headers)
	e.Labels = s.labels(raw.Labels)
	e.Redactions, e.Quality = s.lists.lists(s.notes, raw.Quality)
	e.CompleteIn(&s.made)
}
