package stream

import "time"

// Record is one record of a partition.
//
// Key, Value and the headers' values are parts of the memory that the record's
// whole batch was read into. That memory belongs to the records alone: it is
// allocated for the batch, never modified, and never used again. So whoever has a
// Record may keep any part of it for any time, and may make strings that share it
// without copying; in return nobody may modify it. A part that is kept keeps the
// memory of its batch.
type Record struct {
	Offset int64
	// Time is when the broker took the record on a topic with
	// message.timestamp.type=LogAppendTime, else what its producer claims: not to be
	// trusted.
	Time    time.Time
	Key     []byte // nil for none
	Value   []byte // nil for none
	Headers []Header
}

// Header is one name and value of a record.
type Header struct {
	Key   string
	Value []byte
}
