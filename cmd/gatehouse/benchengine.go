package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse/deploy/embedded"
)

// benchEngine is ClickHouse as the benchmark asks it: as the user that writes, and
// in plain text, so that asking costs little.
type benchEngine struct{ access embedded.ClickHouse }

// statementPatience bounds one statement; the final merge is the longest.
const statementPatience = 15 * time.Minute

// exec runs a statement and returns its answer, tab-separated.
func (e benchEngine) exec(ctx context.Context, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, statementPatience)
	defer cancel()
	settings := url.Values{"default_format": {"TSVRaw"}, "wait_end_of_query": {"1"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.access.URL+"/?"+settings.Encode(), strings.NewReader(sql))
	if err != nil {
		return "", fmt.Errorf("ask ClickHouse: %w", err)
	}
	req.SetBasicAuth(e.access.WriteUser, e.access.WritePassword)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask ClickHouse: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return "", fmt.Errorf("ask ClickHouse: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask ClickHouse %.60q: %s", sql, strings.TrimSpace(string(text)))
	}
	return strings.TrimSuffix(string(text), "\n"), nil
}

// execAll runs statements one after another.
func (e benchEngine) execAll(ctx context.Context, statements []string) error {
	for _, sql := range statements {
		if _, err := e.exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// numbers are the numbers of a one-line answer.
func (e benchEngine) numbers(ctx context.Context, sql string) ([]uint64, error) {
	text, err := e.exec(ctx, sql)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for field := range strings.FieldsSeq(text) {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("ask ClickHouse %.60q: %q is not a number", sql, field)
		}
		out = append(out, n)
	}
	return out, nil
}

// rows counts the rows of a table, which costs nothing: it is in the metadata of
// the parts.
func (e benchEngine) rows(ctx context.Context, table string) (uint64, error) {
	n, err := e.numbers(ctx, "SELECT count() FROM "+table)
	if err != nil {
		return 0, err
	}
	return n[0], nil
}

// merge makes one part of each partition, after what is merging has ended.
func (e benchEngine) merge(ctx context.Context, table string) (bytes uint64, err error) {
	database, name, _ := strings.Cut(table, ".")
	where := fmt.Sprintf("database = '%s' AND table = '%s'", database, name)
	for {
		if _, err := e.exec(ctx, "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
			return 0, err
		}
		state, err := e.numbers(ctx, "SELECT count(), uniqExact(partition), sum(bytes_on_disk), (SELECT count() FROM system.merges WHERE "+where+
			") FROM system.parts WHERE active AND "+where)
		if err != nil {
			return 0, err
		}
		if parts, partitions, merging := state[0], state[1], state[3]; parts == partitions && merging == 0 {
			return state[2], nil
		}
	}
}

// content is what a table holds, as two hashes that do not depend on the order of
// rows.
type content struct {
	Rows uint64 `json:"rows"`
	// Common is over the columns that redaction leaves as they are.
	Common string `json:"hash_common_columns"`
	// All is over all columns but the time of insertion.
	All string `json:"hash_all_columns"`
}

func (e benchEngine) content(ctx context.Context, table string, common []string) (content, error) {
	database, name, _ := strings.Cut(table, ".")
	list, err := e.exec(ctx, fmt.Sprintf("SELECT name, type FROM system.columns WHERE database = '%s' AND table = '%s' AND name != 'ingested_at' ORDER BY position", database, name))
	if err != nil {
		return content{}, err
	}
	types := map[string]string{}
	var all []string
	for line := range strings.Lines(list) {
		column, kind, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		types[column] = kind
		all = append(all, hashable(column, kind))
	}
	for i, column := range common {
		common[i] = hashable(column, types[column])
	}
	text, err := e.exec(ctx, fmt.Sprintf("SELECT count(), sum(cityHash64(%s)), sum(cityHash64(%s)) FROM %s", strings.Join(common, ", "), strings.Join(all, ", "), table))
	if err != nil {
		return content{}, err
	}
	c := content{}
	_, err = fmt.Sscan(text, &c.Rows, &c.Common, &c.All)
	return c, err
}

// hashable is the expression of a column that a hash takes without losing a value:
// of NULL it would make NULL for the whole row.
func hashable(column, kind string) string {
	switch {
	case strings.HasPrefix(kind, "Nullable"):
		return "ifNull(toString(`" + column + "`), '-')"
	case strings.HasPrefix(kind, "Map"):
		return "toString(`" + column + "`)"
	}
	return "`" + column + "`"
}
