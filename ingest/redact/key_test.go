package redact

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The first run makes the file; every later run reads the same key.
func TestKeyFileIsCreatedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "keys.yaml")
	first, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if first.Active().ID() != "k1" || first.Active().secret() != again.Active().secret() {
		t.Errorf("ids %v and %v: want one k1 with one key", first.IDs(), again.IDs())
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), want)
		}
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("the folder holds %v (%v): want the key file alone", files, err)
	}
}

// Of several processes that start at once all use the key of one.
func TestKeyFileIsCreatedByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	const starters = 8
	rings := make([]Keyring, starters)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = LoadOrCreateKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, ring := range rings {
		if t.Failed() || ring.Active().secret() != rings[0].Active().secret() {
			t.Fatalf("starter %d has a key of its own", i)
		}
	}
}

func TestKeyFileThatOthersReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	if _, err := LoadOrCreateKey(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadOrCreateKey(path)
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: error %v: want one that says chmod 600", mode, err)
		}
	}
}

func TestKeyFileFormat(t *testing.T) {
	a, b := strings.Repeat("0a", keySize), strings.Repeat("0b", keySize)
	good := "active: k2\nkeys:\n  - id: k1\n    key: " + a + "\n  - id: k2\n    key: " + b + "\n"
	ring, err := parseKeys([]byte(good))
	if err != nil || ring.Active().ID() != "k2" || len(ring.IDs()) != 2 {
		t.Fatalf("two keys: got %v, %v", ring.IDs(), err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "active: want the id of one of the keys"},
		"no keys":       {"active: k1\n", "active: want the id of one of the keys"},
		"no such key":   {strings.Replace(good, "active: k2", "active: k3", 1), "active: want"},
		"short key":     {strings.Replace(good, a, a[2:], 1), "keys[0]: key: want 64 hex digits"},
		"not hex":       {strings.Replace(good, b, "zz"+b[2:], 1), "keys[1]: key: want 64 hex digits"},
		"bad id":        {strings.Replace(good, "id: k1", "id: K 1", 1), "keys[0]: id: want"},
		"same id":       {strings.Replace(good, "id: k1", "id: k2", 1), "keys[1]: id or key repeats"},
		"same key":      {strings.Replace(good, b, a, 1), "keys[1]: id or key repeats"},
		"unknown field": {good + "extra: " + a + "\n", "line 7"},
		"not yaml":      {"keys: [" + a + "\n", "want the members active and keys"},
		"a bare key":    {a + "\n", "want the members active and keys"},
	} {
		_, err := parseKeys([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v: want %q", name, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), "0a0a") || strings.Contains(err.Error(), "0b0b") {
			t.Errorf("%s: the error quotes a key: %v", name, err)
		}
	}
}

func TestKeyPathMustBeGivenAndAFile(t *testing.T) {
	for _, path := range []string{"", t.TempDir()} {
		if _, err := LoadOrCreateKey(path); err == nil {
			t.Errorf("path %q is accepted", path)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a redactor without a key is accepted")
	}
}

// However a key is printed, also from inside other structs, it does not show.
func TestKeyNeverPrints(t *testing.T) {
	ring, err := LoadOrCreateKey(filepath.Join(t.TempDir(), "keys.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	secret := ring.Active().secret()
	hidden := struct{ ring Keyring }{ring}
	var out strings.Builder
	for _, v := range []any{ring, &ring, ring.Active(), hidden, &hidden, []Keyring{ring}, Config{Keys: ring}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("a key", "key", v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	for _, form := range []string{fmt.Sprintf("%x", secret[:4]), fmt.Sprint(secret[:4])[1:12], fmt.Sprintf("%#v", secret[:4])[7:20], string(secret[:4])} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the key shows as %q in:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), keyPlaceholder) {
		t.Error("the placeholder does not show: nothing was printed")
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("active: k1\nkeys:\n  - id: k1\n    key: " + strings.Repeat("0a", keySize) + "\n"))
	f.Add([]byte("keys: [{id: k1}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ring, err := parseKeys(text)
		if err != nil {
			return
		}
		if id := ring.Active().ID(); !validKeyID(id) {
			t.Errorf("active key has the id %q", id)
		}
	})
}
