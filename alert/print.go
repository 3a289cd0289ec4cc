package alert

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Printer is the Notifier for when no Slack is configured: it writes messages as
// text. Deliveries through it are recorded as printed.
type Printer struct {
	w     io.Writer
	color bool
	mu    sync.Mutex
}

// NewPrinter writes to w, with ANSI colours if color is set.
func NewPrinter(w io.Writer, color bool) *Printer { return &Printer{w: w, color: color} }

// Post implements [Notifier].
func (p *Printer) Post(_ context.Context, post Post) (string, error) {
	text := RenderText(&post.Message, p.color)
	if post.Thread != "" {
		text = indent(text, "  │ ")
	}
	if err := p.print(text + "\n"); err != nil {
		return "", err
	}
	return "printed:" + post.DeliveryID, nil
}

// Update implements [Notifier]: it prints the new first line.
func (p *Printer) Update(_ context.Context, _ string, post Post) error {
	return p.print(post.Message.Header + "  (" + post.Message.Incident + ")\n")
}

func (p *Printer) print(text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := io.WriteString(p.w, text); err != nil {
		return &SendError{Outcome: Unsent, Err: fmt.Errorf("print message: %w", err)}
	}
	return nil
}

// ANSI sequences.
const (
	ansiBold  = "\x1b[1m"
	ansiDim   = "\x1b[2m"
	ansiReset = "\x1b[0m"
)

// RenderText is a message for a terminal, as a responder would see it in Slack:
// header, reason, fields, steps, tables, SQL. It ends with a line end and holds
// no control sequence unless color is set.
func RenderText(m *Message, color bool) string {
	t := &textRenderer{color: color}
	if m.Header != "" {
		t.line(t.style(ansiBold, m.Header))
	}
	if m.Why != "" {
		t.line(m.Why)
	}
	t.fields(m.Fields)
	if len(m.Steps) > 0 {
		t.line(t.style(ansiBold, "Do first"))
		for n, s := range m.Steps {
			t.line(fmt.Sprintf("  %d. %s", n+1, s))
		}
	}
	if m.Table != nil {
		t.line(t.style(ansiBold, m.Table.Caption))
		t.line(m.Table.Text("  "))
	}
	for _, c := range m.Code {
		t.line(t.style(ansiBold, c.Label))
		t.line(strings.TrimSuffix(indent(c.Text+"\n", "  "), "\n"))
	}
	for _, l := range m.Links {
		t.line(l.Label + ": " + l.URL)
	}
	if m.Footer != "" {
		t.line(t.style(ansiDim, m.Footer))
	}
	return t.b.String()
}

type textRenderer struct {
	b     strings.Builder
	color bool
}

func (t *textRenderer) line(s string) { t.b.WriteString(s + "\n") }

func (t *textRenderer) style(code, s string) string {
	if !t.color {
		return s
	}
	return code + s + ansiReset
}

func (t *textRenderer) fields(fields []MessageField) {
	width := 0
	for _, f := range fields {
		width = max(width, utf8.RuneCountInString(f.Name))
	}
	for _, f := range fields {
		t.line(fmt.Sprintf("  %s  %s", t.style(ansiDim, pad(f.Name, width)), f.text()))
	}
}

// text is the field's value with times in UTC.
func (f *MessageField) text() string {
	if len(f.Times) == 0 {
		return f.Value
	}
	var parts []string
	for _, at := range f.Times {
		parts = append(parts, at.UTC().Format(time.DateTime)+"Z")
	}
	return strings.Join(parts, " → ")
}

// Text is the table with aligned columns, one line per row, each behind prefix.
func (t *Table) Text(prefix string) string {
	widths := make([]int, len(t.Columns))
	rows := append([][]string{t.Columns}, t.Rows...)
	for _, r := range rows {
		for n := range widths {
			widths[n] = max(widths[n], utf8.RuneCountInString(r[n]))
		}
	}
	var lines []string
	for _, r := range rows {
		var b strings.Builder
		b.WriteString(prefix)
		for n, w := range widths {
			b.WriteString(pad(r[n], w) + "  ")
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return strings.Join(lines, "\n")
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// indent puts prefix before every line of text, which ends with a line end.
func indent(text, prefix string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return prefix + strings.Join(lines, "\n"+prefix) + "\n"
}
