package redact

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// What is remembered is what would be made: over many values, classes and
// tenants, more than there is room for, long and empty ones too.
func TestRememberedFingerprintsAreRight(t *testing.T) {
	fp := newFingerprinter(testKey().Active())
	p := printer{fp: fp}
	plain := newFingerprinter(testKey().Active())
	tenants := []string{"", "a", "b", strings.Repeat("long", 30), strings.Repeat("long", 30) + "er"}
	for i := range 2 * cacheSize {
		tenants = append(tenants, fmt.Sprintf("tenant-%d", i))
	}
	classes := []Class{ClassToken, ClassSession, ClassAPIKey, ClassPrincipal, ClassObject}
	r := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		tenant, class, value := tenants[r.IntN(len(tenants))], classes[r.IntN(len(classes))], fmt.Sprint(r.IntN(50))
		if r.IntN(4) > 0 {
			tenant = tenants[r.IntN(8)] // often enough that most are remembered
		}
		p.setTenant(tenant)
		if got, want := string(p.sum(class, value)), sumOf(plain, tenant, class, value); got != want {
			t.Fatalf("%q %s %q: %s, want %s", tenant, class, value, got, want)
		}
	}
}

// A byte tells the classes apart.
func TestClassTagsDiffer(t *testing.T) {
	seen := map[byte]Class{}
	for _, c := range []Class{ClassToken, ClassSession, ClassAPIKey, ClassPrincipal, ClassObject} {
		if other, taken := seen[c.tag()]; taken {
			t.Errorf("%s and %s have one tag", c, other)
		}
		seen[c.tag()] = c
	}
}

// A memo gives back what was put, and forgets rather than mixes up.
func TestMemo(t *testing.T) {
	var m memo[int]
	texts := []string{"/v1/orders", "", "a", "ab", "abc", "abcd", "abcdefgh", strings.Repeat("x", memoText), strings.Repeat("x", memoText+1)}
	for i := range 200 {
		texts = append(texts, fmt.Sprintf("%x", i*i*i))
	}
	found := 0
	for round := range 3 {
		for i, text := range texts {
			if v := m.get(text); text != "" && v != nil {
				if *v != i {
					t.Fatalf("%q is %d, want %d", text, *v, i)
				}
				found++
			}
			m.put(text, i)
			if v := m.get(text); text != "" && len(text) <= memoText && (v == nil || *v != i) {
				t.Fatalf("round %d: %q was put and is not there", round, text)
			}
		}
	}
	if found == 0 {
		t.Error("nothing was ever remembered")
	}
}

// Lists of a slab do not overlap and cannot grow into each other.
func TestSlab(t *testing.T) {
	var s slab[int]
	var lists [][]int
	for i := range 1000 {
		list := s.take(i % 5)
		for k := range list {
			if list[k] != 0 {
				t.Fatal("an item is used twice")
			}
			list[k] = i
		}
		_ = append(list, -1)
		lists = append(lists, list)
	}
	for i, list := range lists {
		for _, v := range list {
			if v != i {
				t.Fatalf("list %d holds %d", i, v)
			}
		}
	}
	if n := len(s.take(10 * slabSize)); n != 10*slabSize {
		t.Errorf("%d items, want %d", n, 10*slabSize)
	}
}
