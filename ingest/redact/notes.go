package redact

import (
	"math/bits"
	"slices"
	"strings"
)

// notes is the set of what happened to one event: which redactors fired, what
// was cut or invalid. It becomes Event.Redactions and Event.Quality.
type notes uint64

// The redactions, in the order of their names so that the written lists are
// sorted.
const (
	noteAPIKey notes = 1 << iota
	noteAuthorization
	noteBasicPassword
	noteCookie
	noteEmail
	noteHeaderDropped
	noteIdentity
	noteLabelDropped
	noteMatrixDropped
	noteOpaque
	notePAN
	noteParamDropped
	noteQueryValue
	noteReferrerQuery
	noteSecretInText
	noteSecretInURL
	noteText
	noteToken

	// The quality notes, in the order of their names too.
	noteClientInvalid
	noteEdgeFingerprint
	noteFieldInvalid
	noteHostInvalid
	noteListCut
	notePathCut
	noteQueryCut
	noteTextCut
	noteTokenMalformed
	noteXFFInvalid
)

const redactionNotes = noteClientInvalid - 1

// noteNames are the written names, bit by bit.
var noteNames = [...]string{
	"api_key", "authorization", "basic_password", "cookie", "email", "header_dropped", "identity",
	"label_dropped", "matrix_dropped", "opaque", "pan", "param_dropped", "query_value", "referer_query",
	"secret_in_text", "secret_in_url", "text", "token",
	"client_invalid", "edge_fingerprint", "field_invalid", "host_invalid", "list_cut", "path_cut", "query_cut",
	"text_cut", "token_malformed", "xff_invalid",
}

// Redactions lists the closed set of names that Event.Redactions can hold.
func Redactions() []string {
	return slices.Clone(noteNames[:bits.OnesCount64(uint64(redactionNotes))])
}

// appendNames appends the names of n to dst.
func (n notes) appendNames(dst []string) []string {
	for n != 0 {
		dst = append(dst, noteNames[bits.TrailingZeros64(uint64(n))])
		n &= n - 1
	}
	return dst
}

// listCache remembers the lists of the sets that occurred last. There are few:
// what happens to one event happens to most. Events share the lists.
type listCache struct {
	entries [64]struct {
		known               bool
		notes               notes
		decoder             string
		redactions, quality []string
	}
}

// lists is [notes.lists], mostly remembered.
func (c *listCache) lists(n notes, decoder []string) (redactions, quality []string) {
	said := ""
	if len(decoder) > 0 {
		said = decoder[0]
	}
	if len(decoder) > 1 || said != "" && !isNoteName(said) {
		return n.lists(decoder)
	}
	e := &c.entries[(n*0x9e3779b97f4a7c15)>>58]
	if !e.known || e.notes != n || e.decoder != said {
		e.known, e.notes, e.decoder = true, n, strings.Clone(said)
		e.redactions, e.quality = n.lists([]string{e.decoder})
	}
	return e.redactions, e.quality
}

// lists writes n as Redactions and Quality; quality also holds what the decoder
// had noted, if that is made of plain names.
func (n notes) lists(decoder []string) (redactions, quality []string) {
	hits, doubts := n&redactionNotes, n&^redactionNotes
	count := bits.OnesCount64(uint64(hits))
	all := make([]string, 0, count+bits.OnesCount64(uint64(doubts))+len(decoder))
	all = doubts.appendNames(hits.appendNames(all))
	for _, q := range decoder {
		if isNoteName(q) {
			all = append(all, q)
		}
	}
	if count > 0 {
		redactions = all[:count:count]
	}
	if quality = all[count:]; len(quality) == 0 {
		return redactions, nil
	}
	slices.Sort(quality)
	return redactions, slices.Compact(quality)
}

func isNoteName(s string) bool {
	const longest = 64
	return len(s) <= longest && allOf(s, classNote)
}
