package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// envLibchdb names a libchdb file to use instead of the fetched one.
const envLibchdb = "GATEHOUSE_LIBCHDB"

const libraryName = "libchdb.so"

// locateLibchdb returns the path of the engine library, fetching it into the
// user's cache if this is the first use. Processes that come at the same time
// wait for the one that fetches.
func locateLibchdb(ctx context.Context, progress io.Writer) (string, error) {
	if file := os.Getenv(envLibchdb); file != "" {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			return "", fmt.Errorf("use the SQL engine of %s: %s is not a file; correct or unset it", envLibchdb, file)
		}
		return file, nil
	}
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	if library := filepath.Join(dir, libraryName); exists(library) {
		return library, nil
	}
	rel, err := releaseFor(runtime.GOOS + "/" + runtime.GOARCH)
	if err != nil {
		return "", err
	}
	return fetchOnce(ctx, rel, dir, progress)
}

// fetchOnce fetches into dir under a lock, unless another process just did.
func fetchOnce(ctx context.Context, rel release, dir string, progress io.Writer) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("fetch the SQL engine: create its cache: %w; set XDG_CACHE_HOME, or %s to a libchdb file", err, envLibchdb)
	}
	lock, err := lockFile(filepath.Join(dir, "fetch.lock"), unix.LOCK_EX)
	if err != nil {
		return "", fmt.Errorf("fetch the SQL engine: lock %s: %w", dir, err)
	}
	defer lock.Close()
	library := filepath.Join(dir, libraryName)
	if exists(library) {
		return library, nil
	}
	return library, fetch(ctx, rel, library, progress)
}

func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache directory: %w; set XDG_CACHE_HOME, or %s to a libchdb file", err, envLibchdb)
	}
	return filepath.Join(cache, "gatehouse", "libchdb", engineVersion), nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// fetch downloads the package with the npm client, whose configuration decides
// where from, and installs the library out of it.
func fetch(ctx context.Context, rel release, library string, progress io.Writer) error {
	tmp, err := os.MkdirTemp(filepath.Dir(library), "fetch-*")
	if err != nil {
		return fmt.Errorf("fetch the SQL engine: %w", err)
	}
	defer os.RemoveAll(tmp)
	tarball, err := npmPack(ctx, rel, tmp, progress)
	if err != nil {
		return err
	}
	return install(tarball, rel, library)
}

// npmPack runs npm and returns the tarball it wrote.
func npmPack(ctx context.Context, rel release, dir string, progress io.Writer) (string, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("fetch the SQL engine: npm is not installed: install Node.js 18 or newer, "+
			"or set %s to a libchdb file, %s", envLibchdb, otherWays)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, npm, "pack", rel.npm+"@"+engineVersion, "--silent", "--prefer-offline", "--pack-destination", dir)
	cmd.Dir, cmd.Stderr = dir, &stderr
	watch := watchDownload(progress, rel, npmCacheTmp(ctx, npm), dir)
	err = cmd.Run()
	watch.end(err)
	if err != nil {
		return "", fmt.Errorf("fetch the SQL engine: npm pack %s@%s: %w: %s; check the network and npm's registry setting, "+
			"or set %s to a libchdb file, %s", rel.npm, engineVersion, err, lastLine(stderr.String()), envLibchdb, otherWays)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("fetch the SQL engine: npm pack %s@%s wrote %d files, want 1", rel.npm, engineVersion, len(found))
	}
	return found[0], nil
}

// npmCacheTmp is where npm keeps a download that is under way; empty if npm
// does not say.
func npmCacheTmp(ctx context.Context, npm string) string {
	out, err := exec.CommandContext(ctx, npm, "config", "get", "cache").Output()
	if err != nil {
		return ""
	}
	return filepath.Join(strings.TrimSpace(string(out)), "_cacache", "tmp")
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" && !strings.Contains(line, "complete log of this run") {
			return line
		}
	}
	return "no message"
}

// install verifies the tarball against the pinned checksum and puts its library
// in place in one step: a file with the final name is always complete.
func install(tarball string, rel release, library string) error {
	file, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("install the SQL engine: %w", err)
	}
	defer file.Close()
	tmp, err := os.CreateTemp(filepath.Dir(library), libraryName+".*")
	if err != nil {
		return fmt.Errorf("install the SQL engine: %w", err)
	}
	defer os.Remove(tmp.Name())
	err = unpack(file, rel, tmp)
	if err := errors.Join(err, tmp.Sync(), tmp.Chmod(0o500), tmp.Close()); err != nil {
		return fmt.Errorf("install the SQL engine: %w", err)
	}
	if err := os.Rename(tmp.Name(), library); err != nil {
		return fmt.Errorf("install the SQL engine: %w", err)
	}
	return nil
}

// unpack checks the whole tarball first, then writes the library in it to out:
// unverified bytes reach neither the decompressor nor the disk.
func unpack(tarball io.ReadSeeker, rel release, out io.Writer) error {
	sum := sha512.New()
	if _, err := io.Copy(sum, tarball); err != nil {
		return err
	}
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != rel.sha512 {
		return fmt.Errorf("%s@%s has SHA-512 %s, want %s: the download is damaged or was replaced; nothing was installed; "+
			"run npm cache clean --force and try again, or set %s to a libchdb file you trust",
			rel.npm, engineVersion, got, rel.sha512, envLibchdb)
	}
	if _, err := tarball.Seek(0, io.SeekStart); err != nil {
		return err
	}
	zip, err := gzip.NewReader(tarball)
	if err != nil {
		return err
	}
	files := tar.NewReader(zip)
	for {
		head, err := files.Next()
		if err == io.EOF {
			return fmt.Errorf("%s@%s holds no %s", rel.npm, engineVersion, libraryName)
		}
		if err != nil {
			return err
		}
		if path.Base(head.Name) == libraryName && head.Typeflag == tar.TypeReg {
			_, err = io.Copy(out, files)
			return err
		}
	}
}
