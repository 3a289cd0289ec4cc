package alert

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"gatehouse/detect"
)

// State is where an incident is in its life.
type State string

// The states. The way is open → acked → resolved; a finding within the reopen
// window takes a resolved incident back to open.
const (
	StateOpen     State = "open"
	StateAcked    State = "acked"
	StateResolved State = "resolved"
)

// Disposition is what people found an incident to be when they resolved it. It
// is empty for an incident that was resolved by quiet alone: nobody judged it.
type Disposition string

// The dispositions.
const (
	TruePositiveMalicious Disposition = "true_positive_malicious"
	TruePositiveBenign    Disposition = "true_positive_benign"
	FalsePositive         Disposition = "false_positive"
	TestingOrMaintenance  Disposition = "testing_or_maintenance"
	Duplicate             Disposition = "duplicate"
	OtherDisposition      Disposition = "other"
)

// Dispositions lists every Disposition.
func Dispositions() []Disposition {
	return []Disposition{
		TruePositiveMalicious, TruePositiveBenign, FalsePositive, TestingOrMaintenance, Duplicate, OtherDisposition,
	}
}

// Incident is one episode of findings that share a dedup key: what people see,
// acknowledge and resolve. It is a value: the rows of the journal, applied in
// order, give it again. Its slices are never changed in place.
type Incident struct {
	ID       string // "INC-" and 10 characters
	Key      string // dedup key, see [Key]
	Episode  int    // 1 for the first incident of its key
	Previous string // id of the episode before, "" for the first

	State       State
	Disposition Disposition
	StateBy     string   // who caused the last change of state: a person, "detector" or "timer"
	StateAt     int64    // µs; when the state last changed
	Note        string   // the note of the last change of state
	Reopened    []uint32 // seq of each row that reopened it
	Seq         uint32   // seq of the last row

	Findings   int
	Events     int64 // sum over the findings
	First      int64 // µs, event time of the first event
	Last       int64 // µs, event time of the last event
	Measures   []detect.Measure
	Opening    detect.Finding // the finding that opened the episode
	Latest     detect.Finding // the newest by time of firing
	FindingIDs []string
}

// Key is the dedup key of a finding: tenant, rule and the values of its entity.
// The rule's version is not part of it, so that editing a rule does not fork an
// incident. Absent values read "<none>", so that they group and never vanish.
func Key(f *detect.Finding) string {
	parts := []string{orNone(f.Tenant), f.Rule}
	for _, e := range f.Entity {
		parts = append(parts, e.Name+"="+orNone(e.Value))
	}
	return joinEscaped(parts)
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

// joinEscaped joins with "|", escaping it in the parts, so that no two lists
// give one string.
func joinEscaped(parts []string) string {
	var b []byte
	for i, p := range parts {
		if i > 0 {
			b = append(b, '|')
		}
		for j := range len(p) {
			if p[j] == '|' || p[j] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, p[j])
		}
	}
	return string(b)
}

// idAlphabet is Crockford's: no letters that are read as digits.
const idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// idChars is the length of an incident's id without its prefix: 50 bits, at
// which 100,000 incidents have a chance of 4 in a million to share one.
const idChars = 10

// incidentID is a function of the key and the first finding, so that the same
// findings give the same incidents everywhere.
func incidentID(key, firstFinding string) string {
	sum := digest("incident/1", key, firstFinding)
	text := base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding).EncodeToString(sum[:])
	return "INC-" + text[:idChars]
}

// digest hashes a list of strings, each with its length, so that no two lists
// hash alike.
func digest(parts ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, p := range parts {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// errGap means that a row of the journal is missing.
var errGap = errors.New("a row before it is missing")

// apply is the incident after row. A row that was applied before changes
// nothing; a row that does not follow is an error and leaves i as it was.
func (i Incident) apply(row *IncidentEvent) (Incident, error) {
	switch {
	case row.Seq <= i.Seq && i.Seq > 0:
		return i, nil
	case row.Seq != i.Seq+1:
		return i, fmt.Errorf("apply row %d of incident %s after row %d: %w", row.Seq, row.IncidentID, i.Seq, errGap)
	}
	p, err := row.payload()
	if err != nil {
		return i, err
	}
	next := i
	next.ID, next.Seq = row.IncidentID, row.Seq
	if row.Kind == KindOpened {
		next.Key, next.Episode, next.Previous = p.Key, p.Episode, p.Previous
	}
	if p.Finding != nil {
		next.count(p.Finding)
	}
	if row.From != row.To {
		next.move(row)
	}
	return next, nil
}

func (i *Incident) move(row *IncidentEvent) {
	if row.Kind == KindReopened {
		i.Reopened = append(slices.Clip(i.Reopened), row.Seq)
	}
	i.State, i.StateBy, i.StateAt, i.Note = State(row.To), row.Actor, row.At.UnixMicro(), row.Note
	i.Disposition = ""
	if i.State == StateResolved && row.Source != SourceTimer {
		i.Disposition = Disposition(row.Reason)
	}
}

func (i *Incident) count(f *detect.Finding) {
	if i.Findings == 0 {
		i.Opening, i.First = *f, f.First
	}
	if i.Findings == 0 || f.At >= i.Latest.At {
		i.Latest = *f
	}
	i.Findings++
	i.Events += f.Events
	i.First, i.Last = min(i.First, f.First), max(i.Last, f.Last)
	i.Measures = maxMeasures(i.Measures, f.Measures)
	i.FindingIDs = append(slices.Clip(i.FindingIDs), f.ID)
}

// maxMeasures is the largest value of each measure, in the order first seen.
func maxMeasures(have, more []detect.Measure) []detect.Measure {
	out := slices.Clone(have)
	for _, m := range more {
		at := slices.IndexFunc(out, func(o detect.Measure) bool { return o.Name == m.Name })
		if at < 0 {
			out = append(out, m)
			continue
		}
		out[at].Value = max(out[at].Value, m.Value)
	}
	return out
}
