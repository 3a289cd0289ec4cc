package alert

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes text safe to show: control characters, bidirectional overrides and
// invisible format characters become spaces or vanish, invalid UTF-8 becomes
// U+FFFD, line ends and runs of space one space. It is at most limit characters
// long; what is cut off is marked with "…".
func Clean(s string, limit int) string {
	return Cut(strings.Join(strings.Fields(visible(s, false)), " "), limit)
}

// CleanLines is Clean that keeps line ends and indentation: for SQL.
func CleanLines(s string, limit int) string {
	return Cut(strings.TrimRight(visible(s, true), " \n"), limit)
}

// visible replaces what a reader would not see, or would see elsewhere.
func visible(s string, lines bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' && lines:
			return r
		case unicode.IsSpace(r): // includes U+0085, U+2028 and U+2029
			return ' '
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r), unicode.Is(unicode.Co, r):
			return -1 // bidirectional controls, zero width characters, tags, private use
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// Cut shortens s to at most limit characters, the last of which is then "…".
func Cut(s string, limit int) string {
	if len(s) <= limit || utf8.RuneCountInString(s) <= limit {
		return s
	}
	if limit <= 0 {
		return ""
	}
	n := 0
	for i := range s {
		if n++; n == limit {
			return strings.TrimRight(s[:i], " ") + "…"
		}
	}
	return s
}
