package detect

import (
	"cmp"
	"slices"

	"gatehouse/ingest/event"
)

// SortByTime puts the events of one file into the order that [Engine.Observe]
// wants: by time, and by origin where times are equal. Gateways write a line
// when a request ends, and with the time at which it began, so a file is out of
// order by as much as its longest request; some files are not in order at all.
// A stream needs no sorting: what is out of order by less than the lateness is
// counted right.
func SortByTime(events []event.Event) {
	slices.SortStableFunc(events, func(a, b event.Event) int {
		if c := cmp.Compare(a.TS, b.TS); c != 0 {
			return c
		}
		return a.Origin.Compare(b.Origin)
	})
}
