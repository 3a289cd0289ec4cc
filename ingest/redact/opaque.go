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

// The codes of bytes: letters and digits each have one, which makes 62, so that a
// table over pairs of codes has 4,096 entries and stays in the processor's
// nearest memory.
const (
	codeUpper = 26 // of "A"; lower-case letters come first
	codeDigit = 52 // of "0"
	codeMark  = 62 // "-", "_" and "+"
	codeOther = 63
	codeCount = 64
)

// codes are the codes of every byte.
var codes = encode()

func encode() [256]uint8 {
	var t [256]uint8
	for c := range t {
		switch class, b := classes[c], byte(c); {
		case class&classLower != 0:
			t[c] = b - 'a'
		case class&classUpper != 0:
			t[c] = b - 'A' + codeUpper
		case class&classDigit != 0:
			t[c] = b - '0' + codeDigit
		case class&classMark != 0:
			t[c] = codeMark
		default:
			t[c] = codeOther
		}
	}
	return t
}

// What a pair of neighbours counts.
const (
	pairOdd     = 1 << iota // it is not one of words
	pairCounted             // it says something; two digits do not
)

// pairCounts are the counts of all pairs of codes.
var pairCounts = countPairs()

func countPairs() [codeCount * codeCount]uint8 {
	var t [codeCount * codeCount]uint8
	for last := range codeMark {
		for c := range codeMark {
			lastDigit, digit := last >= codeDigit, c >= codeDigit
			switch {
			case lastDigit && digit:
				continue
			case lastDigit, digit, last < codeUpper && c >= codeUpper:
				t[last*codeCount+c] = pairCounted | pairOdd
			case pairs[last%codeUpper]&(1<<(c%codeUpper)) == 0:
				t[last*codeCount+c] = pairCounted | pairOdd
			default:
				t[last*codeCount+c] = pairCounted
			}
		}
	}
	return t
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
func isRunByte(c byte) bool { return codes[c] != codeOther }

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

// The three counts of bytes lie in one word while a run is walked, so that a byte
// costs one addition.
const (
	countBits = 21 // a run is at most event.MaxRecordBytes long, 2^20
	oneByte   = 1
	oneDigit  = 1 << countBits
	oneNotHex = 1 << (2 * countBits)
	countMask = 1<<countBits - 1
)

// byteCounts is what a byte of each code adds.
var byteCounts = countBytes()

func countBytes() (t [codeCount]uint64) {
	for code := range codeMark {
		switch {
		case code >= codeDigit:
			t[code] = oneByte + oneDigit
		case code%codeUpper > 'f'-'a':
			t[code] = oneByte + oneNotHex
		default:
			t[code] = oneByte
		}
	}
	return t
}

// measure counts the pairs of a run that are not those of words. Every step is a
// look into a table: what a branch would ask of random text is not predictable.
func measure(s string, i, shortest int) (end int, random bool) {
	var odd, counted, counts uint64
	last := codeMark
	for end = i; end < len(s); end++ {
		code := int(codes[s[end]])
		if code == codeOther {
			break
		}
		pair := uint64(pairCounts[(last*codeCount+code)%len(pairCounts)])
		odd += pair & pairOdd
		counted += pair / pairCounted
		counts += byteCounts[code%codeCount]
		last = code
	}
	t := tally{
		length: int(counts & countMask), digits: int(counts >> countBits & countMask), notHex: int(counts >> (2 * countBits)),
		odd: int(odd), counted: int(counted),
	}
	return end, t.length >= shortest && t.random()
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
