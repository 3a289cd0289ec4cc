package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"gatehouse/store"
)

// queryCmd runs one query for a person.
type queryCmd struct {
	SQL     string `arg:"" optional:"" help:"The query; without it, standard input."`
	Config  string `help:"Configuration file." short:"c" type:"existingfile"`
	DataDir string `help:"Data directory of the embedded engine, instead of the configured one." type:"existingdir"`
	Format  string `help:"table (default), json, csv or parquet." enum:",table,json,csv,parquet" default:""`
	JSON    bool   `help:"Same as --format json." name:"json"`
	Limit   int    `help:"Rows shown of a table." default:"1000"`
}

// Help is printed below the flags.
func (queryCmd) Help() string {
	return `Asks the ClickHouse of the configuration, or the embedded engine: of a running
gatehouse if there is one, else started for this query. Read-only, at most 30 s.

Examples:
  gatehouse query "SELECT ts, actor, method, path, status FROM audit.events ORDER BY ts DESC LIMIT 10"
  gatehouse query --format csv "SELECT * FROM audit.findings" > findings.csv
  gatehouse query "SHOW TABLES FROM audit"`
}

// Run is the command.
func (c *queryCmd) Run(ctx context.Context, con *console) error {
	sql, err := c.statement(con)
	if err != nil {
		return err
	}
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	open := openReader
	if c.DataDir != "" {
		cfg.DataDir, cfg.ClickHouse.URL, open = c.DataDir, "", openDir
	}
	reader, err := open(ctx, cfg, con)
	if err != nil {
		return err
	}
	defer reader.stop(ctx)
	return reader.done(c.print(ctx, con, reader.db, sql))
}

func (c *queryCmd) statement(con *console) (string, error) {
	sql := c.SQL
	if sql == "" || sql == "-" {
		if con.inIsTerm {
			fmt.Fprintln(con.err, "Type a query and end it with Ctrl-D.")
		}
		text, err := io.ReadAll(con.in)
		if err != nil {
			return "", fmt.Errorf("read query: %w", err)
		}
		sql = string(text)
	}
	sql = strings.TrimRight(strings.TrimSpace(sql), "; \n")
	if formatClause.MatchString(sql) {
		return "", usageError{errors.New("leave the FORMAT clause out and say --format table, json, csv or parquet")}
	}
	if c.Limit < 1 {
		return "", usageError{fmt.Errorf("--limit %d: want at least 1", c.Limit)}
	}
	if sql == "" {
		return "", usageError{errors.New(`no query: give one, as in gatehouse query "SELECT count() FROM audit.events"`)}
	}
	return sql, nil
}

// formatClause is a FORMAT at the end of a query.
var formatClause = regexp.MustCompile(`(?i)\sFORMAT\s+\w+$`)

func (c *queryCmd) print(ctx context.Context, con *console, db *store.DB, sql string) error {
	format := c.Format
	switch {
	case c.JSON:
		format = "json"
	case format == "":
		format = "table"
	}
	switch format {
	case "json":
		return db.Export(ctx, con.plain(), sql, "JSONEachRow")
	case "csv":
		return db.Export(ctx, con.plain(), sql, "CSVWithNames")
	case "parquet":
		if con.outIsTerm {
			return usageError{errors.New("parquet is binary: redirect it, as in gatehouse query --format parquet … > file.parquet")}
		}
		return db.Export(ctx, con.out, sql, "Parquet")
	}
	start := time.Now()
	res, err := db.Query(ctx, sql, c.Limit)
	if err != nil {
		return err
	}
	con.result(res)
	fmt.Fprintln(con.err, con.style(dim, fmt.Sprintf("%d rows in %s", len(res.Rows), time.Since(start).Round(time.Millisecond))))
	return nil
}

// result prints a query's answer as a table, numbers to the right.
func (con *console) result(res *store.Result) {
	right := make([]bool, len(res.Types))
	for i, t := range res.Types {
		t = strings.TrimPrefix(t, "Nullable(")
		right[i] = strings.HasPrefix(t, "Int") || strings.HasPrefix(t, "UInt") || strings.HasPrefix(t, "Float") || strings.HasPrefix(t, "Decimal")
	}
	rows := make([][]string, len(res.Rows))
	for i, row := range res.Rows {
		for _, v := range row {
			rows[i] = append(rows[i], cellText(v))
		}
	}
	con.table(res.Columns, right, rows)
}

// cellText is a value as a person reads it.
func cellText(v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case time.Time:
		return strings.TrimSuffix(strings.TrimRight(v.UTC().Format("2006-01-02 15:04:05.000000"), "0"), ".")
	case []string:
		return strings.Join(v, ", ")
	case float64:
		return fmt.Sprintf("%.6g", v)
	case netip.Addr:
		return v.String()
	}
	return fmt.Sprint(v)
}

// migrateCmd brings the schema up to date.
type migrateCmd struct {
	Config string `help:"Configuration file." short:"c" type:"existingfile"`
	DryRun bool   `help:"Only say what would be applied."`
	JSON   bool   `help:"One JSON object per file." name:"json"`
}

// Help is printed below the flags.
func (migrateCmd) Help() string {
	return `Creates the database audit and applies what is missing of store/schema, as the
user of the configuration. gatehouse run does it by itself on the embedded engine only.

Examples:
  gatehouse migrate -c gatehouse.yaml --dry-run
  gatehouse migrate -c gatehouse.yaml`
}

// Run is the command.
func (c *migrateCmd) Run(ctx context.Context, con *console) error {
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	w, err := openWriter(ctx, cfg, con)
	if err != nil {
		return err
	}
	defer w.stop(ctx)
	if c.DryRun {
		return w.done(c.show(ctx, con, w.db))
	}
	applied, err := w.db.Migrate(ctx)
	return w.done(errors.Join(c.print(con, "applied", applied), err))
}

func (c *migrateCmd) show(ctx context.Context, con *console, db *store.DB) error {
	pending, err := db.Pending(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, m := range pending {
		names = append(names, m.Name)
	}
	return c.print(con, "would apply", names)
}

// print says what was, or would be, done.
func (c *migrateCmd) print(con *console, what string, names []string) error {
	for _, name := range names {
		if !c.JSON {
			con.printf("%s %s\n", what, name)
		} else if err := con.json(map[string]any{"migration": name, "applied": !c.DryRun}); err != nil {
			return err
		}
	}
	if len(names) == 0 && !c.JSON {
		con.printf("the schema is up to date\n")
	}
	return nil
}
