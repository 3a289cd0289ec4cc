package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"gatehouse/deploy/embedded"
	"gatehouse/store"
)

// database is an open ClickHouse for one command, with the embedded engine under
// it if the command had to start that.
type database struct {
	db      *store.DB
	engines *embedded.Engines
	err     error
}

// done keeps err for the exit code; it reads as the last word of a command.
func (d *database) done(err error) error { return errors.Join(err, d.err) }

// stop closes the connection and then the engine.
func (d *database) stop(context.Context) {
	d.err = d.db.Close()
	if d.engines != nil {
		d.err = errors.Join(d.err, d.engines.Close())
	}
}

// openReader opens ClickHouse for a person's question: the server of the
// configuration, the embedded engine of a running gatehouse, or that engine
// started here. On the embedded engine it is the reader, behind the gate.
func openReader(ctx context.Context, cfg config, con *console) (*database, error) {
	switch {
	case cfg.ClickHouse.URL != "":
		return openServerOnly(ctx, cfg)
	case listening(cfg.ClickHouse.Listen):
		return openRunning(ctx, cfg)
	}
	return openEngine(ctx, cfg, con, func(e *embedded.Engines) store.Config {
		return store.Config{URL: e.ClickHouse().URL}
	})
}

// openDir is openReader for the data in one directory: its engine is started
// here, unless a running gatehouse has it.
func openDir(ctx context.Context, cfg config, con *console) (*database, error) {
	db, err := openEngine(ctx, cfg, con, func(e *embedded.Engines) store.Config {
		return store.Config{URL: e.ClickHouse().URL}
	})
	if err != nil && listening(cfg.ClickHouse.Listen) {
		return openRunning(ctx, cfg)
	}
	return db, err
}

// openRunning asks the engine of a gatehouse that runs on this machine.
func openRunning(ctx context.Context, cfg config) (*database, error) {
	db, err := store.Open(ctx, store.Config{URL: "http://" + cfg.ClickHouse.Listen})
	if err != nil {
		return nil, err
	}
	return &database{db: db}, nil
}

func openServerOnly(ctx context.Context, cfg config) (*database, error) {
	db, err := openServer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &database{db: db}, nil
}

// openWriter opens ClickHouse with the right to write. The embedded engine has
// one process, so this fails while a gatehouse runs on the same data directory.
func openWriter(ctx context.Context, cfg config, con *console) (*database, error) {
	if cfg.ClickHouse.URL != "" {
		return openServerOnly(ctx, cfg)
	}
	return openEngine(ctx, cfg, con, embeddedStore)
}

// openEngine starts the embedded engine for one command.
func openEngine(ctx context.Context, cfg config, con *console, as func(*embedded.Engines) store.Config) (*database, error) {
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "clickhouse")); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no data in %s yet: start gatehouse run or gatehouse demo --keep first, or set clickhouse.url", cfg.DataDir)
	}
	engines, err := embedded.Start(ctx, embedded.Config{
		Dir: cfg.DataDir, ClickHouseAddr: "127.0.0.1:0", NoKafka: true, Progress: con.err,
	})
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, as(engines))
	if err != nil {
		return nil, errors.Join(err, engines.Close())
	}
	return &database{db: db, engines: engines}, nil
}

func embeddedStore(engines *embedded.Engines) store.Config {
	ch := engines.ClickHouse()
	return store.Config{URL: ch.URL, User: ch.WriteUser, Password: ch.WritePassword}
}

func openServer(ctx context.Context, cfg config) (*store.DB, error) {
	conf, err := cfg.ClickHouse.store()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, conf)
}

func (c clickhouseConfig) store() (store.Config, error) {
	password, err := secret("clickhouse.password_file", c.PasswordFile, c.PasswordEnv)
	if err != nil {
		return store.Config{}, err
	}
	return store.Config{URL: c.URL, User: c.User, Password: password, CAFile: c.CAFile, Compression: c.Compression}, nil
}

// listening says whether something accepts connections at a local address.
func listening(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// portTaken rewrites the error of a taken port so that it says what to do.
func portTaken(err error, field string) error {
	if errors.Is(err, syscall.EADDRINUSE) || (err != nil && strings.Contains(err.Error(), "address already in use")) {
		return fmt.Errorf("%w: another program uses this port; stop it or set %s in %s", err, field, configFileName)
	}
	return err
}
