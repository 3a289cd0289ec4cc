package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"gatehouse/ingest"
	"gatehouse/ingest/event"
	"gatehouse/ingest/gateway"
	"gatehouse/ingest/redact"
)

// lineReader reads log lines of any length: one over the limit is handed on cut,
// with its true size, so that it becomes a rejection and not the end of the file.
type lineReader struct {
	r *bufio.Reader
}

// openLines opens a file, or standard input for "-", and unpacks gzip by its
// magic bytes.
func openLines(con *console, name string) (*lineReader, io.Closer, error) {
	var src io.ReadCloser = io.NopCloser(con.in)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, usageError{err}
		}
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return nil, nil, usageError{errors.Join(fmt.Errorf("%s is a directory: name the files in it", name), f.Close())}
		}
		src = f
	}
	const readBuffer = 256 << 10
	r := bufio.NewReaderSize(src, readBuffer)
	if magic, _ := r.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, usageError{errors.Join(fmt.Errorf("unpack %s: %w", name, err), src.Close())}
		}
		r = bufio.NewReaderSize(unpacked, readBuffer)
	}
	return &lineReader{r}, src, nil
}

// next returns the next line without its end, at most event.MaxRecordBytes+1
// bytes of it, and the line's size.
func (l *lineReader) next() (line []byte, size int, err error) {
	for {
		part, err := l.r.ReadSlice('\n')
		size += len(part)
		if room := event.MaxRecordBytes + 1 - len(line); room > 0 {
			line = append(line, part[:min(len(part), room)]...)
		}
		switch {
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), size, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && size > 0:
			return line, size, nil
		default:
			return nil, size, err
		}
	}
}

// lineDecoder decodes and redacts lines of one source type.
type lineDecoder struct {
	gateway string
	decoder *ingest.Decoder
}

func newLineDecoder(gateway string, redactor *redact.Redactor) lineDecoder {
	return lineDecoder{gateway, ingest.NewDecoder(redactor, time.Now)}
}

// each reads every line of a file and hands on what it became, with origin
// file/0/line. Empty lines are skipped.
func (d lineDecoder) each(ctx context.Context, con *console, file string, do func(ingest.Decoded) error) error {
	lines, closer, err := openLines(con, file)
	if err != nil {
		return err
	}
	defer closer.Close() //nolint:errcheck // read only
	for number := int64(1); ; number++ {
		line, _, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return usageError{fmt.Errorf("read %s, after line %d: %w", file, number-1, err)}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var got ingest.Decoded
		d.decoder.Decode(d.gateway, event.Origin{Topic: file, Offset: number}, line, &got)
		if err := do(got); err != nil {
			return err
		}
	}
}

// checkGateway refuses a source type that does not exist and says which do. ""
// means by the look of each line.
func checkGateway(name string) error {
	if name == "" {
		return nil
	}
	if _, ok := gateway.Lookup(name); !ok {
		return usageError{fmt.Errorf("unknown gateway %q: want one of %s", name, strings.Join(gateway.Names(), ", "))}
	}
	return nil
}

// twice refuses files that are the same file: every line would count twice.
func twice(files []string) error {
	var seen []os.FileInfo
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			continue // opening it will say
		}
		for _, other := range seen {
			if os.SameFile(info, other) {
				return usageError{fmt.Errorf("%s is named twice", name)}
			}
		}
		seen = append(seen, info)
	}
	return nil
}

// rejections counts what was refused and remembers the first of each reason, so
// that a person learns where to look.
type rejections struct {
	count int
	first map[event.Reason]event.Rejection
	by    map[event.Reason]int
}

func (r *rejections) add(rs []event.Rejection) {
	if r.first == nil {
		r.first, r.by = map[event.Reason]event.Rejection{}, map[event.Reason]int{}
	}
	for _, x := range rs {
		r.count++
		r.by[x.Reason]++
		if _, seen := r.first[x.Reason]; !seen {
			r.first[x.Reason] = x
		}
	}
}

// print says per reason how many and where the first is.
func (r *rejections) print(w io.Writer) {
	for _, reason := range event.Reasons() {
		if n := r.by[reason]; n > 0 {
			first := r.first[reason].Origin
			fmt.Fprintf(w, "rejected: %d × %s, the first at %s line %d\n", n, reason, safeText(first.Topic), first.Offset)
		}
	}
}
