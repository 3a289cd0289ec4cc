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
// sends no tokens, and ClickHouse would hash every block for nothing.
func Define(create string) ([]string, error) {
	_, body, found := strings.Cut(create, "\n(")
	if !found {
		return nil, fmt.Errorf("read table definition %q: want CREATE TABLE … (", create)
	}
	lines := strings.Split(body, "non_replicated_deduplication_window = ")
	if len(lines) == 2 {
		body = lines[0] + "non_replicated_deduplication_window = 0" + strings.TrimLeft(lines[1], "0123456789")
	}
	return []string{"CREATE DATABASE " + Database, "CREATE TABLE " + Table + "\n(" + body}, nil
}

func columnList() string {
	columns := slices.Concat(origin(), []string{"ingested_at"})
	for _, f := range fields() {
		columns = append(columns, f.column)
	}
	return strings.Join(columns, ", ")
}
