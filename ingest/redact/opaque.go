package redact

// Whether a run of letters and digits is words or is random is decided by its
// pairs of neighbours. Words are made of a few hundred pairs; a random string
// mixes cases and digits and takes all pairs alike.

// pairs holds per letter the letters that commonly follow it, as bits: the 300
// most frequent of the 676 pairs in the comments of Go's standard library,
// which are 98 % of the pairs of its words and would be 44 % of random ones.
var pairs = letterPairs([26]string{
	"bcdfgiklmnprstuvxy", "aeijlorsuy", "aceghiklmoprstu", "acdeilorsuy", "abcdefgilmnpqrstvwxy", "aefilorstu",
	"aehilnorstu", "aeiortu", "abcdefgklmnoprstvxz", "eu", "aeins", "acdefilostuy", "abdeimopsu",
	"acdefgiklmnopstuvy", "abcdefgiklmnoprstuvw", "acdehiloprstuy", "u", "acdefgiklmnorstuvwy", "acdehiklmnoprstuy",
	"acefhilmoprstuwy", "abcdefgilmnprstx", "adeiopw", "aehinors", "aeipt", "elmnprst", "e",
})

func letterPairs(rows [26]string) [32]uint32 {
	var bits [32]uint32
	for i, row := range rows {
		for _, c := range row {
			bits[i] |= 1 << (c - 'a')
		}
	}
	return bits
}

const (
	opaqueLength = 16 // letters and digits, at least
	shortLength  = 8  // the same, where only words are expected
	opaqueShare  = 38 // per cent of the pairs that are odd, at least
	longShare    = 41 // the same from longPairs pairs on, where chance evens out
	longPairs    = 20
	shortShare   = 45 // the same below opaqueLength, where one odd pair weighs more
)

// isRunByte says whether c may stand inside an opaque string. "." and "/" end
// one: paths and host names are not mistaken for one long string.
func isRunByte(c byte) bool {
	return classes[c]&(classLower|classUpper|classDigit|classMark) != 0
}

// runAt measures the run that begins at s[i]: its end, and whether it is opaque.
func runAt(s string, i int) (end int, opaque bool) { return measure(s, i, opaqueLength) }

// isWords says that no run in s looks random, short ones included.
func isWords(s string) bool {
	for i := 0; i < len(s); {
		end, random := measure(s, i, shortLength)
		if random {
			return false
		}
		i = end + 1
	}
	return true
}

// tally is what a run is made of.
type tally struct {
	length       int // letters and digits
	digits       int
	notHex       int // letters behind "f"
	odd, counted int // pairs
}

// measure counts the pairs of a run that are not those of words.
func measure(s string, i, shortest int) (end int, random bool) {
	var t tally
	var last, lastClass byte
	for end = i; end < len(s); end++ {
		c := s[end]
		class := classes[c] &^ classTrigger
		if class == 0 {
			break
		}
		if class == classMark {
			lastClass = 0
			continue
		}
		t.length++
		if class == classDigit {
			t.digits++
		} else if c|0x20 > 'f' {
			t.notHex++
		}
		if lastClass != 0 {
			t.pair(last, c, lastClass, class)
		}
		last, lastClass = c, class
	}
	return end, t.length >= shortest && t.random()
}

// pair counts two neighbours. Two digits say nothing.
func (t *tally) pair(last, c, lastClass, class byte) {
	switch {
	case lastClass == classDigit && class == classDigit:
		return
	case lastClass == classDigit, class == classDigit, lastClass == classLower && class == classUpper:
		t.odd++
	case pairs[(last|0x20-'a')&31]&(1<<((c|0x20-'a')&31)) == 0:
		t.odd++
	}
	t.counted++
}

// random decides by the share of odd pairs. Of hexadecimal digits a few letters
// among the digits are enough.
func (t *tally) random() bool {
	const fewest = 6 // pairs: digits with a letter or two are a number, not a secret
	letters := t.length - t.digits
	if t.notHex == 0 && t.length >= opaqueLength && letters > 1 && t.digits > 1 {
		return true
	}
	share := opaqueShare
	switch {
	case t.length < opaqueLength:
		share = shortShare
	case t.counted >= longPairs:
		share = longShare
	}
	return t.counted >= fewest && t.odd*100 >= t.counted*share
}
