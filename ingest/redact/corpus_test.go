package redact

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/ingest/event"
)

// corpusLines reads a corpus file.
func corpusLines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "corpus", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	s := bufio.NewScanner(unpacked)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	if s.Err() != nil || len(lines) == 0 {
		t.Fatalf("%d lines: %v", len(lines), s.Err())
	}
	return lines
}

// Real requests stay as they are: at most one in a thousand is altered where the
// policy does not ask for it. It asks for e-mail addresses, which crawlers write
// into their agents.
func TestBenignRequestsStay(t *testing.T) {
	r := fixedRedactor(t)
	lines := corpusLines(t, "benign.tsv.gz")
	altered, emails := 0, 0
	for _, line := range lines {
		raw := event.NewRaw("clf")
		path, agent, _ := strings.Cut(line, "\t")
		raw.Path, raw.Query, _ = strings.Cut(path, "?")
		raw.UserAgent = agent
		e := redactOne(t, r, raw)
		switch {
		case e.Path == raw.Path && e.UserAgent == agent:
		case e.Path == raw.Path && strings.Contains(e.UserAgent, "{email}"):
			emails++
		default:
			altered++
		}
	}
	t.Logf("%d requests, %d altered beyond policy, %d with an e-mail address", len(lines), altered, emails)
	if altered*1000 > len(lines) {
		t.Errorf("%d of %d requests altered: more than 0.1 %%", altered, len(lines))
	}
}

type example struct {
	Source, Family, Text, Secret string
	Positive                     bool
}

func examples(t *testing.T) (positives, negatives []example) {
	t.Helper()
	for _, line := range corpusLines(t, "secrets.jsonl.gz") {
		var x example
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatal(err)
		}
		if x.Positive {
			positives = append(positives, x)
		} else {
			negatives = append(negatives, x)
		}
	}
	return positives, negatives
}

// Where values are built and not searched, nothing of any published secret
// survives, known family or not.
func TestPublishedSecretsInValues(t *testing.T) {
	r := fixedRedactor(t)
	positives, _ := examples(t)
	for _, x := range positives {
		raw := event.NewRaw("kong")
		raw.Query = "whatever=" + url.QueryEscape(x.Secret) + "&page=" + url.QueryEscape(x.Secret)
		raw.Headers = []event.Label{{Name: "x-whatever", Value: x.Secret}}
		raw.Authorization, raw.APIKey, raw.Cookie = "Bearer "+x.Secret, x.Secret, "a="+x.Secret
		e := redactOne(t, r, raw)
		if field := leaks(&e, x.Secret); field != "" {
			t.Errorf("%s %s: %q survives in %s", x.Source, x.Family, x.Secret, field)
		}
	}
}

// In text and paths a search decides, and a search misses what nobody can tell
// from words: the shares are those measured, less two points.
func TestPublishedSecretsInText(t *testing.T) {
	r := fixedRedactor(t)
	s := r.pool.Get().(*scratch)
	s.e = &event.Event{}
	positives, negatives := examples(t)
	inText, inPath, paths, altered := 0, 0, 0, 0
	for _, x := range positives {
		if !spanSurvives(s.text(x.Text, 1<<20), x.Secret) {
			inText++
		}
		if !strings.ContainsAny(x.Secret, "/ \n") {
			paths++
			if !spanSurvives(s.walk("/v1/things/"+x.Secret, false), x.Secret) {
				inPath++
			}
		}
		s.forget()
		s.reset()
		s.e = &event.Event{}
	}
	for _, x := range negatives {
		s.notes = 0
		if s.text(x.Text, 1<<20); s.notes&noteSecretInText != 0 {
			altered++
		}
	}
	share := func(n, of int) float64 { return float64(n) / float64(of) }
	text, path := share(inText, len(positives)), share(inPath, paths)
	t.Logf("gone from text %.3f of %d, from paths %.3f of %d; negatives altered %.3f of %d",
		text, len(positives), path, paths, share(altered, len(negatives)), len(negatives))
	if text < 0.84 || path < 0.78 {
		t.Errorf("gone from text %.3f, want 0.84; gone from paths %.3f, want 0.78", text, path)
	}
}

// spanSurvives says whether eight bytes of a secret are in a text, or all of one
// that is shorter.
func spanSurvives(text, secret string) bool {
	const piece = 8
	if len(secret) < piece {
		return strings.Contains(text, secret)
	}
	for i := 0; i+piece <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+piece]) {
			return true
		}
	}
	return false
}
