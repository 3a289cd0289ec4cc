package store

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// Migration is one file of store/schema, in the order of its number.
type Migration struct {
	Name     string // file name without .sql, such as 0001_events
	Checksum string // hex SHA-256 of the text
	Applied  bool
	sql      string
}

const createMigrations = `CREATE TABLE IF NOT EXISTS audit.schema_migrations
(name String, checksum String, applied_at DateTime64(3, 'UTC'))
ENGINE = MergeTree ORDER BY name
SETTINGS non_replicated_deduplication_window = 100`

// Migrate brings the schema up to date and returns the names of what it applied.
// A file that was applied before must be unchanged since; one that was applied
// only in part is applied again from its start, so every statement tolerates
// being repeated.
func (db *DB) Migrate(ctx context.Context) ([]string, error) {
	for _, sql := range []string{"CREATE DATABASE IF NOT EXISTS " + Database, createMigrations} {
		if err := db.exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("create schema: %w", err)
		}
	}
	all, err := db.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	var applied []string
	for _, m := range all {
		if m.Applied {
			continue
		}
		if err := db.apply(ctx, m); err != nil {
			return applied, fmt.Errorf("apply migration %s: %w", m.Name, err)
		}
		applied = append(applied, m.Name)
	}
	return applied, nil
}

// Migrations lists the schema's files and whether each is applied. It refuses a
// file that differs from what was applied under its name.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	all, err := loadMigrations(schemaFiles)
	if err != nil {
		return nil, err
	}
	rows, err := db.conn.Query(ctx, "SELECT name, checksum FROM audit.schema_migrations")
	if err != nil {
		return nil, fmt.Errorf("read applied migrations: %w", describe(ctx, err))
	}
	defer rows.Close()
	done := map[string]string{}
	for rows.Next() {
		var name, checksum string
		if err := rows.Scan(&name, &checksum); err != nil {
			return nil, fmt.Errorf("read applied migrations: %w", err)
		}
		done[name] = checksum
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read applied migrations: %w", err)
	}
	return all, mark(all, done)
}

// mark sets Applied on the migrations that are done.
func mark(all []Migration, done map[string]string) error {
	for i, m := range all {
		sum, ok := done[m.Name]
		if ok && sum != m.Checksum {
			return fmt.Errorf("migration %s differs from the one applied to this database: this binary and the database are from different lines of development", m.Name)
		}
		all[i].Applied = ok
		delete(done, m.Name)
	}
	for name := range done {
		return fmt.Errorf("the database has migration %s, which this binary does not know: it was migrated by a newer version; use that one", name)
	}
	return nil
}

func loadMigrations(files fs.FS) ([]Migration, error) {
	names, err := fs.Glob(files, "schema/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list schema: %w", err)
	}
	slices.Sort(names)
	var all []Migration
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		sum := sha256.Sum256(text)
		all = append(all, Migration{
			Name: strings.TrimSuffix(path.Base(name), ".sql"), Checksum: hex.EncodeToString(sum[:]), sql: string(text),
		})
	}
	return all, nil
}

func (db *DB) apply(ctx context.Context, m Migration) error {
	for _, sql := range statements(m.sql) {
		if err := db.exec(ctx, sql); err != nil && !alreadyExists(err) {
			return err
		}
	}
	return db.exec(ctx, "INSERT INTO audit.schema_migrations SELECT ?, ?, now64(3)", m.Name, m.Checksum)
}

// codeTableExists is what CREATE TABLE says after a migration that was cut off.
const codeTableExists = 57

func alreadyExists(err error) bool {
	var ex *clickhouse.Exception
	return errors.As(err, &ex) && ex.Code == codeTableExists
}

// statements splits a schema file at the semicolons that end a line, and drops
// comment lines: the text never has either inside a statement.
func statements(text string) []string {
	var out []string
	var lines []string
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "--") {
			continue
		}
		body, ends := strings.CutSuffix(trimmed, ";")
		lines = append(lines, body)
		if ends {
			out = append(out, strings.Join(lines, "\n"))
			lines = nil
		}
	}
	if len(lines) > 0 {
		out = append(out, strings.Join(lines, "\n"))
	}
	return out
}

func (db *DB) exec(ctx context.Context, sql string, args ...any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, db.timeout, fmt.Errorf("ClickHouse did not finish in %s", db.timeout))
	defer cancel()
	if err := db.conn.Exec(ctx, sql, args...); err != nil {
		return describe(ctx, err)
	}
	return nil
}

// Pending lists what Migrate would apply, and changes nothing: on a database
// without any schema that is every file.
func (db *DB) Pending(ctx context.Context) ([]Migration, error) {
	var tables uint64
	const sql = "SELECT count() FROM system.tables WHERE database = 'audit' AND name = 'schema_migrations'"
	if err := db.conn.QueryRow(ctx, sql).Scan(&tables); err != nil {
		return nil, fmt.Errorf("look for the schema: %w", describe(ctx, err))
	}
	if tables == 0 {
		return loadMigrations(schemaFiles)
	}
	all, err := db.Migrations(ctx)
	return slices.DeleteFunc(all, func(m Migration) bool { return m.Applied }), err
}
