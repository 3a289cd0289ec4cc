package store

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"gatehouse/ingest/event"
)

// column is one column of audit.events: how a field of an event gets into a
// native block, and how it comes back out of a row.
type column struct {
	name string
	data proto.ColInput
	// add appends the event's value and says whether it is other than the
	// column's default.
	add func(*event.Event) bool
	// scan is where the driver puts a row's value; get moves it into the event.
	scan any
	get  func(*event.Event)
}

// block holds the columns of audit.events, reused from insert to insert, so that
// the buffers grow once. It is not safe for concurrent use.
//
// Columns in which every row has the default are left out of the insert: most
// sources leave a third of the columns empty, and reading those would cost
// ClickHouse as much as reading the others.
type block struct {
	columns    []column
	used       []bool
	buf        proto.Buffer
	topicID    string
	ingestedAt time.Time
	rows       int
	// What a row says besides the event, after a scan.
	scannedTopicID string
	scannedAt      time.Time
}

func newBlock() *block {
	b := &block{}
	b.columns = b.eventColumns()
	b.used = make([]bool, len(b.columns))
	return b
}

// add appends one event as a row.
func (b *block) add(e *event.Event) {
	for i := range b.columns {
		if b.columns[i].add(e) {
			b.used[i] = true
		}
	}
	b.rows++
}

func (b *block) reset() {
	for i := range b.columns {
		if r, ok := b.columns[i].data.(proto.Resettable); ok {
			r.Reset()
		}
	}
	b.rows = 0
	clear(b.used)
}

// blockRevision is the protocol revision of blocks sent over HTTP: the oldest,
// without custom serialisation, which every ClickHouse reads.
const blockRevision = 0

// encode writes the rows as one native block into buf, and returns the statement
// that inserts it.
func (b *block) encode() (insert string, err error) {
	var input []proto.InputColumn
	var names []string
	for i, c := range b.columns {
		if b.used[i] {
			input = append(input, proto.InputColumn{Name: c.name, Data: c.data})
			names = append(names, quoteName(c.name))
		}
	}
	b.buf.Reset()
	raw := proto.Block{Columns: len(input), Rows: b.rows}
	if err := raw.EncodeRawBlock(&b.buf, blockRevision, input); err != nil {
		return "", fmt.Errorf("encode block: %w", err)
	}
	return "INSERT INTO audit.events (" + strings.Join(names, ", ") + ")", nil
}

// eventColumns lists the columns in the order of store/schema. A test compares
// it with the table and with event.Fields.
func (b *block) eventColumns() []column {
	return []column{
		word("kind", func(e *event.Event) *event.Kind { return &e.Kind }),
		b.tsColumn(),
		word("ts_src", func(e *event.Event) *event.TimeSource { return &e.TSSrc }),
		word("kafka_topic", func(e *event.Event) *string { return &e.Origin.Topic }),
		b.topicIDColumn(),
		int32s("kafka_partition", func(e *event.Event) *int32 { return &e.Origin.Partition }),
		int64s("kafka_offset", func(e *event.Event) *int64 { return &e.Origin.Offset }),
		int32s("kafka_index", func(e *event.Event) *int32 { return &e.Origin.Index }),
		b.ingestedColumn(),

		word("gateway", func(e *event.Event) *string { return &e.Gateway }),
		word("gateway_id", func(e *event.Event) *string { return &e.GatewayID }),
		word("tenant", func(e *event.Event) *string { return &e.Tenant }),
		text("request_id", func(e *event.Event) *string { return &e.RequestID }),
		text("trace_id", func(e *event.Event) *string { return &e.TraceID }),

		word("method", func(e *event.Event) *string { return &e.Method }),
		word("scheme", func(e *event.Event) *string { return &e.Scheme }),
		word("http_version", func(e *event.Event) *string { return &e.HTTPVersion }),
		word("host", func(e *event.Event) *string { return &e.Host }),
		text("path", func(e *event.Event) *string { return &e.Path }),
		text("query", func(e *event.Event) *string { return &e.Query }),
		word("route", func(e *event.Event) *string { return &e.Route }),
		word("route_src", func(e *event.Event) *event.RouteSource { return &e.RouteSrc }),
		word("route_id", func(e *event.Event) *string { return &e.RouteID }),
		word("service", func(e *event.Event) *string { return &e.Service }),
		word("api_version", func(e *event.Event) *string { return &e.APIVersion }),
		word("data_class", func(e *event.Event) *event.DataClass { return &e.DataClass }),
		objectNames(), objectRefs(),

		statuses("status", func(e *event.Event) *int { return &e.Status }),
		statuses("upstream_status", func(e *event.Event) *int { return &e.UpstreamStatus }),
		word("outcome", func(e *event.Event) *event.Outcome { return &e.Outcome }),
		word("error_reason", func(e *event.Event) *string { return &e.ErrorReason }),
		amount("req_bytes", func(e *event.Event) *int64 { return &e.ReqBytes }),
		amount("resp_bytes", func(e *event.Event) *int64 { return &e.RespBytes }),
		word("bytes_scope", func(e *event.Event) *event.BytesScope { return &e.BytesScope }),
		amount("latency_us", func(e *event.Event) *int64 { return &e.LatencyUS }),
		amount("upstream_latency_us", func(e *event.Event) *int64 { return &e.UpstreamLatencyUS }),

		address("client_ip", func(e *event.Event) *netip.Addr { return &e.ClientIP }),
		text("client_host", func(e *event.Event) *string { return &e.ClientHost }),
		word("client_net", func(e *event.Event) *string { return &e.ClientNet }),
		asn(),
		word("client_as_org", func(e *event.Event) *string { return &e.ClientASOrg }),
		word("client_country", func(e *event.Event) *string { return &e.ClientCountry }),
		address("peer_ip", func(e *event.Event) *netip.Addr { return &e.PeerIP }),
		forwarded(),
		text("user_agent", func(e *event.Event) *string { return &e.UserAgent }),
		word("ua_family", func(e *event.Event) *string { return &e.UAFamily }),
		text("referer", func(e *event.Event) *string { return &e.Referer }),

		word("auth_type", func(e *event.Event) *event.AuthType { return &e.AuthType }),
		text("principal", func(e *event.Event) *string { return &e.Principal }),
		word("client_id", func(e *event.Event) *string { return &e.ClientID }),
		text("credential_id", func(e *event.Event) *string { return &e.CredentialID }),
		text("token_fp", func(e *event.Event) *string { return &e.TokenFP }),
		text("session_fp", func(e *event.Event) *string { return &e.SessionFP }),
		word("fp_key_id", func(e *event.Event) *string { return &e.FPKeyID }),
		word("token_alg", func(e *event.Event) *string { return &e.TokenAlg }),
		word("token_kid", func(e *event.Event) *string { return &e.TokenKid }),
		word("token_iss", func(e *event.Event) *string { return &e.TokenIss }),
		word("token_aud", func(e *event.Event) *string { return &e.TokenAud }),
		word("token_exp_state", func(e *event.Event) *string { return &e.TokenExpState }),
		word("token_bound", func(e *event.Event) *string { return &e.TokenBound }),

		word("tls_version", func(e *event.Event) *string { return &e.TLSVersion }),
		text("tls_fp", func(e *event.Event) *string { return &e.TLSFP }),
		word("mtls_subject", func(e *event.Event) *string { return &e.MTLSSubject }),
		word("upstream", func(e *event.Event) *string { return &e.Upstream }),

		pairs("headers", func(e *event.Event) *[]event.Label { return &e.Headers }),
		pairs("labels", func(e *event.Event) *[]event.Label { return &e.Labels }),
		words("redactions", func(e *event.Event) *[]string { return &e.Redactions }),
		words("quality", func(e *event.Event) *[]string { return &e.Quality }),
		text("actor", func(e *event.Event) *string { return &e.Actor }),
		text("credential", func(e *event.Event) *string { return &e.Credential }),
	}
}

// tsColumn is DateTime64(6): the microseconds of the event as they are.
func (b *block) tsColumn() column {
	col := new(proto.ColInt64)
	scan := new(time.Time)
	return column{
		name: "ts", data: typed{col, "DateTime64(6, 'UTC')"}, scan: scan,
		add: func(e *event.Event) bool { col.Append(e.TS); return true },
		get: func(e *event.Event) { e.TS = scan.UnixMicro() },
	}
}

// ingestedColumn is DateTime64(3): one value for the whole block.
func (b *block) ingestedColumn() column {
	col := new(proto.ColInt64)
	return column{
		name: "ingested_at", data: typed{col, "DateTime64(3, 'UTC')"}, scan: &b.scannedAt,
		add: func(*event.Event) bool { col.Append(b.ingestedAt.UnixMilli()); return true },
		get: func(*event.Event) {},
	}
}

// topicIDColumn is one value for the whole block, too.
func (b *block) topicIDColumn() column {
	col := new(proto.ColStr).LowCardinality()
	return column{
		name: "kafka_topic_id", data: col, scan: &b.scannedTopicID,
		add: func(*event.Event) bool { col.Append(b.topicID); return b.topicID != "" },
		get: func(*event.Event) {},
	}
}

// typed is an integer column that ClickHouse reads as another type of the same
// bytes.
type typed struct {
	*proto.ColInt64
	name proto.ColumnType
}

// Type implements proto.ColInput.
func (t typed) Type() proto.ColumnType { return t.name }

func text[T ~string](name string, field func(*event.Event) *T) column {
	col, scan := new(proto.ColStr), new(string)
	return column{
		name: name, data: col, scan: scan,
		add: func(e *event.Event) bool { v := string(*field(e)); col.Append(v); return v != "" },
		get: func(e *event.Event) { *field(e) = T(*scan) },
	}
}

// word is a LowCardinality(String) column.
func word[T ~string](name string, field func(*event.Event) *T) column {
	col, scan := new(proto.ColStr).LowCardinality(), new(string)
	return column{
		name: name, data: col, scan: scan,
		add: func(e *event.Event) bool { v := string(*field(e)); col.Append(v); return v != "" },
		get: func(e *event.Event) { *field(e) = T(*scan) },
	}
}

func words(name string, field func(*event.Event) *[]string) column {
	col, scan := proto.NewArray(new(proto.ColStr).LowCardinality()), new([]string)
	return column{
		name: name, data: col, scan: scan,
		add: func(e *event.Event) bool { v := *field(e); col.Append(v); return len(v) > 0 },
		get: func(e *event.Event) { *field(e) = none(*scan) },
	}
}

// none is nil for an empty list: an event does not tell the two apart.
func none[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func int32s(name string, field func(*event.Event) *int32) column {
	col, scan := new(proto.ColInt32), new(int32)
	return column{
		name: name, data: col, scan: scan,
		add: func(e *event.Event) bool { v := *field(e); col.Append(v); return v != 0 },
		get: func(e *event.Event) { *field(e) = *scan },
	}
}

func int64s(name string, field func(*event.Event) *int64) column {
	col, scan := new(proto.ColInt64), new(int64)
	return column{
		name: name, data: col, scan: scan,
		add: func(e *event.Event) bool { v := *field(e); col.Append(v); return v != 0 },
		get: func(e *event.Event) { *field(e) = *scan },
	}
}

func statuses(name string, field func(*event.Event) *int) column {
	col, scan := new(proto.ColUInt16), new(uint16)
	return column{
		name: name, data: col, scan: scan,
		add: func(e *event.Event) bool { v := uint16(*field(e)); col.Append(v); return v != 0 },
		get: func(e *event.Event) { *field(e) = int(*scan) },
	}
}

// amount is Nullable(Int64): event.Absent is NULL.
func amount(name string, field func(*event.Event) *int64) column {
	col, scan := new(proto.ColInt64).Nullable(), new(*int64)
	return column{
		name: name, data: col, scan: scan,
		add: func(e *event.Event) bool {
			v := *field(e)
			col.Append(proto.Nullable[int64]{Set: v != event.Absent, Value: max(v, 0)})
			return v != event.Absent
		},
		get: func(e *event.Event) {
			*field(e) = event.Absent
			if *scan != nil {
				*field(e) = **scan
			}
		},
	}
}

func asn() column {
	col, scan := new(proto.ColUInt32), new(uint32)
	return column{
		name: "client_asn", data: col, scan: scan,
		add: func(e *event.Event) bool { col.Append(e.ClientASN); return e.ClientASN != 0 },
		get: func(e *event.Event) { e.ClientASN = *scan },
	}
}

// address is an IP address as text, "" for none: people search for the text.
func address(name string, field func(*event.Event) *netip.Addr) column {
	col, scan := new(proto.ColStr), new(string)
	var digits []byte
	return column{
		name: name, data: col, scan: scan,
		add: func(e *event.Event) bool {
			digits = digits[:0]
			if ip := *field(e); ip.IsValid() {
				digits = ip.AppendTo(digits)
			}
			col.AppendBytes(digits)
			return len(digits) > 0
		},
		get: func(e *event.Event) { *field(e), _ = netip.ParseAddr(*scan) },
	}
}

func forwarded() column {
	col, scan := proto.NewArray[string](new(proto.ColStr)), new([]string)
	var list []string
	return column{
		name: "xff", data: col, scan: scan,
		add: func(e *event.Event) bool {
			list = list[:0]
			for _, ip := range e.XFF {
				list = append(list, ip.String())
			}
			col.Append(list)
			return len(list) > 0
		},
		get: func(e *event.Event) {
			e.XFF = nil
			for _, s := range *scan {
				if ip, err := netip.ParseAddr(s); err == nil {
					e.XFF = append(e.XFF, ip)
				}
			}
		},
	}
}

func objectNames() column {
	col, scan := proto.NewArray(new(proto.ColStr).LowCardinality()), new([]string)
	var list []string
	return column{
		name: "objects.name", data: col, scan: scan,
		add: func(e *event.Event) bool {
			list = list[:0]
			for _, o := range e.Objects {
				list = append(list, o.Name)
			}
			col.Append(list)
			return len(list) > 0
		},
		get: func(e *event.Event) {
			e.Objects = nil
			for _, name := range *scan {
				e.Objects = append(e.Objects, event.Object{Name: name})
			}
		},
	}
}

// objectRefs stands behind objectNames, which makes the list that get fills.
func objectRefs() column {
	col, scan := proto.NewArray[string](new(proto.ColStr)), new([]string)
	var list []string
	return column{
		name: "objects.ref", data: col, scan: scan,
		add: func(e *event.Event) bool {
			list = list[:0]
			for _, o := range e.Objects {
				list = append(list, o.Ref)
			}
			col.Append(list)
			return len(list) > 0
		},
		get: func(e *event.Event) {
			for i, ref := range *scan {
				e.Objects[i].Ref = ref
			}
		},
	}
}

// pairs is Map(LowCardinality(String), String), keys in sorted order.
func pairs(name string, field func(*event.Event) *[]event.Label) column {
	col := proto.NewMap[string, string](new(proto.ColStr).LowCardinality(), new(proto.ColStr))
	scan := new(map[string]string)
	var list []proto.KV[string, string]
	return column{
		name: name, data: col, scan: scan,
		add: func(e *event.Event) bool {
			list = list[:0]
			for _, l := range *field(e) {
				list = append(list, proto.KV[string, string]{Key: l.Name, Value: l.Value})
			}
			col.AppendKV(list)
			return len(list) > 0
		},
		get: func(e *event.Event) { *field(e) = event.SortLabels(*scan) },
	}
}
