package gateway

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write what comes out into the golden files")

// TestGolden decodes every fixture line by line with the decoder that its folder
// is named after; those in envelope are recognised by their look. The golden file
// shows what each line became.
func TestGolden(t *testing.T) {
	for _, file := range fixtures(t) {
		name := filepath.Base(filepath.Dir(file))
		if name == "envelope" {
			name = ""
		}
		t.Run(file, func(t *testing.T) {
			var got strings.Builder
			for i, line := range fixtureLines(t, file) {
				fmt.Fprintf(&got, "line %d\n%s\n", i+1, transcript(name, line))
			}
			compareGolden(t, file+".golden", got.String())
		})
	}
}

func compareGolden(t *testing.T, golden, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("differs from %s (-want +got); -rewrite to accept:\n%s", golden, d)
	}
}

// fixtures lists the log samples in testdata.
func fixtures(t testing.TB) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"testdata/*/*.log", "testdata/*/*.jsonl"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if !strings.HasSuffix(f, ".expected.jsonl") {
				files = append(files, f)
			}
		}
	}
	if len(files) < 15 {
		t.Fatalf("found %d fixtures, want 15 or more", len(files))
	}
	return files
}

// fixtureLines splits a sample into its lines; empty ones stay, so that numbers
// are those of the file.
func fixtureLines(t testing.TB, file string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
}
