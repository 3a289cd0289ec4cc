package gateway

import "math/bits"

// notes is the set of things a decoder had to assume about one record. Their
// names are a closed set and end up in Quality.
type notes uint16

// The notes, in the order of their names.
const (
	noteBytesScopeMixed  notes = 1 << iota // request bytes with headers, response bytes without, or the reverse
	noteExtraFields                        // text after the fields that the format defines
	noteFieldIgnored                       // an optional field of the wrong type or out of range
	noteFieldsNotCarried                   // known members that a Raw has no place for
	noteHostMissing                        // the record does not say which host was asked
	noteInvalidText                        // invalid UTF-8 or lone surrogates, replaced by U+FFFD
	notePrefixIgnored                      // words before the time that are neither client, identity nor user
	noteRequestMalformed                   // the request line is none; method and path are as far as they could be told
	noteSeveralUpstreams                   // more than one attempt; upstream_status and upstream are those of the last
	noteTimeZoneAssumed                    // the time has no zone; taken as UTC
	noteUnknownFields                      // members that the schema does not have
	noteUserinfoDropped                    // user and password in an absolute request target
	noteCount            = iota
)

var noteNames = [noteCount]string{
	"bytes_scope_mixed", "extra_fields", "field_ignored", "fields_not_carried", "host_missing", "invalid_text",
	"prefix_ignored", "request_malformed", "several_upstreams", "ts_tz_assumed", "unknown_fields", "userinfo_dropped",
}

// Notes lists every value that a decoder puts into Quality, sorted.
func Notes() []string { return append([]string(nil), noteNames[:]...) }

// appendTo appends the names in n, sorted.
func (n notes) appendTo(dst []string) []string {
	for ; n != 0; n &= n - 1 {
		dst = append(dst, noteNames[bits.TrailingZeros16(uint16(n))])
	}
	return dst
}
