package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Check says whether the schema in the database is the one of this binary and
// whether what exactly-once rests on is in force: the settings of the tables, the
// fence against late inserts, and the settings that this user's inserts carry.
// Each problem names what was found, what is wanted and what mends it.
func (db *DB) Check(ctx context.Context) error {
	all, err := db.Migrations(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		if !m.Applied {
			return fmt.Errorf("migration %s is not applied: run `gatehouse migrate`", m.Name)
		}
	}
	if err := db.checkTables(ctx, pinsOf(all)); err != nil {
		return err
	}
	return db.checkSettings(ctx, insertSettings(probeToken))
}

// pin is what a table must keep of its definition in store/schema.
type pin struct {
	table  string
	window uint64 // blocks whose tokens the table must remember, at least
	fresh  string // the expression of the constraint fresh, "" if it has none
}

var (
	createTable  = regexp.MustCompile(`(?i)^CREATE TABLE audit\.(\w+)`)
	windowClause = regexp.MustCompile(`(?i)\bnon_replicated_deduplication_window = (\d+)`)
	freshClause  = regexp.MustCompile(`(?i)\bCONSTRAINT fresh CHECK (.+?)\s*\)\s*ENGINE\b`)
)

// pinsOf reads the pins off the schema itself, so that they cannot differ from
// it.
func pinsOf(all []Migration) []pin {
	var out []pin
	for _, m := range all {
		for _, sql := range statements(m.sql) {
			sql = strings.ReplaceAll(sql, "\n", " ")
			name, window := createTable.FindStringSubmatch(sql), windowClause.FindStringSubmatch(sql)
			if name == nil || window == nil {
				continue
			}
			p := pin{table: name[1]}
			p.window, _ = strconv.ParseUint(window[1], 10, 64) // digits, by the pattern
			if fresh := freshClause.FindStringSubmatch(sql); fresh != nil {
				p.fresh = fresh[1]
			}
			out = append(out, p)
		}
	}
	return out
}

// table is a table as the database has it.
type table struct{ engine, full, create string }

// checkTables refuses tables that would not recognise a repeated block, or would
// take one that was on its way for hours.
func (db *DB) checkTables(ctx context.Context, pins []pin) error {
	rows, err := db.conn.Query(ctx, "SELECT name, engine, engine_full, create_table_query FROM system.tables WHERE database = 'audit'")
	if err != nil {
		return fmt.Errorf("read table settings: %w", describe(ctx, err))
	}
	defer rows.Close()
	found := map[string]table{}
	for rows.Next() {
		var name string
		var t table
		if err := rows.Scan(&name, &t.engine, &t.full, &t.create); err != nil {
			return fmt.Errorf("read table settings: %w", err)
		}
		found[name] = t
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read table settings: %w", describe(ctx, err))
	}
	for _, p := range pins {
		t, ok := found[p.table]
		if !ok {
			return fmt.Errorf("table audit.%s is gone, though its migration is applied: somebody dropped or renamed it: restore it", p.table)
		}
		if err := p.check(t); err != nil {
			return fmt.Errorf("table audit.%s: %w", p.table, err)
		}
	}
	return nil
}

// replicatedWindow is for how long, in seconds, a replicated table must remember
// tokens: a week, the default before ClickHouse 25.10.
const replicatedWindow = 7 * 24 * 3600

func (p pin) check(t table) error {
	switch t.engine {
	case "MergeTree":
		if err := p.setting(t, "non_replicated_deduplication_window", p.window); err != nil {
			return err
		}
	case "ReplicatedMergeTree", "SharedMergeTree":
		if err := p.setting(t, "replicated_deduplication_window", p.window); err != nil {
			return err
		}
		if err := p.setting(t, "replicated_deduplication_window_seconds", replicatedWindow); err != nil {
			return err
		}
	default:
		return fmt.Errorf("engine %s: want MergeTree or ReplicatedMergeTree: other engines drop rows, or do not recognise a block that is sent again: "+
			"move the table away, create it again as in store/schema, and copy its rows", t.engine)
	}
	return p.fence(t)
}

// setting demands a setting that the table itself carries: the default behind it
// belongs to the server, and has changed before.
func (p pin) setting(t table, name string, want uint64) error {
	found := "not set"
	if m := regexp.MustCompile(`\b` + name + ` = (\d+)`).FindStringSubmatch(t.full); m != nil {
		if n, err := strconv.ParseUint(m[1], 10, 64); err == nil && n >= want {
			return nil
		}
		found = m[1]
	}
	return fmt.Errorf("setting %s is %s: want %d or more: without it a block that is sent again is stored twice. Mend it with: ALTER TABLE audit.%s MODIFY SETTING %s = %d",
		name, found, want, p.table, name, want)
}

// fence demands the constraint that refuses inserts which were on their way for
// too long.
func (p pin) fence(t table) error {
	if p.fresh == "" || strings.Contains(plainSQL(t.create), plainSQL("CONSTRAINT fresh CHECK "+p.fresh)) {
		return nil
	}
	found, drop := "is gone", ""
	if strings.Contains(t.create, "CONSTRAINT fresh ") {
		found, drop = "is another", "DROP CONSTRAINT fresh, "
	}
	return fmt.Errorf("constraint fresh %s: want CHECK %s: without it a process that was stopped for hours can insert behind the others. Mend it with: ALTER TABLE audit.%s %sADD CONSTRAINT fresh CHECK %s",
		found, p.fresh, p.table, drop, p.fresh)
}

var minutes = regexp.MustCompile(`(?i)INTERVAL (\d+) MINUTE`)

// plainSQL is an expression without what ClickHouse adds and takes away when it
// prints one: parentheses, spaces, the two ways of writing an interval.
func plainSQL(s string) string {
	s = minutes.ReplaceAllString(s, "toIntervalMinute($1)")
	return strings.NewReplacer("(", "", ")", "", " ", "", "\n", "").Replace(s)
}

// probeToken is the token of a statement that inserts nothing.
const probeToken = "probe"

// Codes with which ClickHouse refuses a setting.
const (
	codeReadonly          = 164
	codeSettingConstraint = 452
)

// checkSettings tries the settings that an insert carries: a profile or a
// constraint of the user may refuse them, or not let them through.
func (db *DB) checkSettings(ctx context.Context, settings clickhouse.Settings) error {
	names := slices.Sorted(maps.Keys(settings))
	var asked []string
	for _, name := range names {
		asked = append(asked, "toString(getSetting('"+name+"'))")
	}
	got := make([]string, len(names))
	dest := make([]any, len(names))
	for i := range got {
		dest[i] = &got[i]
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings))
	err := db.conn.QueryRow(ctx, "SELECT "+strings.Join(asked, ", ")).Scan(dest...)
	switch errorCode(err) {
	case 0:
	case codeReadonly, codeSettingConstraint:
		var ex *clickhouse.Exception
		errors.As(err, &ex)
		return fmt.Errorf("ClickHouse does not let this user set what an insert needs (code %d): %s. "+
			"Take the setting's constraint, or readonly, out of the user's profile: inserts need %s", ex.Code, ex.Message, needed(settings, names))
	}
	if err != nil {
		return fmt.Errorf("try the settings of an insert: %w", describe(ctx, err))
	}
	return overridden(settings, names, got)
}

// overridden says which setting did not stick.
func overridden(settings clickhouse.Settings, names, got []string) error {
	for i, name := range names {
		if want := fmt.Sprint(settings[name]); truth(got[i]) != truth(want) {
			return fmt.Errorf("setting %s of this user is %s, also where an insert says %s: a proxy or the user's profile overrides it. "+
				"Mend it with: ALTER USER <user> SETTINGS %s = %s", name, got[i], want, name, want)
		}
	}
	return nil
}

// needed lists settings without the token.
func needed(settings clickhouse.Settings, names []string) string {
	var out []string
	for _, name := range names {
		if name != "insert_deduplication_token" {
			out = append(out, fmt.Sprintf("%s=%v", name, settings[name]))
		}
	}
	return strings.Join(out, ", ")
}

// truth writes true and false as settings are written.
func truth(s string) string {
	switch s {
	case "true":
		return "1"
	case "false":
		return "0"
	}
	return s
}
