package detect

import (
	"fmt"
	"strings"
	"time"

	"gatehouse/rules"
)

// selectEvents is the query that gives the entity's events from first to last
// (µs, both included) back. Values in it are quoted, whatever they hold.
func selectEvents(r *rules.Rule, entity []Field, first, last int64) string {
	var b strings.Builder
	b.WriteString("SELECT * FROM audit.events WHERE ts BETWEEN ")
	b.WriteString(timestamp(first) + " AND " + timestamp(last))
	for i, f := range r.GroupBy {
		switch {
		case entity[i].Value == "" && f.Name == "client_asn":
			b.WriteString(" AND client_asn = 0")
		case entity[i].Value == "" && f.Type == "number":
			fmt.Fprintf(&b, " AND %s IS NULL", f.SQL)
		default:
			fmt.Fprintf(&b, " AND %s = %s", f.SQL, Quote(entity[i].Value))
		}
	}
	b.WriteString(" ORDER BY ts, kafka_topic, kafka_partition, kafka_offset, kafka_index")
	return b.String()
}

// timestamp is a time in µs as a DateTime64(6, 'UTC') expression.
func timestamp(us int64) string {
	return "toDateTime64('" + time.UnixMicro(us).UTC().Format("2006-01-02 15:04:05.000000") + "', 6, 'UTC')"
}

// Quote is s as a ClickHouse string literal. Quotes, backslashes and every byte
// outside printable ASCII are escaped, so that no value, valid UTF-8 or not, can
// end the literal or hide in it.
func Quote(s string) string {
	const hexDigits = "0123456789abcdef"
	b := make([]byte, 0, len(s)+2)
	b = append(b, '\'')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '\''))
}
