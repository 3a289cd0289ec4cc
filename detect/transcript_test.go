package detect

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/rules"
)

var rewrite = flag.Bool("rewrite", false, "write what the transcripts give into their files; commit it only if you understand the difference")

// Every rule of the catalogue does what its transcript says.
func TestCatalogueTranscripts(t *testing.T) {
	for _, r := range catalogue(t).Rules() {
		t.Run(r.ID, func(t *testing.T) {
			got, err := RunTranscript(r, r.Transcript)
			if err != nil {
				t.Fatal(err)
			}
			if *rewrite {
				name := filepath.Join("..", "rules", "catalog", filepath.FromSlash(strings.TrimSuffix(r.File, ".yaml")+".txt"))
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(r.Transcript, got); diff != "" {
				t.Errorf("transcript differs (-says +does); -rewrite regenerates it:\n%s", diff)
			}
		})
	}
}

// Every rule ships its runbook, a case in which it fires and one in which it is quiet.
func TestCatalogueIsComplete(t *testing.T) {
	s := catalogue(t)
	if err := s.Lint(); err != nil {
		t.Error(err)
	}
	for _, r := range s.Rules() {
		blocks := strings.Split(r.Transcript, "\n----\n")
		firing, quiet := 0, 0
		for _, b := range blocks[1:] {
			switch {
			case strings.HasPrefix(b, "+"):
				firing++
			case strings.HasPrefix(b, "quiet"):
				quiet++
			}
		}
		if firing == 0 || quiet == 0 {
			t.Errorf("rule %s: %d firing and %d quiet cases in its transcript: want both", r.ID, firing, quiet)
		}
		if !strings.Contains(r.Transcript, "Boundary") {
			t.Errorf("rule %s: no boundary case in its transcript", r.ID)
		}
	}
	if s.Len() < 4 {
		t.Errorf("%d rules in the catalogue: want at least 4", s.Len())
	}
}

func TestTranscriptErrors(t *testing.T) {
	r, ok := catalogue(t).ByID("token-reuse")
	if !ok {
		t.Fatal("no rule token-reuse")
	}
	for _, c := range []struct{ command, want string }{
		{"evnt path=/", `line 1: command "evnt": want event, repeat`},
		{"event staus=200", `unknown field "staus"`},
		{"event path", `"path": want field=value`},
		{"event client_ip=here", "client_ip=here: want an address"},
		{"event status=ok", "status=ok: want a number"},
		{"repeat x status=200", "repeat x: want a number from 1"},
		{"advance soon", "want a duration"},
		{`event user_agent="Mozilla`, "a quote without its partner"},
	} {
		_, err := RunTranscript(r, c.command)
		if err == nil || !regexp.MustCompile(regexp.QuoteMeta(c.want)).MatchString(err.Error()) {
			t.Errorf("%s: error %v: want one with %q", c.command, err, c.want)
		}
	}
}

// The example of the rule manual does what the manual says.
func TestManualExample(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "rules", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	fenced := strings.Split(string(data), "```")
	if len(fenced) < 4 {
		t.Fatal("no examples in the manual")
	}
	rule, err := rules.Parse("README.md", []byte(strings.TrimPrefix(fenced[1], "yaml\n")))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(fenced[3], "\n")
	got, err := RunTranscript(rule, want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the manual's transcript (-says +does):\n%s", diff)
	}
}

// The engine's own behaviour, told in transcripts with a rule before them.
func TestEngineTranscripts(t *testing.T) {
	names, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			head, want, ok := strings.Cut(string(data), "\n====\n")
			if !ok {
				t.Fatal("no line ==== between rule and transcript")
			}
			rule, err := rules.Parse(name, []byte(head))
			if err != nil {
				t.Fatal(err)
			}
			got, err := RunTranscript(rule, want)
			if err != nil {
				t.Fatal(err)
			}
			if *rewrite {
				if err := os.WriteFile(name, []byte(head+"\n====\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("transcript differs (-says +does); -rewrite regenerates it:\n%s", diff)
			}
		})
	}
}
