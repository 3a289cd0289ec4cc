package slack

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"gatehouse/alert"
)

// Budgets of one message. Slack's own limits are higher (50 blocks, and a sum of
// text that is not documented but was seen to refuse about 11,000 characters in
// 45 blocks); these stay well inside, in characters.
const (
	maxBlocks   = 14
	maxChars    = 6_000
	maxHeader   = 150
	maxSection  = 3_000
	maxField    = 2_000
	maxFields   = 10 // text objects of one section
	maxFallback = 300
	maxPlain    = 3_500 // of a message without blocks; Slack may split one of 4,000
	maxButton   = 75
	maxURL      = 3_000
	maxCaption  = 200
	maxColumns  = 20
	maxRows     = 100
	pageRows    = 5 // rows of a table that show before a reader pages
)

// blocks is a message as Block Kit, as rich as level allows; none for
// [alert.LevelText].
func blocks(m *alert.Message, level alert.Level) []slack.Block {
	b := &builder{room: maxChars}
	switch {
	case level >= alert.LevelText:
		return nil
	case level == alert.LevelShort:
		b.header(shortHeader(m))
		b.section(m.Why)
		b.code(m.Code)
		b.context(m.Footer)
		return b.blocks
	}
	b.header(m.Header)
	b.section(m.Why)
	b.fields(m.Fields)
	b.steps(m.Steps)
	// Code goes after the table and is worth more: it cannot be shortened.
	b.room -= codeChars(m.Code) + chars(m.Footer)
	if level == alert.LevelFull {
		b.table(m.Table)
	} else {
		b.plainTable(m.Table)
	}
	b.room += codeChars(m.Code) + chars(m.Footer)
	b.code(m.Code)
	b.links(m.Links)
	b.context(m.Footer)
	return b.blocks
}

// shortHeader is what a message says first when most of it is left out.
func shortHeader(m *alert.Message) string {
	if m.Header != "" {
		return m.Header
	}
	return m.Summary
}

// fallback is the text of a message: what notifications and screen readers get,
// and all there is without blocks. Only in that last case it has values of
// events in it. It is sent with markup off, and escaped besides.
func fallback(p *alert.Post) string {
	if p.Level < alert.LevelText {
		return escape(alert.Clean(p.Message.Summary, maxFallback))
	}
	text := alert.RenderText(&p.Message, false)
	if p.Message.Header == "" {
		text = p.Message.Summary + "\n" + text
	}
	return escape(alert.CleanLines(text, maxPlain))
}

// escape makes text inert in Slack's markup. Slack has no escape for its
// formatting characters; the backtick, which could open a code span, becomes an
// apostrophe.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'").Replace(s)
}

// builder adds blocks while there is room. What does not fit is cut or left out.
type builder struct {
	blocks []slack.Block
	room   int // characters
}

func chars(s string) int { return utf8.RuneCountInString(s) }

func codeChars(code []alert.Code) int {
	n := 0
	for _, c := range code {
		n += chars(c.Label) + chars(c.Text)
	}
	return n
}

// fit is s cut to limit and to the room that is left, which it uses up.
func (b *builder) fit(s string, limit int) string {
	s = alert.Cut(s, max(0, min(limit, b.room)))
	b.room -= chars(s)
	return s
}

func (b *builder) add(block slack.Block) {
	if len(b.blocks) < maxBlocks {
		b.blocks = append(b.blocks, block)
	}
}

// plain is a text object in which Slack interprets nothing.
func plain(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

func (b *builder) header(s string) {
	if s = b.fit(s, maxHeader); s != "" {
		b.add(slack.NewHeaderBlock(plain(s)))
	}
}

func (b *builder) section(s string) {
	if s = b.fit(s, maxSection); s != "" {
		b.add(slack.NewSectionBlock(plain(s), nil, nil))
	}
}

// fields lays names and values out in two columns. A name is bold, which takes
// mrkdwn; a value is plain.
func (b *builder) fields(fields []alert.MessageField) {
	var objects []*slack.TextBlockObject
	flush := func() {
		if len(objects) > 0 {
			b.add(slack.NewSectionBlock(nil, objects, nil))
		}
		objects = nil
	}
	for n := range fields {
		f := &fields[n]
		value := fieldValue(f)
		value.Text = b.fit(value.Text, maxField)
		if value.Text == "" {
			continue
		}
		objects = append(objects, label(b.fit(f.Name, maxField)), value)
		if len(objects) == maxFields {
			flush()
		}
	}
	flush()
}

// label is a field's name in bold. It is one of our constants; whatever would
// mean something to Slack is taken out all the same.
func label(name string) *slack.TextBlockObject {
	name = strings.NewReplacer("&", "&amp;", "<", "", ">", "", "*", "", "_", "", "~", "", "`", "").Replace(name)
	return slack.NewTextBlockObject(slack.MarkdownType, "*"+name+"*", false, true)
}

func fieldValue(f *alert.MessageField) *slack.TextBlockObject {
	if len(f.Times) == 0 {
		return plain(f.Value)
	}
	var parts []string
	for _, t := range f.Times {
		parts = append(parts, fmt.Sprintf("<!date^%d^{date_short_pretty} {time_secs}|%sZ>", t.Unix(), t.UTC().Format(time.DateTime)))
	}
	return slack.NewTextBlockObject(slack.MarkdownType, strings.Join(parts, " → "), false, true)
}

// text is an element of rich text: literal, whatever it holds.
func text(s string, bold bool) *slack.RichTextSectionTextElement {
	var style *slack.RichTextSectionTextStyle
	if bold {
		style = &slack.RichTextSectionTextStyle{Bold: true}
	}
	return slack.NewRichTextSectionTextElement(s, style)
}

func (b *builder) steps(steps []string) {
	var items []slack.RichTextElement
	for _, s := range steps {
		if s = b.fit(s, maxSection); s != "" {
			items = append(items, slack.NewRichTextSection(text(s, false)))
		}
	}
	if len(items) > 0 {
		b.add(slack.NewRichTextBlock("",
			slack.NewRichTextSection(text(b.fit("Do first", maxSection), true)),
			slack.NewRichTextList(slack.RTEListOrdered, 0, items...)))
	}
}

// empty stands for an empty cell, which Slack does not take.
const empty = "–"

func (b *builder) table(t *alert.Table) {
	if t == nil {
		return
	}
	caption := b.fit(t.Caption, maxCaption)
	block := slack.NewDataTableBlock(caption).WithPageSize(pageRows)
	width := min(len(t.Columns), maxColumns)
	for _, r := range append([][]string{t.Columns}, t.Rows[:min(len(t.Rows), maxRows)]...) {
		var cells []slack.DataTableCell
		need := 0
		for _, c := range r[:width] {
			if c == "" {
				c = empty
			}
			need += chars(c)
			cells = append(cells, slack.NewDataTableRawTextCell(c))
		}
		if need > b.room {
			break
		}
		b.room -= need
		block.AddRow(cells...)
	}
	if len(block.Rows) > 1 && caption != "" {
		b.add(block)
	}
}

// plainTable is a table as fixed-width text, cut at a line.
func (b *builder) plainTable(t *alert.Table) {
	if t == nil {
		return
	}
	caption := b.fit(t.Caption, maxCaption)
	limit := min(b.room, maxSection)
	var kept []string
	for line := range strings.SplitSeq(t.Text(""), "\n") {
		if limit -= chars(line) + 1; limit < 0 {
			break
		}
		kept = append(kept, line)
	}
	if len(kept) > 1 {
		b.preformatted(caption, strings.Join(kept, "\n"))
	}
}

// code shows SQL to copy. A statement that does not fit is left out: half of one
// is worse than none.
func (b *builder) code(code []alert.Code) {
	for _, c := range code {
		if n := chars(c.Label) + chars(c.Text); c.Text != "" && n <= b.room && chars(c.Text) <= maxSection {
			b.preformatted(c.Label, c.Text)
		}
	}
}

func (b *builder) preformatted(title, body string) {
	if room := b.room - chars(title) - chars(body); room < 0 || title == "" {
		return
	}
	b.room -= chars(title) + chars(body)
	b.add(slack.NewRichTextBlock("",
		slack.NewRichTextSection(text(title, true)),
		&slack.RichTextPreformatted{Type: slack.RTEPreformatted, Elements: []slack.RichTextSectionElement{text(body, false)}}))
}

// links are buttons that open pages; they need no interactivity.
func (b *builder) links(links []alert.Link) {
	var buttons []slack.BlockElement
	for n, l := range links {
		if len(l.URL) > maxURL {
			continue
		}
		button := slack.NewButtonBlockElement(fmt.Sprintf("open_%d", n), "", plain(b.fit(l.Label, maxButton)))
		button.URL = l.URL
		buttons = append(buttons, button)
	}
	if len(buttons) > 0 {
		b.add(slack.NewActionBlock("", buttons...))
	}
}

func (b *builder) context(s string) {
	if s = b.fit(s, maxSection); s != "" {
		b.add(slack.NewContextBlock("", plain(s)))
	}
}
