package slackfake

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Lines is the message as text, about as Slack would lay it out: what the page
// shows, and what a terminal can. Values are as they were sent, not escaped.
func (m *Message) Lines() []string {
	if m.Blocks == nil {
		return strings.Split(unescape(m.Text), "\n")
	}
	var blocks []block
	if err := json.Unmarshal(m.Blocks, &blocks); err != nil {
		return []string{fmt.Sprint(err)} // checked when it was posted
	}
	var out []string
	for n := range blocks {
		out = append(out, blocks[n].lines()...)
	}
	return out
}

func (b *block) lines() []string {
	switch b.Type {
	case "header", "section":
		return append(b.Text.lines(), pairs(b.Fields)...)
	case "data_table":
		return append([]string{b.Caption}, b.rowLines()...)
	case "divider":
		return []string{"───"}
	}
	return elementLines(b.Elements)
}

// rowLines shows a table with aligned columns.
func (b *block) rowLines() []string {
	var widths []int
	for _, row := range b.Rows {
		for n, c := range row {
			if n == len(widths) {
				widths = append(widths, 0)
			}
			widths[n] = max(widths[n], utf8.RuneCountInString(c.Text))
		}
	}
	var out []string
	for _, row := range b.Rows {
		line := ""
		for n, c := range row {
			line += "  " + c.Text + strings.Repeat(" ", widths[n]-utf8.RuneCountInString(c.Text))
		}
		out = append(out, strings.TrimRight(line, " "))
	}
	return out
}

func (t *textObject) lines() []string {
	if t == nil {
		return nil
	}
	return strings.Split(t.shown(), "\n")
}

// dateToken is Slack's time in the reader's zone, with its fallback.
var dateToken = regexp.MustCompile(`<!date\^[^|>]*\|([^>]*)>`)

// shown is what a reader sees of a text object.
func (t *textObject) shown() string {
	if t.Type != "mrkdwn" {
		return t.Text
	}
	return unescape(strings.Trim(dateToken.ReplaceAllString(t.Text, "$1"), "*"))
}

func unescape(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}

// pairs shows fields in their two columns.
func pairs(fields []textObject) []string {
	var out []string
	for n := 0; n+1 < len(fields); n += 2 {
		out = append(out, fmt.Sprintf("  %-14s %s", fields[n].shown(), fields[n+1].shown()))
	}
	return out
}

func elementLines(raw []json.RawMessage) []string {
	var out []string
	for _, r := range raw {
		var e element
		if json.Unmarshal(r, &e) != nil {
			continue
		}
		switch e.Type {
		case "rich_text_list":
			for n, item := range e.Elements {
				out = append(out, fmt.Sprintf("  %d. %s", n+1, strings.Join(elementLines([]json.RawMessage{item}), " ")))
			}
		case "rich_text_preformatted":
			for line := range strings.SplitSeq(leaves(e.Elements), "\n") {
				out = append(out, "  "+line)
			}
		case "button":
			out = append(out, "["+leaf(e.Text)+"] "+e.URL)
		case "rich_text_section", "rich_text_quote":
			out = append(out, leaves(e.Elements))
		default:
			out = append(out, leaf(e.Text))
		}
	}
	return out
}

func leaves(raw []json.RawMessage) string {
	var b strings.Builder
	for _, r := range raw {
		var e element
		if json.Unmarshal(r, &e) == nil {
			b.WriteString(leaf(e.Text))
		}
	}
	return b.String()
}

// leaf is a text that is a string or a text object.
func leaf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var t textObject
	if json.Unmarshal(raw, &t) == nil {
		return t.shown()
	}
	return ""
}
