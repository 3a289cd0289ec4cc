package redact

import (
	"slices"
	"strings"

	"gatehouse/ingest/event"
)

// headers writes the headers that the policy names and whose value has the look
// it must have; the rest is dropped and noted. Names are public only if the
// policy knows them.
func (s *scratch) headers(in []event.Label) []event.Label {
	if len(in) == 0 {
		return nil
	}
	out := s.pairs.take(min(len(in), event.MaxHeaders))[:0]
	for _, h := range in {
		name := lower(h.Name)
		check, known := s.headerCheck(name)
		value, ok := s.headerValue(check, strings.TrimSpace(h.Value))
		switch {
		case !known || !ok:
			s.notes |= noteHeaderDropped
		case len(out) == event.MaxHeaders:
			s.notes |= noteListCut
		default:
			out = append(out, event.Label{Name: name, Value: value})
		}
	}
	return sorted(out)
}

// headerCheck is what the policy says of a header.
func (s *scratch) headerCheck(name string) (Check, bool) {
	if check := s.heads.get(name); check != nil && name != "" {
		return *check, true
	}
	check, known := s.policy.Headers[name]
	if known { // a name that is not might be a secret
		s.heads.put(name, check)
	}
	return check, known
}

// headerValue is the value as it is stored, and whether it is.
func (s *scratch) headerValue(check Check, v string) (string, bool) {
	switch check {
	case CheckMediaType:
		kind, _, _ := strings.Cut(v, ";")
		kind = lower(strings.TrimSpace(kind))
		return kind, len(kind) <= 64 && strings.Count(kind, "/") == 1 && CheckList.keeps(kind)
	case CheckOrigin:
		origin := s.origin(v)
		return origin, origin != ""
	case CheckHost:
		name, _ := splitPort(v)
		return lower(name), s.isHost(lower(name))
	}
	if check != CheckList {
		return v, check.keeps(v)
	}
	if v != "" && s.accept.has(v) {
		return v, true
	}
	if !check.keeps(v) {
		return "", false
	}
	s.accept.add(v)
	return v, true
}

// labels writes the attributes that the decoder kept, as text.
func (s *scratch) labels(in []event.Label) []event.Label {
	if len(in) == 0 {
		return nil
	}
	out := s.pairs.take(min(len(in), event.MaxLabels))[:0]
	for _, l := range in {
		p, ok := s.paramOf(l.Name)
		switch {
		case !ok || p.secrecy != open:
			s.notes |= noteLabelDropped
		case len(out) == event.MaxLabels:
			s.notes |= noteListCut
		default:
			out = append(out, event.Label{Name: l.Name, Value: s.text(l.Value, event.MaxName)})
		}
	}
	return sorted(out)
}

// sorted orders labels by name; of a name that occurs twice the first stays.
func sorted(ls []event.Label) []event.Label {
	if len(ls) == 0 {
		return nil
	}
	slices.SortStableFunc(ls, func(a, b event.Label) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(ls, func(a, b event.Label) bool { return a.Name == b.Name })
}
