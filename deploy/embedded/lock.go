package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dirLock is the single-writer claim on a data directory. The kernel's lock on
// the file is the claim and dies with the process; the text in the file only
// says who holds it, so a stale text after kill -9 is harmless.
type dirLock struct{ file *os.File }

const lockName = "gatehouse.lock"

// acquireDir creates dir and claims it for this process. The error names the
// process that holds it.
func acquireDir(dir string) (*dirLock, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	file, err := lockFile(filepath.Join(dir, lockName), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("open data directory %s: held by %s; stop that process, or choose another data_dir",
			dir, holder(filepath.Join(dir, lockName)))
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	l := &dirLock{file: file}
	if err := l.sign(); err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory %s: %w", dir, err), l.release())
	}
	return l, nil
}

// lockFile opens path, creating it, and takes a flock on it.
func lockFile(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), how); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// sign writes who holds the lock, for the process that finds it taken. Only
// the program's name is written: arguments could carry secrets.
func (l *dirLock) sign() error {
	text := fmt.Sprintf("pid %d, started %s, command %s\n",
		os.Getpid(), time.Now().UTC().Format(time.RFC3339), filepath.Base(os.Args[0]))
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(text), 0)
	return err
}

// maxHolderBytes bounds what is quoted from a lock file.
const maxHolderBytes = 512

func holder(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return "another process"
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxHolderBytes))
	if err != nil || len(text) == 0 {
		return "another process"
	}
	return strings.TrimSpace(string(text))
}

func (l *dirLock) release() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("release data directory: %w", err)
	}
	return nil
}
