package kafka

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

//go:embed pom.xml
var pom []byte

// Available says whether a broker can run here: java and mvn must be on the
// PATH. The error names what is missing.
func Available() error {
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("find %s for the real Kafka broker: %w: install a JDK (17 or newer) and Maven", tool, err)
		}
	}
	return nil
}

// jars returns a directory with the broker's jars. Maven fetches them into the
// user's cache once per pom.xml; processes that come at the same time wait for
// the one that fetches.
func jars(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	dir := filepath.Join(cache, "gatehouse", fmt.Sprintf("kafka-%x", sha256.Sum256(pom))[:22])
	if exists(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("create cache directory: %w", err)
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(dir) {
		return dir, nil
	}
	return dir, fetch(ctx, dir)
}

// fetch has Maven copy the jars next to dir and then renames them into place, so
// that dir is complete or absent.
func fetch(ctx context.Context, dir string) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), "kafka-fetch-")
	if err != nil {
		return fmt.Errorf("create work directory: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o644); err != nil {
		return fmt.Errorf("write pom: %w", err)
	}
	libs := filepath.Join(work, "libs")
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+libs)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch kafka's jars with mvn: %w:\n%s", err, tail(out))
	}
	if err := os.Rename(libs, dir); err != nil {
		return fmt.Errorf("keep kafka's jars: %w", err)
	}
	return nil
}

// lock holds a file lock until the returned function is called.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock kafka's jars: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock kafka's jars: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// tail is the end of a process's output: where the reason for its end is.
func tail(out []byte) []byte {
	const enough = 4 << 10
	out = bytes.TrimSpace(out)
	return out[max(0, len(out)-enough):]
}
