package embedded

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Revisions of the Native format, as clients announce them in
// client_protocol_version. From the first on, a block starts with a block
// info; from the second on, each column header has one more byte. The engine
// writes revision 0, which has neither.
const (
	revisionBlockInfo           = 1
	revisionCustomSerialization = 54454
)

// blockRevision is the revision blocks are sent in. Up to the one that changes
// column headers, a client's differs from the engine's in the block info only.
// Newer clients have asked for the server's revision first, and were told 0.
func blockRevision(client int) int {
	if client >= revisionCustomSerialization {
		return 0
	}
	return client
}

// blockInfo is the constant header of a block that is neither an overflow nor
// a bucket of a distributed aggregation.
var blockInfo = []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}

// nativeColumn is a column with at most one row, for blocks that are written
// here and not by the engine.
type nativeColumn struct {
	name, typ string
	value     []byte // nil: no row
}

// nativeBlock writes a block of zero rows or, where the columns have values,
// one row, in the client's revision.
func nativeBlock(columns []nativeColumn, revision int) []byte {
	var b []byte
	if revision >= revisionBlockInfo {
		b = append(b, blockInfo...)
	}
	rows := uint64(0)
	if len(columns) > 0 && columns[0].value != nil {
		rows = 1
	}
	b = binary.AppendUvarint(b, uint64(len(columns)))
	b = binary.AppendUvarint(b, rows)
	for _, c := range columns {
		b = appendNativeString(b, c.name)
		b = appendNativeString(b, c.typ)
		if revision >= revisionCustomSerialization {
			b = append(b, 0)
		}
		b = append(b, c.value...)
	}
	return b
}

func appendNativeString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// helloQuery is what clickhouse-go asks first on an HTTP connection. It decodes
// the answer at its own newest revision, and everything later at the revision
// the answer names. The engine's blocks are revision 0, so that is what the
// answer says, and it is itself written at the client's revision.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

// engineIdentity is the engine's answer to the first question of a client.
type engineIdentity struct{ displayName, version, timezone string }

func isHello(sql string) bool { return strings.TrimSpace(sql) == helloQuery }

func (id engineIdentity) hello(revision int) []byte {
	return nativeBlock([]nativeColumn{
		{"displayName()", "String", appendNativeString(nil, id.displayName)},
		{"version()", "String", appendNativeString(nil, id.version)},
		{"revision()", "UInt32", binary.LittleEndian.AppendUint32(nil, 0)},
		{"timezone()", "String", appendNativeString(nil, id.timezone)},
	}, revision)
}

// parseDescribe reads the TSVRaw answer of DESCRIBE into columns without rows.
func parseDescribe(tsv []byte) []nativeColumn {
	var columns []nativeColumn
	for line := range bytes.Lines(tsv) {
		name, rest, ok := strings.Cut(strings.TrimRight(string(line), "\n"), "\t")
		typ, _, _ := strings.Cut(rest, "\t")
		if ok {
			columns = append(columns, nativeColumn{name: name, typ: typ})
		}
	}
	return columns
}
