package store

import (
	"strings"
	"testing"
)

// wrong is what Check must say of a table that was changed behind our back.
func wrong(t *testing.T, db *DB, change string, want ...string) {
	t.Helper()
	if err := db.exec(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	err := db.Check(t.Context())
	if err == nil {
		t.Fatalf("%s: Check finds nothing", change)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: Check says %q: want %q in it", change, err, w)
		}
	}
	_, mend, found := strings.Cut(err.Error(), "Mend it with: ")
	if !found {
		t.Fatalf("%s: Check says %q: want a statement that mends it", change, err)
	}
	if err := db.exec(t.Context(), mend); err != nil {
		t.Fatalf("%s: %v", mend, err)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Errorf("after %s: %v", mend, err)
	}
}

// What is refused names table, setting, found and wanted; and the statement that
// it ends in does mend it.
func TestCheckRefusesAndMends(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		if err := db.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		wrong(t, db, "ALTER TABLE audit.events MODIFY SETTING non_replicated_deduplication_window = 100",
			"audit.events", "non_replicated_deduplication_window is 100", "want 100000 or more")
		wrong(t, db, "ALTER TABLE audit.dead_letters RESET SETTING non_replicated_deduplication_window", "audit.dead_letters", "is not set")
		wrong(t, db, "ALTER TABLE audit.findings MODIFY SETTING non_replicated_deduplication_window = 0", "audit.findings", "want 10000 or more")
		wrong(t, db, "ALTER TABLE audit.events DROP CONSTRAINT fresh", "audit.events", "constraint fresh is gone", "INTERVAL 10 MINUTE")
		wrong(t, db, "ALTER TABLE audit.events DROP CONSTRAINT fresh, ADD CONSTRAINT fresh CHECK ingested_at > now64(3) - INTERVAL 10 DAY",
			"audit.events", "constraint fresh is another", "INTERVAL 10 MINUTE")
	})
}

// More than is wanted is no fault.
func TestCheckTakesLargerWindows(t *testing.T) {
	p := pin{table: "events", window: 100}
	for _, c := range []struct {
		engine, settings, want string
	}{
		{"MergeTree", "non_replicated_deduplication_window = 1000", ""},
		{"MergeTree", "replicated_deduplication_window = 1000", "non_replicated_deduplication_window is not set"},
		{"ReplicatedMergeTree", "replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 604800", ""},
		{"ReplicatedMergeTree", "non_replicated_deduplication_window = 1000", "setting replicated_deduplication_window is not set"},
		{"ReplicatedMergeTree", "replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 3600", "replicated_deduplication_window_seconds is 3600: want 604800"},
		{"ReplacingMergeTree", "non_replicated_deduplication_window = 1000", "engine ReplacingMergeTree"},
		{"Distributed", "", "engine Distributed"},
	} {
		err := p.check(table{engine: c.engine, full: c.engine + " ORDER BY x SETTINGS " + c.settings})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s with %s: got %v, want %q", c.engine, c.settings, err, c.want)
		}
	}
}

// The pins are what the schema says.
func TestPinsComeFromTheSchema(t *testing.T) {
	all, err := loadMigrations(schemaFiles)
	if err != nil {
		t.Fatal(err)
	}
	pins := map[string]pin{}
	for _, p := range pinsOf(all) {
		pins[p.table] = p
	}
	for _, table := range []string{"events", "dead_letters"} {
		if p := pins[table]; p.window != 100_000 || !strings.HasPrefix(p.fresh, "ingested_at > ") || strings.Count(p.fresh, "MINUTE") != 2 {
			t.Errorf("%s: %+v: want a window of 100000 and the whole of its fence", table, p)
		}
	}
	if p := pins["ingest_gaps"]; p.window != 10_000 || p.fresh != "" {
		t.Errorf("ingest_gaps: %+v: want a window of 10000 and no fence", p)
	}
}

// A user whose settings are locked is told which ones inserts need.
func TestCheckTriesTheSettings(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		if err := db.checkSettings(t.Context(), insertSettings(probeToken)); err != nil {
			t.Error(err)
		}
	})
	reader := open(t, Config{URL: backends["embedded"].cfg.URL})
	err := reader.checkSettings(t.Context(), insertSettings(probeToken))
	if err == nil || !strings.Contains(err.Error(), "does not let this user set") || !strings.Contains(err.Error(), "async_insert=0") {
		t.Errorf("got %v: want the settings that an insert needs", err)
	}
}

func TestASettingThatDoesNotStick(t *testing.T) {
	settings, names := map[string]any{"async_insert": 0, "insert_deduplicate": 1}, []string{"async_insert", "insert_deduplicate"}
	if err := overridden(settings, names, []string{"false", "1"}); err != nil {
		t.Error(err)
	}
	err := overridden(settings, names, []string{"true", "1"})
	if err == nil || !strings.Contains(err.Error(), "async_insert of this user is true") {
		t.Errorf("got %v: want async_insert named", err)
	}
}
