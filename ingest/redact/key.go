package redact

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
)

// keySize is the size of a fingerprint key in bytes.
const keySize = 32

// maxKeyFile is the largest key file that is read, in bytes: some hundred keys.
const maxKeyFile = 64 << 10

// keyPlaceholder is what every way of printing a key gives.
const keyPlaceholder = "[key]"

// Key is one fingerprint key. However it is printed, it prints as "[key]".
type Key struct {
	id string
	// A function, because fmt reaches into unexported fields of others' structs
	// without asking Format, and follows pointers there; of a function it shows
	// the address at most.
	secret func() [keySize]byte
}

func newKey(id string, secret [keySize]byte) Key {
	return Key{id: id, secret: func() [keySize]byte { return secret }}
}

// ID is the key's id, such as "k1": at most 16 of a-z, 0-9, "-" and "_". It is
// public and is stored beside every fingerprint.
func (k Key) ID() string { return k.id }

// String implements fmt.Stringer.
func (Key) String() string { return keyPlaceholder }

// Format implements fmt.Formatter for every verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, keyPlaceholder) }

// LogValue implements slog.LogValuer.
func (Key) LogValue() slog.Value { return slog.StringValue(keyPlaceholder) }

// MarshalText implements encoding.TextMarshaler, and with that JSON and YAML.
func (Key) MarshalText() ([]byte, error) { return []byte(keyPlaceholder), nil }

// Keyring is the keys of one installation. One is active: new fingerprints are
// made with it. The others are there so that old fingerprints can still be
// looked up. The zero value has no key and is refused by [New].
type Keyring struct {
	keys   []Key
	active int
}

// Active is the key that new fingerprints are made with. It must not be called
// on the zero value.
func (r Keyring) Active() Key { return r.keys[r.active] }

// IDs lists the ids of all keys in the order of the file.
func (r Keyring) IDs() []string {
	ids := make([]string, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.id
	}
	return ids
}

// String implements fmt.Stringer.
func (Keyring) String() string { return keyPlaceholder }

// Format implements fmt.Formatter for every verb.
func (Keyring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, keyPlaceholder) }

// LogValue implements slog.LogValuer.
func (Keyring) LogValue() slog.Value { return slog.StringValue(keyPlaceholder) }

// MarshalText implements encoding.TextMarshaler, and with that JSON and YAML.
func (Keyring) MarshalText() ([]byte, error) { return []byte(keyPlaceholder), nil }

var (
	_ fmt.Formatter  = Key{}
	_ slog.LogValuer = Key{}
	_ fmt.Formatter  = Keyring{}
	_ slog.LogValuer = Keyring{}
)

// keyFile is the written form of a Keyring.
type keyFile struct {
	Active string     `yaml:"active"`
	Keys   []keyEntry `yaml:"keys"`
}

type keyEntry struct {
	ID  string `yaml:"id"`
	Key string `yaml:"key"`
}

const keyFileText = `# Gatehouse fingerprint keys. Who has this file can test guesses against stored
# fingerprints; who loses it can no longer compare new tokens with old ones.
# Keep it secret, keep a copy offline, and never change a key under its id.
active: %s
keys:
  - id: %s
    key: %s
`

// LoadOrCreateKey reads the key file at path. If there is none it makes one with
// a fresh random key "k1", mode 0600, in a folder that it makes with mode 0700
// if need be. Of two processes that do so at once both get the same key.
//
// A file that its group or others may read, that is not a regular file, or that
// is not exactly of the format in the README is refused; errors name path and
// line and never quote the file.
func LoadOrCreateKey(path string) (Keyring, error) {
	if path == "" {
		return Keyring{}, errors.New("load key file: no path given: set redaction.key_file")
	}
	ring, err := loadKeys(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	if err := createKeys(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return Keyring{}, fmt.Errorf("create key file %s: %w", path, err)
	}
	return loadKeys(path)
}

func loadKeys(path string) (Keyring, error) {
	f, err := os.Open(path)
	if err != nil {
		return Keyring{}, fmt.Errorf("open key file: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return Keyring{}, fmt.Errorf("stat key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Keyring{}, fmt.Errorf("key file %s: not a regular file", path)
	}
	const notOwner = 0o077
	if mode := info.Mode().Perm(); mode&notOwner != 0 {
		return Keyring{}, fmt.Errorf("key file %s: mode %04o lets others than its owner at the keys: run: chmod 600 %s", path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return Keyring{}, fmt.Errorf("read key file %s: %w", path, err)
	}
	if len(text) > maxKeyFile {
		return Keyring{}, fmt.Errorf("key file %s: larger than %d bytes", path, maxKeyFile)
	}
	ring, err := parseKeys(text)
	if err != nil {
		return Keyring{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return ring, nil
}

func parseKeys(text []byte) (Keyring, error) {
	var file keyFile
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		// The library's message shows the source lines, and those hold the keys.
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return Keyring{}, fmt.Errorf("line %d: want the members active and keys, each key with id and key", at.GetToken().Position.Line)
		}
		return Keyring{}, errors.New("want the members active and keys, each key with id and key")
	}
	ring := Keyring{active: -1}
	for i, entry := range file.Keys {
		key, err := entry.key()
		if err != nil {
			return Keyring{}, fmt.Errorf("keys[%d]: %w", i, err)
		}
		for _, other := range ring.keys {
			if other.id == key.id || other.secret() == key.secret() {
				return Keyring{}, fmt.Errorf("keys[%d]: id or key repeats an earlier one", i)
			}
		}
		if key.id == file.Active {
			ring.active = i
		}
		ring.keys = append(ring.keys, key)
	}
	if ring.active < 0 {
		return Keyring{}, errors.New("active: want the id of one of the keys")
	}
	return ring, nil
}

func (e keyEntry) key() (Key, error) {
	if !validKeyID(e.ID) {
		return Key{}, errors.New("id: want 1 to 16 of a-z, 0-9, - and _")
	}
	b, err := hex.DecodeString(e.Key)
	if err != nil || len(b) != keySize {
		return Key{}, fmt.Errorf("key: want %d hex digits", 2*keySize)
	}
	return newKey(e.ID, [keySize]byte(b)), nil
}

func validKeyID(id string) bool {
	const maxKeyID = 16
	if id == "" || len(id) > maxKeyID {
		return false
	}
	for i := range len(id) {
		if c := id[i]; !isLower(c) && !isDigit(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// createKeys writes a new key file, complete or not at all. It gives
// fs.ErrExist where somebody else was faster.
func createKeys(path string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var secret [keySize]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return fmt.Errorf("draw key: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	_, err = fmt.Fprintf(tmp, keyFileText, "k1", "k1", hex.EncodeToString(secret[:]))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	// A link, unlike a rename, never replaces a file that is there.
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
