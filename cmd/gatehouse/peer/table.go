package peer

import (
	"fmt"
	"slices"
	"strings"
)

// Database holds the peers' tables.
const Database = "peer"

// Table is where both peers write: a table of the same definition as
// Gatehouse's.
const Table = Database + ".events"

// A field is one member of the calls' JSON and the column that it goes to.
type field struct {
	member, column string
	kind           string // the type to extract it as
}

// fields are what the JSON of the benchmark's calls carries.
func fields() []field {
	return []field{
		{"ts", "ts", "String"},
		{"tenant", "tenant", "String"},
		{"request_id", "request_id", "String"},
		{"method", "method", "String"},
		{"scheme", "scheme", "String"},
		{"host", "host", "String"},
		{"path", "path", "String"},
		{"route", "route", "String"},
		{"service", "service", "String"},
		{"status", "status", "UInt16"},
		{"req_bytes", "req_bytes", "Nullable(Int64)"},
		{"resp_bytes", "resp_bytes", "Nullable(Int64)"},
		{"latency_us", "latency_us", "Nullable(Int64)"},
		{"client_ip", "client_ip", "String"},
		{"user_agent", "user_agent", "String"},
		{"auth_type", "auth_type", "String"},
		{"principal", "principal", "String"},
		{secretMember, "token_fp", "String"},
	}
}

// secretMember is what Gatehouse stores only a fingerprint of.
const secretMember = "authorization"

// origin are the columns that say which record a row is of.
func origin() []string { return []string{"kafka_topic", "kafka_partition", "kafka_offset"} }

// CommonColumns are the columns in which a peer's row equals Gatehouse's: what
// the JSON carries and redaction leaves as it is, and the origin.
func CommonColumns() []string {
	columns := origin()
	for _, f := range fields() {
		if f.member != secretMember {
			columns = append(columns, f.column)
		}
	}
	return columns
}

// Define are the statements that make Table out of the text of Gatehouse's own
// `SHOW CREATE TABLE`. Only the memory for deduplication is left out: a peer
// sends no tokens, and ClickHouse would hash every block for nothing. narrow
// leaves out every column, and index on it, that the peers do not fill.
func Define(create string, narrow bool) ([]string, error) {
	_, body, found := strings.Cut(create, "\n(\n")
	columns, engine, complete := strings.Cut(body, "\n)\n")
	if !found || !complete {
		return nil, fmt.Errorf("read table definition %q: want CREATE TABLE … ( … ) …", create)
	}
	if narrow {
		columns = onlyFilled(columns)
	}
	if before, after, ok := strings.Cut(engine, deduplication); ok {
		engine = before + deduplication + "0" + strings.TrimLeft(after, "0123456789")
	}
	return []string{"CREATE DATABASE " + Database, "CREATE TABLE " + Table + "\n(\n" + columns + "\n)\n" + engine}, nil
}

const deduplication = "non_replicated_deduplication_window = "

// onlyFilled keeps of a definition's lines those of columns that the peers fill,
// of indexes on them, and of constraints.
func onlyFilled(definition string) string {
	filled := strings.Split(columnList(), ", ")
	var kept []string
	for line := range strings.SplitSeq(definition, "\n") {
		words := strings.Fields(line)
		name := words[0]
		if name == "INDEX" {
			name = words[2]
		}
		if name == "CONSTRAINT" || slices.Contains(filled, strings.Trim(name, "`")) {
			kept = append(kept, strings.TrimSuffix(line, ","))
		}
	}
	return strings.Join(kept, ",\n")
}

func columnList() string {
	columns := slices.Concat(origin(), []string{"ingested_at"})
	for _, f := range fields() {
		columns = append(columns, f.column)
	}
	return strings.Join(columns, ", ")
}
