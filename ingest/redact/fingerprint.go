package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// Class separates what is fingerprinted: equal bytes of two classes have
// fingerprints that cannot be compared.
type Class string

// The classes.
const (
	ClassToken     Class = "token"     // bearer tokens, from wherever they came
	ClassSession   Class = "session"   // session cookies
	ClassAPIKey    Class = "apikey"    // API keys
	ClassPrincipal Class = "principal" // e-mails and card numbers used as a name
	ClassObject    Class = "object"    // opaque ids and e-mails in paths and queries
)

const (
	fingerprintBytes = 16 // of the 32 that HMAC-SHA-256 gives
	shortHex         = 16 // hex digits of a fingerprint used as a reference
	domain           = "gh1"
)

// fingerprinter makes fingerprints with one key. It is not safe for concurrent
// use; every scratch has its own.
type fingerprinter struct {
	mac hash.Hash
	buf []byte // what is hashed, then its hash
	out [2 * fingerprintBytes]byte
}

func newFingerprinter(key Key) *fingerprinter {
	secret := key.secret()
	return &fingerprinter{mac: hmac.New(sha256.New, secret[:]), buf: make([]byte, 0, 256)}
}

// sum is the fingerprint of a value, 32 hex digits. The result is valid until
// the next call.
//
//	HMAC-SHA-256(key, "gh1" ‖ len(tenant) ‖ tenant ‖ len(class) ‖ class ‖ SHA-256(value))
//
// cut to its first 128 bits; lengths are 4 bytes, big-endian. The inner hash lets
// an edge that has no key send the hash instead of the token.
func (p *fingerprinter) sum(tenant string, class Class, value string) []byte {
	p.buf = append(p.buf[:0], value...)
	return p.sumHashed(tenant, class, sha256.Sum256(p.buf))
}

// sumHashed is sum for a value of which only the SHA-256 is known.
func (p *fingerprinter) sumHashed(tenant string, class Class, inner [sha256.Size]byte) []byte {
	b := append(p.buf[:0], domain...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(tenant)))
	b = append(b, tenant...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(class)))
	b = append(b, class...)
	b = append(b, inner[:]...)
	p.mac.Reset()
	p.mac.Write(b) // a hash never fails
	b = p.mac.Sum(b[:0])
	hex.Encode(p.out[:], b[:fingerprintBytes])
	p.buf = b
	return p.out[:]
}
