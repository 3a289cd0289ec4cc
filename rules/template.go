package rules

import (
	"strings"
	"unicode"
)

// Template is a sentence with {names} in it: fields of group_by, measures,
// usual.<measure>, peers.<measure>, events, window. It has no logic.
type Template struct {
	source string
	parts  []part
}

type part struct{ literal, name string }

// maxValue is how much of one value a rendered sentence shows, in runes.
const maxValue = 96

// Source is the template as written.
func (t Template) Source() string { return t.source }

// parseTemplate reads a template whose names must satisfy valid.
func parseTemplate(src string, names []string) (Template, error) {
	t := Template{source: src}
	rest := src
	for {
		i := strings.IndexByte(rest, '{')
		if i < 0 {
			t.parts = append(t.parts, part{literal: rest})
			return t, nil
		}
		j := strings.IndexByte(rest[i:], '}')
		if j < 0 {
			return t, &fault{len([]rune(src)) - len([]rune(rest[i:])), "a { without }: want {name}"}
		}
		name := rest[i+1 : i+j]
		if !contains(names, name) {
			return t, &fault{len([]rune(src)) - len([]rune(rest[i:])), "unknown name {" + name + "}" + suggest(name, names)}
		}
		t.parts = append(t.parts, part{literal: rest[:i]}, part{name: name})
		rest = rest[i+j+1:]
	}
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// Render fills the names in. Values are an attacker's text: they are cut to a
// screen's width and lose control characters.
func (t Template) Render(value func(name string) string) string {
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.literal)
		if p.name != "" {
			b.WriteString(printable(value(p.name)))
		}
	}
	return b.String()
}

// printable is s on one line, without control and formatting characters, cut.
func printable(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > maxValue {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}
