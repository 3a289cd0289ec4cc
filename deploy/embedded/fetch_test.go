package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// tarball is an npm package with the given files.
func tarball(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zip)
	for name, text := range files {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(tw, text)
	}
	if err := errors.Join(tw.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// fakeNPM puts an npm on the path that delivers the package, or fails if it is
// nil, and returns the release that matches it. Each run adds a line to the
// file that is returned.
func fakeNPM(t *testing.T, pkg []byte) (rel release, runs string) {
	t.Helper()
	dir := t.TempDir()
	runs = filepath.Join(dir, "runs")
	script := "#!/bin/sh\nif [ \"$1\" = config ]; then echo " + dir + "; exit; fi\necho run >>" + runs + "\n"
	if pkg == nil {
		script += "echo 'npm error code ENOTFOUND' >&2\necho 'npm error network request failed' >&2\nexit 1\n"
	} else {
		script += "while [ \"$1\" != --pack-destination ]; do shift; done\ncp " + dir + "/pkg \"$2\"/pkg.tgz\n"
		if err := os.WriteFile(filepath.Join(dir, "pkg"), pkg, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	sum := sha512.Sum512(pkg)
	return release{npm: "@test/lib", sha512: base64.StdEncoding.EncodeToString(sum[:]), bytes: int64(len(pkg))}, runs
}

func TestFetch(t *testing.T) {
	rel, _ := fakeNPM(t, tarball(t, map[string]string{"package/package.json": "{}", "package/libchdb.so": "the library"}))
	library := filepath.Join(t.TempDir(), libraryName)
	var progress bytes.Buffer
	if err := fetch(t.Context(), rel, library, &progress); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(library); string(text) != "the library" {
		t.Errorf("installed %q (%v)", text, err)
	}
	if !strings.HasPrefix(progress.String(), "fetching the SQL engine once: @test/lib "+engineVersion) {
		t.Errorf("progress is %q", progress.String())
	}
	left, err := os.ReadDir(filepath.Dir(library))
	if err != nil || len(left) != 1 {
		t.Errorf("the fetch left %v (%v)", left, err)
	}
}

func TestFetchRefuses(t *testing.T) {
	good := tarball(t, map[string]string{"package/libchdb.so": "the library"})
	for name, c := range map[string]struct {
		pkg    []byte
		change func(*release)
		want   []string
	}{
		"download fails": {nil, func(*release) {}, []string{"npm pack @test/lib@" + engineVersion, "network request failed", "check the network", envLibchdb, "gatehouse.yaml"}},
		"checksum":       {good, func(r *release) { r.sha512 = "AAAA" }, []string{"want AAAA", "nothing was installed", "npm cache clean", envLibchdb}},
		"no library":     {tarball(t, map[string]string{"package/x": ""}), func(*release) {}, []string{"holds no libchdb.so"}},
		"not a tarball":  {[]byte("<html>"), func(*release) {}, []string{"install the SQL engine"}},
	} {
		t.Run(name, func(t *testing.T) {
			rel, _ := fakeNPM(t, c.pkg)
			c.change(&rel)
			library := filepath.Join(t.TempDir(), libraryName)
			err := fetch(t.Context(), rel, library, io.Discard)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
			if exists(library) {
				t.Error("a refused download was installed")
			}
		})
	}
	t.Run("no npm", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		err := fetch(t.Context(), release{npm: "@test/lib"}, filepath.Join(t.TempDir(), libraryName), io.Discard)
		if err == nil || !strings.Contains(err.Error(), "npm is not installed: install Node.js") || !strings.Contains(err.Error(), envLibchdb) {
			t.Errorf("got %v", err)
		}
	})
}

// TestFetchOnce lets several starts come at once: one fetches, the others
// wait and use what it fetched.
func TestFetchOnce(t *testing.T) {
	rel, runs := fakeNPM(t, tarball(t, map[string]string{"package/libchdb.so": "the library"}))
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if library, err := fetchOnce(context.Background(), rel, dir, io.Discard); err != nil || !exists(library) {
				t.Errorf("fetch: %v", err)
			}
		})
	}
	wg.Wait()
	if text, err := os.ReadFile(runs); string(text) != "run\n" {
		t.Errorf("npm ran %q times (%v)", text, err)
	}
}

func TestLocateByEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.so")
	t.Setenv(envLibchdb, file)
	if _, err := locateLibchdb(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), file+" is not a file; correct or unset it") {
		t.Errorf("a missing file gave %v", err)
	}
	if err := os.WriteFile(file, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := locateLibchdb(t.Context(), io.Discard); got != file || err != nil {
		t.Errorf("got %s (%v)", got, err)
	}
	if _, err := loadLibchdb(file); err == nil || !strings.Contains(err.Error(), "load "+file) || !strings.Contains(err.Error(), envLibchdb) {
		t.Errorf("loading a file that is no library gave %v", err)
	}
}

func TestReleases(t *testing.T) {
	for platform, want := range map[string]string{
		"linux/amd64": "", "linux/arm64": "run npm pack @chdb/lib-linux-arm64-gnu@" + engineVersion, "darwin/arm64": "@chdb/lib-darwin-arm64",
		"windows/amd64": "there is no libchdb for windows/amd64; or use a ClickHouse server",
	} {
		rel, err := releaseFor(platform)
		if want == "" && (err != nil || len(rel.sha512) != base64.StdEncoding.EncodedLen(sha512.Size)) {
			t.Errorf("%s: %+v, %v", platform, rel, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", platform, err, want)
		}
	}
}

func TestProgress(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	w := watchDownload(&out, release{npm: "@test/lib", bytes: 10e6}, dir, "")
	if err := os.WriteFile(filepath.Join(dir, "part"), make([]byte, 4e6), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := w.received(); got != 4e6 {
		t.Errorf("received %d, want 4000000", got)
	}
	w.end(nil)
	if !strings.HasSuffix(out.String(), "fetching the SQL engine: 10 of 10 MB\n") {
		t.Errorf("progress is %q", out.String())
	}
	if got := bar(5e6, 10e6); got != "[###############...............]" {
		t.Errorf("bar is %s", got)
	}
}
