package redact

import (
	"strings"

	"gatehouse/ingest/event"
)

// maxParams is the most query parameters that are looked at.
const maxParams = 128

// query writes Query: names that are plain identifiers, and values only where
// the policy names the parameter and the value has the look it must have.
func (s *scratch) query(raw string) {
	raw = s.clip(raw, event.MaxQuery, '&', noteQueryCut)
	s.buf = s.buf[:0]
	rest := raw
	for n := 0; rest != ""; n++ {
		if n == maxParams {
			s.notes |= noteQueryCut
			break
		}
		var param string
		param, rest, _ = cutByte(rest, '&')
		if param != "" {
			s.param(param)
		}
	}
	if len(s.buf) > event.MaxQuery {
		s.buf = s.buf[:event.MaxQuery]
		s.notes |= noteQueryCut
	}
	s.e.Query = s.written(raw)
}

// param writes one parameter.
func (s *scratch) param(param string) {
	name, raw, assigned := cutByte(param, '=')
	p, ok := s.paramOf(name)
	if !ok || tokenAt(param, 0) > len(name) {
		s.notes |= noteParamDropped
		s.strayIn(param)
		s.strayIn(name)
		s.strayIn(raw)
		return
	}
	if len(s.buf) > 0 {
		s.buf = append(s.buf, '&')
	}
	s.buf = append(s.buf, name...)
	if !assigned {
		return
	}
	s.buf = append(s.buf, '=')
	if raw == "" {
		return
	}
	if p.secrecy == open && p.check.keeps(raw) {
		s.buf = append(s.buf, raw...)
		return
	}
	s.notes |= noteQueryValue
	s.buf = append(s.buf, s.value(name, raw, p.secrecy)...)
}

// value gives the placeholder of a value, and notes what it tells: a credential
// in a URL, an object that the call names.
func (s *scratch) value(name, raw string, secrecy secrecy) string {
	v, readable := decode(strings.ReplaceAll(raw, "+", " "))
	if secrecy >= closed || secrecy == guarded && !isHarmless(v) {
		s.strayParam(name, v)
		return "{secret}"
	}
	kind := shapeOf(v)
	switch {
	case kind == shapeToken || kind == shapeSecret:
		s.notes |= kind.note()
		s.keepStray(ClassToken, v)
	case kind.hidden():
		s.notes |= kind.note()
		if kind != shapePAN && isIDName(name) {
			s.addObject(object{name: name, ref: s.reference("fp:", ClassObject, lower(v))})
		}
	case !readable:
		return "{encoded}"
	case kind == shapeInt || kind == shapeUUID || kind == shapeULID:
		if isIDName(name) {
			s.addObject(object{name: name, ref: v})
		}
	case kind == shapeText:
		return textKind(v)
	}
	return kind.placeholder()
}

// textKind names what kind of text a value is, as far as that matters to who
// looks for attacks.
func textKind(v string) string {
	switch {
	case strings.Contains(v, "://") || strings.HasPrefix(v, "//"):
		return "{url}"
	case strings.Contains(v, "../") || strings.Contains(v, `..\`) || v[0] == '/':
		return "{path}"
	case strings.ContainsAny(v, "<>"):
		return "{markup}"
	case strings.ContainsAny(v, "'\"`"):
		return "{quoted}"
	case v[0] == '{' || v[0] == '[':
		return "{json}"
	case strings.ContainsAny(v, "$|&\\") || strings.Contains(v, "; "):
		return "{code}"
	case strings.IndexByte(v, ',') > 0:
		return "{list}"
	}
	return "{text}"
}

// strayParam notes a secret in a named parameter. Tokens and keys name their
// bearer; passwords, codes and signatures are no identity and are not hashed.
func (s *scratch) strayParam(name, v string) {
	s.notes |= noteSecretInURL
	var buf [maxParam]byte
	switch key := string(squeeze(buf[:0], name)); {
	case s.policy.isSession(name):
		s.keepStray(ClassSession, v)
	case strings.HasSuffix(key, "token"), key == "jwt", key == "bearer", key == "auth":
		s.keepStray(ClassToken, v)
	case key == "key", strings.HasSuffix(key, "apikey"), strings.HasSuffix(key, "accesskey"):
		s.keepStray(ClassAPIKey, v)
	}
}

// strayIn notes a token in something that is dropped.
func (s *scratch) strayIn(raw string) {
	if v, _ := decode(raw); v != "" && shapeOf(v) == shapeToken {
		s.keepStray(ClassToken, v)
	}
}

// param is what the name of a parameter tells.
type param struct {
	secrecy secrecy
	check   Check // "" where the policy does not name it
}

// paramOf is what a name tells, and whether it is one.
func (s *scratch) paramOf(name string) (param, bool) {
	if p := s.params.get(name); p != nil && name != "" {
		return *p, true
	}
	if !isParamName(name) {
		return param{}, false
	}
	p := param{secrecyOf(name), s.policy.Params[lower(name)]}
	s.params.put(name, p)
	return p, true
}

// isParamName says whether a name is an identifier and none that looks random:
// names can be secrets too.
func isParamName(name string) bool {
	if name == "" || len(name) > maxParam || !isAlpha(name[0]) && name[0] != '_' && name[0] != '$' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !isAlnum(c) && strings.IndexByte("_-.[]$", c) < 0 {
			return false
		}
	}
	return isWords(name) && !shapeOf(name).hidden()
}

// isIDName says whether a parameter names an object: id, order_id, orderId,
// account-id, uuid.
func isIDName(name string) bool {
	const id = 2
	if len(name) < id {
		return false
	}
	switch head, tail := name[:len(name)-id], name[len(name)-id:]; {
	case tail == "Id" || tail == "ID":
		return true
	case equalFold(tail, "id"):
		return head == "" || strings.HasSuffix(head, "_") || strings.HasSuffix(head, "-") || strings.HasSuffix(head, ".") || equalFold(name, "uuid") || equalFold(name, "guid") || equalFold(name, "uid")
	}
	return false
}
