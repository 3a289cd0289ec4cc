package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gatehouse/detect"
)

// Journal is an append-only table. Append returns when the rows are durable. On
// an error some of them may be; the caller then appends the same rows again
// before any other, so a journal that drops a row it already has (by incident id
// and seq) holds each once. Readers of one that does not, ignore the repeats.
type Journal[T any] interface {
	Append(ctx context.Context, rows ...T) error
}

// Kinds of rows in the incident log.
const (
	KindOpened   = "opened"   // the first row of an episode; carries its finding
	KindFinding  = "finding"  // one more finding of the episode
	KindReopened = "reopened" // a finding after it was resolved, or a person
	KindAcked    = "acked"
	KindResolved = "resolved"
	KindNote     = "note"
)

// Sources of rows: what made a transition.
const (
	SourceDetector = "detector"
	SourceTimer    = "timer"
	SourceSlack    = "slack"
	SourceConsole  = "console"
	SourceAPI      = "api"
)

// IncidentEvent is one row of the incident log: one transition, never changed.
// (IncidentID, Seq) names it.
type IncidentEvent struct {
	IncidentID string    `ch:"incident_id"`
	Seq        uint32    `ch:"seq"` // 1 for the row that opened it
	At         time.Time `ch:"at"`  // event time for detector and timer, else wall clock
	Kind       string    `ch:"kind"`
	Actor      string    `ch:"actor"`
	Source     string    `ch:"source"`
	From       string    `ch:"from"`
	To         string    `ch:"to"`
	Reason     string    `ch:"reason"` // a disposition, or "quiet"
	Note       string    `ch:"note"`
	Payload    string    `ch:"payload"` // JSON: the finding, and for the first row key, episode and previous
}

// eventPayload is what IncidentEvent.Payload holds.
type eventPayload struct {
	Key      string          `json:"key,omitempty"`
	Episode  int             `json:"episode,omitempty"`
	Previous string          `json:"previous,omitempty"`
	Finding  *detect.Finding `json:"finding,omitempty"`
}

func (r *IncidentEvent) payload() (eventPayload, error) {
	var p eventPayload
	if r.Payload == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(r.Payload), &p); err != nil {
		return p, fmt.Errorf("read payload of row %d of incident %s: %w", r.Seq, r.IncidentID, err)
	}
	return p, nil
}

func (p eventPayload) encode() (string, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("write payload: %w", err)
	}
	return string(b), nil
}

// Replay rebuilds incidents from their rows, given in any order and with
// repeats. The incidents come in the order of their first row's time, then id.
// An incident of which a row is missing or cannot be read is left out, and the
// error names it; the others are right all the same.
func Replay(rows []IncidentEvent) ([]Incident, error) {
	byID := map[string][]*IncidentEvent{}
	for n := range rows {
		byID[rows[n].IncidentID] = append(byID[rows[n].IncidentID], &rows[n])
	}
	var out []Incident
	var broken []error
	opened := map[string]time.Time{}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		own := byID[id]
		slices.SortStableFunc(own, func(a, b *IncidentEvent) int { return cmp.Compare(a.Seq, b.Seq) })
		i, err := replayOne(own)
		if err != nil {
			broken = append(broken, fmt.Errorf("replay incident log: %w", err))
			continue
		}
		opened[id] = own[0].At
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b Incident) int {
		return cmp.Or(opened[a.ID].Compare(opened[b.ID]), cmp.Compare(a.ID, b.ID))
	})
	return out, errors.Join(broken...)
}

func replayOne(rows []*IncidentEvent) (Incident, error) {
	var i Incident
	for _, row := range rows {
		next, err := i.apply(row)
		if err != nil {
			return i, err
		}
		i = next
	}
	return i, nil
}
