package redact

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// knownPrints is how many fingerprints a printer remembers: 64 kilobytes, so that
// looking costs little where tokens do not come back. Sixteen times as many were
// slower, the processor's near caches being smaller than that.
const knownPrints = 1 << 10

// printer makes fingerprints under the tenant of the event at hand, and remembers
// those that it made last: callers come back with the same token. What it keeps of
// a value is its SHA-256, never the value.
type printer struct {
	fp      *fingerprinter
	tenant  string
	id      uint64 // of tenant, 0 if it has none
	tenants memo[uint64]
	lastID  uint64
	known   [knownPrints]print
	out     [2 * fingerprintBytes]byte
}

// noTenant is the id of having none.
const noTenant = 1<<64 - 1

// print is a fingerprint and all that it depends on. It has no pointer, so that
// the garbage collector need not look at a megabyte of them.
type print struct {
	inner  [sha256.Size]byte
	tenant uint64 // its id; 0 = nothing is known
	result [fingerprintBytes]byte
	class  byte
}

// setTenant says under which tenant the next fingerprints are. Ids are never given
// twice, so that a tenant that was forgotten gets another one.
func (p *printer) setTenant(tenant string) {
	p.tenant, p.id = tenant, noTenant
	if tenant == "" {
		return
	}
	if p.id = 0; len(tenant) > memoText {
		return
	}
	if id := p.tenants.get(tenant); id != nil && *id != 0 {
		p.id = *id
		return
	}
	p.lastID++
	p.id = p.lastID
	p.tenants.put(tenant, p.id)
}

// sum is the fingerprint of a value, 32 hex digits. The result is valid until the
// next call.
func (p *printer) sum(class Class, value string) []byte {
	return p.sumHashed(class, p.fp.hash(value))
}

// sumHashed is sum for a value of which only the SHA-256 is known.
func (p *printer) sumHashed(class Class, inner [sha256.Size]byte) []byte {
	k := &p.known[binary.LittleEndian.Uint32(inner[:])%knownPrints]
	if p.id == 0 || k.tenant != p.id || k.class != class.tag() || k.inner != inner {
		*k = print{inner: inner, tenant: p.id, class: class.tag()}
		k.result = p.fp.sumHashed(p.tenant, class, inner)
	}
	hex.Encode(p.out[:], k.result[:])
	return p.out[:]
}
