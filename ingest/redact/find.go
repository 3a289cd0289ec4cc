package redact

import "strings"

// hit is a place in a text that is not stored. The zero value is no hit.
type hit struct {
	start, end int
	shape      shape
}

// find gives the first hit in s at or after from.
func find(s string, from int) hit { return search(s, from, true) }

// findKnown is find without what only looks random: for ids that are random by
// nature, and for names that an administrator chose.
func findKnown(s string) hit { return search(s, 0, false) }

// search walks the text once; it looks back or ahead only over the hit itself
// and the word before it. Almost all of a text is words in which nothing begins,
// so those are passed by looks into tables, without a call.
func search(s string, from int, random bool) hit {
	for i := from; i < len(s); {
		code := codes[s[i]]
		if code >= codeMark {
			if classes[s[i]]&classTrigger != 0 {
				if h := findAtMark(s, i, from); h.end > 0 {
					return h
				}
			}
			i++
			continue
		}
		if runStarts>>code&1 != 0 {
			if h := findAtStart(s, i); h.end > 0 {
				return h
			}
		}
		end, last := i, uint8(codeMark)
		for ; end < len(s); end++ {
			code := codes[s[end]]
			if code == codeOther {
				break
			}
			if last == codeMark && end+1 < len(s) && tokenStarts[code%codeCount]>>(codes[s[end+1]]%codeCount)&1 != 0 {
				if stop := tokenAt(s, end); stop > 0 {
					return hit{startOfToken(s, i, end), stop, shapeToken}
				}
			}
			last = code
		}
		if random && end-i >= opaqueLength {
			if h := opaqueAt(s, i, end); h.end > 0 {
				return h
			}
		}
		i = end
	}
	return hit{}
}

// runStarts are the codes of the bytes with which a card number or the name of an
// authentication scheme may begin.
var runStarts = codesOf("23456bdtBDT")

func codesOf(bytes string) (set uint64) {
	for i := range len(bytes) {
		set |= 1 << codes[bytes[i]]
	}
	return set
}

// findAtStart looks for a card number, and for an authentication scheme, that
// begin at s[i].
func findAtStart(s string, i int) hit {
	if isDigit(s[i]) {
		return hit{i, panAt(s, i), shapePAN}
	}
	start, end := schemeAt(s, i)
	return hit{start, end, shapeSecret}
}

// startOfToken is where the token at s[at] begins, which is in the run that begins
// at s[run]: at the scheme, if the token is what a URL begins with.
func startOfToken(s string, run, at int) int {
	if at == run && strings.HasSuffix(s[:at], "://") {
		return schemeStart(s, at-len("://"), 0)
	}
	return at
}

// opaqueAt decides about a run that is long enough to be opaque, and gives what
// belongs to it too.
func opaqueAt(s string, i, end int) hit {
	_, opaque := runAt(s, i)
	if word := s[i:end]; !opaque || isUUID(word) || isULID(word) || isDate(word) {
		return hit{}
	}
	for end < len(s) && (isRunByte(s[end]) || strings.IndexByte("/=.~%", s[end]) >= 0) {
		end++
	}
	return hit{i, end, shapeOpaque}
}

// findAtMark looks at what the byte s[i], which is no letter or digit, may be
// part of.
func findAtMark(s string, i, from int) hit {
	switch s[i] {
	case '@':
		return emailAround(s, i, from)
	case ':', '=':
		return assignedAt(s, i, from)
	case '-':
		return armorAt(s, i)
	case '$':
		return hashAt(s, i)
	case '~':
		return tildeAt(s, i, from)
	}
	return hit{}
}

// panAt gives the end of the card number that begins at s[i], written as one
// number or in groups of four or more, and 0 if none does.
func panAt(s string, i int) int {
	if len(s)-i < minPAN || s[i] < '2' || s[i] > '6' || i > 0 && s[i-1] == '.' {
		return 0 // too short, of no issuer, or behind a decimal point
	}
	var digits [maxInt]byte
	n, group, end := 0, 0, i
	var sep byte
	for ; end < len(s); end++ {
		c := s[end]
		if isDigit(c) {
			if n == len(digits) {
				return 0
			}
			digits[n] = c
			n++
			group++
			continue
		}
		next := end+1 < len(s) && isDigit(s[end+1])
		if (c != ' ' && c != '-') || !next || group < 4 || sep != 0 && c != sep {
			break
		}
		sep, group = c, 0
	}
	if end < len(s) && isAlpha(s[end]) || !isPAN(string(digits[:n])) {
		return 0
	}
	return end
}

// schemeAt finds the credential behind an authentication scheme, as in
// "Bearer abc123", when the scheme begins at s[i].
func schemeAt(s string, i int) (start, end int) {
	if i+1 == len(s) {
		return 0, 0
	}
	switch string([]byte{s[i] | 0x20, s[i+1] | 0x20}) {
	case "be", "ba", "to", "dp":
	default:
		return 0, 0
	}
	word, longest := i, i+len("bearer")
	for word < len(s) && word <= longest && isAlpha(s[word]) {
		word++
	}
	if word == len(s) || s[word] != ' ' {
		return 0, 0
	}
	switch name := s[i:word]; {
	case equalFold(name, "bearer"), equalFold(name, "basic"), equalFold(name, "token"), equalFold(name, "dpop"):
	default:
		return 0, 0
	}
	start, end = valueAt(s, word)
	if end-start < 8 || isHarmless(s[start:end]) {
		return 0, 0
	}
	return start, end
}

// valueAt gives the bounds of the value that stands at s[i], behind spaces,
// quotes and the rest of an operator such as "=>".
// A quoted value ends at its quote, any other at a space, a quote or "&".
func valueAt(s string, i int) (start, end int) {
	var quote byte
	for i < len(s) && strings.IndexByte(" \"'\\>=:`\t", s[i]) >= 0 {
		if quote = s[i]; strings.IndexByte("\"'`", quote) < 0 {
			quote = 0
		}
		i++
	}
	start = i
	if quote != 0 {
		if n := strings.IndexByte(s[i:], quote); n >= 0 {
			return start, i + n
		}
	}
	for i < len(s) && strings.IndexByte(" \"'&`\t\r\n", s[i]) < 0 {
		i++
	}
	return start, i
}

// isHarmless says that a value is one word of letters or a small number, as in
// "token: expired" or "key: 7".
func isHarmless(v string) bool {
	const longestNumber = 9
	v = strings.TrimRight(v, ",;.)]}")
	if allOf(v, classDigit) {
		return len(v) <= longestNumber
	}
	for i := range len(v) {
		if c := v[i]; !isLower(c) && c != '-' && c != '_' && c != '.' && (i > 0 || !isUpper(c)) {
			return false
		}
	}
	_, opaque := runAt(v, 0)
	return v == "" || !opaque
}

// assignedAt finds the value of an assignment whose ":" or "=" is s[i] and whose
// name says that the value is secret, and the user and password of a URL.
func assignedAt(s string, i, from int) hit {
	if strings.HasPrefix(s[i:], "://") {
		return userinfoAt(s, i, from)
	}
	if h := pairAt(s, i, from); h.end > 0 {
		return h
	}
	end := i
	for end > from && strings.IndexByte(` "'\`+"`]", s[end-1]) >= 0 {
		end--
	}
	start := end
	for start > from && end-start < maxParam && (isAlnum(s[start-1]) || s[start-1] == '_' || s[start-1] == '-') {
		start--
	}
	secrecy := secrecyOf(s[start:end])
	if secrecy == open {
		return hit{}
	}
	v, vEnd := valueAt(s, i)
	if secrecy == header { // may hold several words
		for vEnd < len(s) && s[vEnd] != '\n' && s[vEnd] != '"' && s[vEnd] != '\'' {
			vEnd++
		}
	}
	if v == vEnd || secrecy == guarded && isHarmless(s[v:vEnd]) {
		return hit{}
	}
	return hit{v, vEnd, shapeSecret}
}

// userinfoAt finds a URL with a user and a password in it, whose "://" is s[i].
// The whole of it goes: such URLs are connection strings.
func userinfoAt(s string, i, from int) hit {
	at, end := -1, i+len("://")
	for ; end < len(s) && strings.IndexByte("/?# \"'<>`", s[end]) < 0; end++ {
		if s[end] == '@' {
			at = end
		}
	}
	if at <= i+len("://") {
		return hit{}
	}
	for end < len(s) && strings.IndexByte(" \"'<>`\n", s[end]) < 0 {
		end++
	}
	return hit{schemeStart(s, i, from), end, shapeSecret}
}

// schemeStart gives where the scheme before the "://" at s[i] begins.
func schemeStart(s string, i, from int) int {
	for i > from && (isAlnum(s[i-1]) || s[i-1] == '+') {
		i--
	}
	return i
}

// pairAt finds tokens that are two parts with a ":" between, which is s[i]: a
// bot's number and its key, and two words of 8 hex digits.
func pairAt(s string, i, from int) hit {
	start, end := i, i+1
	for start > from && isHex(s[start-1]) && i-start <= 10 {
		start--
	}
	for end < len(s) && base64u.has(s[end]) {
		end++
	}
	left, right := s[start:i], s[i+1:end]
	switch {
	case len(left) >= 8 && len(left) <= 10 && allOf(left, classDigit) && len(right) >= 30:
	case len(left) == 8 && len(right) == 8 && allOf(right, classHex) && (start == 0 || !isAlnum(s[start-1])):
	default:
		return hit{}
	}
	return hit{start, end, shapeToken}
}

// armorAt finds a PEM block that begins at s[i].
func armorAt(s string, i int) hit {
	const begin, end, dashes = "-----BEGIN ", "-----END ", "-----"
	if !strings.HasPrefix(s[i:], begin) {
		return hit{}
	}
	stop := len(s)
	if n := strings.Index(s[i:], end); n >= 0 {
		label := i + n + len(end)
		if m := strings.Index(s[label:], dashes); m >= 0 {
			stop = label + m + len(dashes)
		}
	}
	return hit{i, stop, shapeSecret}
}

// hashAt finds a password hash "$id$salt$hash" that begins at s[i].
func hashAt(s string, i int) hit {
	const longestID, shortest = 12, 16
	id := i + 1
	for id < len(s) && isAlnum(s[id]) && id-i <= longestID {
		id++
	}
	if id == i+1 || id >= len(s) || s[id] != '$' {
		return hit{}
	}
	end := id
	for end < len(s) && (isAlnum(s[end]) || strings.IndexByte("./$=,+*:@_-", s[end]) >= 0) {
		end++
	}
	if end-id < shortest {
		return hit{}
	}
	return hit{i, end, shapeToken}
}

// tildeAt finds a client secret of Microsoft Entra: five bytes, of which the last
// is "Q", before the "~" that is s[i], and 31 or more behind it.
func tildeAt(s string, i, from int) hit {
	const before, behind = 5, 31
	start, end := i-before, i
	if start < from || s[i-1] != 'Q' || !isDigit(s[i-2]) {
		return hit{}
	}
	for end < len(s) && (isWordByte(s[end])) {
		end++
	}
	if end-i <= behind {
		return hit{}
	}
	return hit{start, end, shapeToken}
}

// emailAround finds the address whose "@" is s[i]; it does not begin before from.
func emailAround(s string, i, from int) hit {
	start := i
	for start > from && (isAlnum(s[start-1]) || strings.IndexByte("._%+-'", s[start-1]) >= 0) {
		start--
	}
	end := i + 1
	for end < len(s) && (isAlnum(s[end]) || s[end] == '-' || s[end] == '.') {
		end++
	}
	for end > i && (s[end-1] == '.' || s[end-1] == '-') {
		end--
	}
	if start == i || !isMailDomain(s[i+1:max(end, i+1)]) {
		return hit{}
	}
	return hit{start, end, shapeEmail}
}

// isMailDomain says whether a name can be the right side of an e-mail address.
// image@2x.png and package@1.2.3 have none.
func isMailDomain(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	if dot < 1 {
		return false
	}
	top := lower(name[dot+1:])
	_, file := notDomains[top]
	return len(top) >= 2 && all(top, isAlpha) && !file
}

// notDomains are endings of file names that are no top-level domain.
var notDomains = map[string]struct{}{
	"css": {}, "gif": {}, "htm": {}, "html": {}, "ico": {}, "jpeg": {}, "jpg": {}, "js": {}, "json": {}, "map": {},
	"mjs": {}, "php": {}, "png": {}, "svg": {}, "ttf": {}, "txt": {}, "webp": {}, "woff": {}, "xml": {},
}
