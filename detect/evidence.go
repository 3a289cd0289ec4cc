package detect

import (
	"slices"

	"gatehouse/ingest/event"
)

// evidence is where the events came from that made a window what it is: the
// first and the last ones, in arrival order.
type evidence struct{ refs []ref }

// ref is an origin without its topic's text.
type ref struct {
	ts, offset int64
	src, index int32
}

// add notes an event; start is the begin of the window.
func (e *evidence) add(in *input, start int64) {
	if len(e.refs) == MaxEvidence {
		e.refs = slices.DeleteFunc(e.refs, func(r ref) bool { return r.ts < start })
	}
	if len(e.refs) == MaxEvidence {
		e.refs = slices.Delete(e.refs, MaxEvidence/2, MaxEvidence/2+1)
	}
	o := in.ev.Origin
	e.refs = append(e.refs, ref{in.ev.TS, o.Offset, in.src, o.Index})
}

// origins lists the events from start on, by time.
func (e *evidence) origins(start int64, partitions []*partition) []event.Origin {
	refs := slices.DeleteFunc(slices.Clone(e.refs), func(r ref) bool { return r.ts < start })
	slices.SortStableFunc(refs, func(a, b ref) int {
		switch {
		case a.ts < b.ts:
			return -1
		case a.ts > b.ts:
			return 1
		}
		return 0
	})
	out := make([]event.Origin, 0, len(refs))
	for _, r := range refs {
		key := partitions[r.src].key
		out = append(out, event.Origin{Topic: key.topic, Partition: key.n, Offset: r.offset, Index: r.index})
	}
	return out
}
