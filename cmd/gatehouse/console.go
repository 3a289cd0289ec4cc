package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// console is where a command reads and writes, and what the person at it can
// see: colour and live progress only on a terminal.
type console struct {
	in        io.Reader
	out, err  io.Writer
	inIsTerm  bool
	outIsTerm bool
	errIsTerm bool
}

func newConsole(in, out, err *os.File) *console {
	return &console{
		in: in, out: out, err: err,
		inIsTerm:  term.IsTerminal(int(in.Fd())),
		outIsTerm: term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == "",
		errIsTerm: term.IsTerminal(int(err.Fd())),
	}
}

// ANSI styles.
const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	reset = "\x1b[0m"
)

// style wraps s in an ANSI style on a terminal and leaves it alone elsewhere.
func (con *console) style(ansi, s string) string {
	if !con.outIsTerm {
		return s
	}
	return ansi + s + reset
}

func (con *console) printf(format string, args ...any) { fmt.Fprintf(con.out, format, args...) }

// json prints v as one line of JSON.
func (con *console) json(v any) error {
	enc := json.NewEncoder(con.plain())
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// progress rewrites one line on a terminal, and prints a line every few seconds
// elsewhere, so that a log of the run stays short.
type progress struct {
	con   *console
	every time.Duration
	last  time.Time
	width int
}

const (
	progressTerminal = 200 * time.Millisecond
	progressPlain    = 5 * time.Second
)

func (con *console) progress() *progress {
	if con.errIsTerm {
		return &progress{con: con, every: progressTerminal}
	}
	// The first plain line comes when the work turns out to take long.
	return &progress{con: con, every: progressPlain, last: time.Now()}
}

// show says how far things are, if it is time to.
func (p *progress) show(now time.Time, format string, args ...any) {
	if now.Sub(p.last) < p.every {
		return
	}
	p.last = now
	line := fmt.Sprintf(format, args...)
	if !p.con.errIsTerm {
		fmt.Fprintln(p.con.err, line)
		return
	}
	pad := max(p.width-utf8.RuneCountInString(line), 0)
	p.width = utf8.RuneCountInString(line)
	fmt.Fprintf(p.con.err, "\r%s%s", line, strings.Repeat(" ", pad))
}

// done clears the line.
func (p *progress) done() {
	if p.con.errIsTerm && p.width > 0 {
		fmt.Fprintf(p.con.err, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

// table prints rows under a header, columns aligned; number columns to the
// right. Text is made safe for a terminal: control and bidi characters are
// escaped, because it may be an attacker's.
func (con *console) table(header []string, right []bool, rows [][]string) {
	width := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(con.cell(cell)))
		}
	}
	con.row(header, width, right, bold)
	for _, row := range rows {
		con.row(row, width, right, "")
	}
}

// maxCell is where a table on a terminal cuts a cell, in characters.
const maxCell = 80

// cell is a cell as it is shown.
func (con *console) cell(s string) string {
	s = safeText(s)
	if con.outIsTerm {
		return cut(s, maxCell)
	}
	return s
}

func (con *console) row(cells []string, width []int, right []bool, ansi string) {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		cell = con.cell(cell)
		pad := strings.Repeat(" ", max(width[i]-utf8.RuneCountInString(cell), 0))
		if right != nil && right[i] {
			cell = pad + cell
		} else if i < len(cells)-1 {
			cell += pad
		}
		b.WriteString(cell)
	}
	line := b.String()
	if ansi != "" {
		line = con.style(ansi, line)
	}
	fmt.Fprintln(con.out, line)
}

func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// safeLines is safeText for text of several lines.
func safeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = safeText(strings.ReplaceAll(line, "\t", "  "))
	}
	return strings.Join(lines, "\n")
}

// plain is where text goes that is made for machines: as it is, but on a terminal
// made safe for it.
func (con *console) plain() io.Writer {
	if !con.outIsTerm {
		return con.out
	}
	return terminalWriter{con.out}
}

type terminalWriter struct{ w io.Writer }

// Write implements io.Writer. A character that is cut in two by a write is shown
// as two that cannot be shown.
func (t terminalWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(t.w, safeLines(string(p))); err != nil {
		return 0, fmt.Errorf("write to terminal: %w", err)
	}
	return len(p), nil
}

// safeText replaces what could steer a terminal or reorder text: C0 and C1
// controls and bidirectional marks.
func safeText(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f:
			return '\uFFFD'
		}
		return r
	}, s)
}

// self is how the person started this program, for the commands that it prints.
func self() string {
	exe, err := os.Executable()
	if err == nil && strings.Contains(exe, "go-build") {
		return "go run ./cmd/gatehouse"
	}
	return "gatehouse"
}
