package embedded

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// WriteUser is the user whose connections may create and insert.
const WriteUser = "gatehouse"

// passwordName is the file in the data directory that holds the password of
// WriteUser, readable by its owner only.
const passwordName = "clickhouse.password"

// sqlEngine is the SQL engine and its HTTP front.
type sqlEngine struct {
	access   ClickHouse
	lib      *libchdb
	args     []string // what every session connects with
	root     *session // keeps the engine up while no request is running
	identity engineIdentity
	gate     *gate
	front    *front
	server   *http.Server
	served   chan error
}

// startClickHouse fetches and loads the engine, opens the data and serves it.
func startClickHouse(ctx context.Context, cfg Config) (*sqlEngine, error) {
	path, err := locateLibchdb(ctx, cfg.Progress)
	if err != nil {
		return nil, err
	}
	ln, err := listen("clickhouse", cfg.ClickHouseAddr)
	if err != nil {
		return nil, err
	}
	c := &sqlEngine{served: make(chan error, 1)}
	if err := c.open(cfg, path); err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded clickhouse in %s: %w", cfg.Dir, err), ln.Close())
	}
	password, err := loadPassword(filepath.Join(cfg.Dir, passwordName))
	if err != nil {
		c.root.close()
		return nil, errors.Join(err, ln.Close())
	}
	c.access = ClickHouse{URL: "http://" + ln.Addr().String(), WriteUser: WriteUser, WritePassword: password}
	c.serve(cfg, ln)
	return c, nil
}

// open loads the library, connects the root session, which boots the engine on
// the data directory, and asks it who it is.
func (c *sqlEngine) open(cfg Config, libPath string) error {
	lib, err := loadLibchdb(libPath)
	if err != nil {
		return err
	}
	// The Go runtime owns the signals of this process.
	lib.setSignalHandlers(0)
	config, err := writeEngineConfig(cfg.Dir, cfg.Measuring)
	if err != nil {
		return err
	}
	data := filepath.Join(cfg.Dir, "clickhouse")
	if err := makeDir(data); err != nil {
		return err
	}
	c.lib, c.args = lib, []string{"--path=" + data, "--config-file=" + config}
	if c.root, err = lib.open(c.args...); err != nil {
		return err
	}
	if err := c.identify(); err != nil {
		c.root.close()
		return err
	}
	return nil
}

func (c *sqlEngine) identify() error {
	out, _, err := c.root.exec(query{sql: "SELECT displayName(), version(), timezone()", format: "TSV"})
	if err != nil {
		return fmt.Errorf("ask the engine who it is: %w", err)
	}
	fields := strings.Split(strings.TrimRight(string(out), "\n"), "\t")
	if len(fields) != 3 {
		return fmt.Errorf("ask the engine who it is: got %d fields, want 3", len(fields))
	}
	c.identity = engineIdentity{fields[0], fields[1], fields[2]}
	c.gate, err = newGate(c.root)
	return err
}

// Limits of the HTTP front.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 5 * time.Minute
	// closeGrace is how long Close waits for running requests before it
	// cancels them, and cancelGrace how long for those to end.
	closeGrace  = 2 * time.Second
	cancelGrace = 20 * time.Second
)

func (c *sqlEngine) serve(cfg Config, ln net.Listener) {
	c.front = newFront(c, cfg.Log.With("engine", "clickhouse"))
	c.server = &http.Server{Handler: c.front, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug)}
	go func() { c.served <- c.server.Serve(ln) }()
}

// close ends running requests, then the engine. The engine must be closed
// before the process exits, and not under a running statement.
func (c *sqlEngine) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	err := c.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = c.server.Close() // their contexts end, which cancels them in the engine
	}
	if served := <-c.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	select {
	case <-c.front.idle():
		c.root.close()
		return err
	case <-time.After(cancelGrace):
		return errors.Join(err, errors.New("close embedded clickhouse: a statement did not end when it was cancelled"))
	}
}

// passwordBytes is the entropy of the generated password.
const passwordBytes = 24

// loadPassword reads the password file or makes it, and refuses one that other
// users can read.
func loadPassword(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createPassword(path)
	}
	if err != nil {
		return "", fmt.Errorf("read engine password: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read engine password: %s has mode %04o, want 0600: run chmod 600 on it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read engine password: %w", err)
	}
	password := strings.TrimSpace(string(text))
	if password == "" {
		return createPassword(path)
	}
	return password, nil
}

func createPassword(path string) (string, error) {
	raw := make([]byte, passwordBytes)
	_, _ = rand.Read(raw) // never fails, as documented
	password := base64.RawURLEncoding.EncodeToString(raw)
	if err := writeFileAtomic(path, []byte(password+"\n")); err != nil {
		return "", fmt.Errorf("write engine password: %w", err)
	}
	return password, nil
}

// writeFileAtomic replaces path by a file of mode 0600: a reader, or the next
// start after a crash, sees the old text or the new one.
func writeFileAtomic(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
