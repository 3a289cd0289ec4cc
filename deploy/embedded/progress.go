package embedded

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"
)

// How often a download is reported: a bar is redrawn, a line is added.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
	barWidth  = 30
)

// downloadWatch reports a download that another program makes, by the size of
// the files it has written since the start.
type downloadWatch struct {
	out   io.Writer
	tty   bool
	rel   release
	dirs  []string
	since time.Time
	stop  chan struct{}
	done  chan struct{}
}

// watchDownload starts reporting to out until end is called.
func watchDownload(out io.Writer, rel release, dirs ...string) *downloadWatch {
	w := &downloadWatch{out: out, tty: isTerminal(out), rel: rel, dirs: dirs,
		since: time.Now().Add(-time.Second), // file times are coarser than the clock
		stop:  make(chan struct{}), done: make(chan struct{})}
	fmt.Fprintf(out, "fetching the SQL engine once: %s %s, %d MB\n", rel.npm, engineVersion, rel.bytes/1e6)
	go w.run()
	return w
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func (w *downloadWatch) run() {
	defer close(w.done)
	every := lineEvery
	if w.tty {
		every = barEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			w.report(w.received())
		}
	}
}

// received is the size of the largest file that grew since the start: the
// download itself or, near the end, the tarball copied out of npm's cache.
func (w *downloadWatch) received() int64 {
	var largest int64
	for _, dir := range w.dirs {
		if dir == "" {
			continue
		}
		// Files come and go while this looks, so errors mean nothing here.
		_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return nil
			}
			if info, err := entry.Info(); err == nil && info.ModTime().After(w.since) {
				largest = max(largest, info.Size())
			}
			return nil
		})
	}
	return min(largest, w.rel.bytes)
}

func (w *downloadWatch) report(n int64) {
	if !w.tty {
		fmt.Fprintf(w.out, "fetching the SQL engine: %d of %d MB\n", n/1e6, w.rel.bytes/1e6)
		return
	}
	fmt.Fprintf(w.out, "\r%s %3d of %d MB", bar(n, w.rel.bytes), n/1e6, w.rel.bytes/1e6)
}

func bar(n, total int64) string {
	filled := int(n * barWidth / max(total, 1))
	return "[" + strings.Repeat("#", filled) + strings.Repeat(".", barWidth-filled) + "]"
}

// end stops reporting; err is the outcome of the download.
func (w *downloadWatch) end(err error) {
	close(w.stop)
	<-w.done
	if err == nil {
		w.report(w.rel.bytes)
	}
	if w.tty {
		fmt.Fprintln(w.out)
	}
}
