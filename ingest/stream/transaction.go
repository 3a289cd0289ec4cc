package stream

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// filter knows which transactions of a fetch were aborted.
type filter struct {
	starts []kmsg.FetchResponseTopicPartitionAbortedTransaction // by first offset, not yet reached
	within map[int64]bool                                       // producers inside an aborted transaction
}

func newFilter(aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) *filter {
	return &filter{within: map[int64]bool{}, starts: slices.SortedFunc(slices.Values(aborted),
		func(a, b kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
			return cmp.Compare(a.FirstOffset, b.FirstOffset)
		})}
}

// reach opens the aborted transactions that start at or before offset.
func (f *filter) reach(offset int64) {
	for len(f.starts) > 0 && f.starts[0].FirstOffset <= offset {
		f.within[f.starts[0].ProducerID] = true
		f.starts = f.starts[1:]
	}
}

// aborted says of a batch that its records were taken back.
func (f *filter) aborted(b *storedBatch) bool {
	return b.attributes&attrTransactional != 0 && b.attributes&attrControl == 0 && f.within[b.producer]
}

// markerAbort is the type of the control record that ends an aborted transaction.
const markerAbort = 0

// marker reads a control record, whose key is a version and a type of two bytes
// each, and closes the transaction that it ends.
func (f *filter) marker(b *storedBatch, r *Record) {
	if len(r.Key) == 4 && binary.BigEndian.Uint16(r.Key[2:]) == markerAbort {
		delete(f.within, b.producer)
	}
}
