package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
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

// tag tells the classes apart in a byte.
func (c Class) tag() byte { return c[0] }

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
}

func newFingerprinter(key Key) *fingerprinter {
	secret := key.secret()
	return &fingerprinter{mac: hmac.New(sha256.New, secret[:]), buf: make([]byte, 0, 256)}
}

// hash is the inner hash of a value.
func (p *fingerprinter) hash(value string) [sha256.Size]byte {
	p.buf = append(p.buf[:0], value...)
	return sha256.Sum256(p.buf)
}

// sumHashed is the fingerprint of a value of which inner is the hash:
//
//	HMAC-SHA-256(key, "gh1" ‖ len(tenant) ‖ tenant ‖ len(class) ‖ class ‖ SHA-256(value))
//
// cut to its first 128 bits; lengths are 4 bytes, big-endian. The inner hash lets
// an edge that has no key send the hash instead of the token.
func (p *fingerprinter) sumHashed(tenant string, class Class, inner [sha256.Size]byte) (out [fingerprintBytes]byte) {
	b := append(p.buf[:0], domain...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(tenant)))
	b = append(b, tenant...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(class)))
	b = append(b, class...)
	b = append(b, inner[:]...)
	p.mac.Reset()
	p.mac.Write(b) // a hash never fails
	p.buf = p.mac.Sum(b[:0])
	copy(out[:], p.buf)
	return out
}
