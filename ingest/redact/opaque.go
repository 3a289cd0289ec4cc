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
	longShare    = 45 // the same from longPairs pairs on, where chance evens out
	longPairs    = 20
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

// measure counts the pairs of a run that are not those of words.
func measure(s string, i, shortest int) (end int, random bool) {
	var odd, counted, length int
	var last, lastClass byte
	for end = i; end < len(s); end++ {
		c := s[end]
		class := classes[c] &^ classTrigger
		switch {
		case class == 0:
			return end, isRandom(odd, counted) && length >= shortest
		case class == classMark:
			lastClass = 0
			continue
		case lastClass == 0: // no pair yet
		case class == classDigit:
			if lastClass != classDigit {
				odd++
				counted++
			}
		case lastClass == classDigit:
			odd++
			counted++
		case lastClass == classLower && class == classUpper: // camelCase says nothing
		default:
			counted++
			if pairs[(last|0x20-'a')&31]&(1<<((c|0x20-'a')&31)) == 0 {
				odd++
			}
		}
		length++
		last, lastClass = c, class
	}
	return end, isRandom(odd, counted) && length >= shortest
}

// isRandom decides by the share of odd pairs.
func isRandom(odd, counted int) bool {
	const fewest = 6 // pairs: digits with a letter or two are a number, not a secret
	share := opaqueShare
	if counted >= longPairs {
		share = longShare
	}
	return counted >= fewest && odd*100 >= counted*share
}
