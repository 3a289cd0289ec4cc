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
		check, known := s.policy.Headers[lower(h.Name)]
		value, ok := s.headerValue(check, strings.TrimSpace(h.Value))
		switch {
		case !known || !ok:
			s.notes |= noteHeaderDropped
		case len(out) == event.MaxHeaders:
			s.notes |= noteListCut
		default:
			out = append(out, event.Label{Name: lower(h.Name), Value: value})
		}
	}
	return sorted(out)
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
