package store

import (
	"net/netip"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"gatehouse/ingest/event"
)

// column is one column of audit.events: how a field of an event gets into a
// native block, and how it comes back out of a row.
type column struct {
	name string
	cells
	// scan is where the driver puts a row's value; get moves it into the event.
	scan any
	get  func(*event.Event)
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
		text("gateway_id", func(e *event.Event) *string { return &e.GatewayID }),
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
		text("route_id", func(e *event.Event) *string { return &e.RouteID }),
		word("service", func(e *event.Event) *string { return &e.Service }),
		text("api_version", func(e *event.Event) *string { return &e.APIVersion }),
		text("data_class", func(e *event.Event) *event.DataClass { return &e.DataClass }),
		objectNames(), objectRefs(),

		statuses("status", func(e *event.Event) *int { return &e.Status }),
		statuses("upstream_status", func(e *event.Event) *int { return &e.UpstreamStatus }),
		word("outcome", func(e *event.Event) *event.Outcome { return &e.Outcome }),
		text("error_reason", func(e *event.Event) *string { return &e.ErrorReason }),
		amount("req_bytes", func(e *event.Event) *int64 { return &e.ReqBytes }),
		amount("resp_bytes", func(e *event.Event) *int64 { return &e.RespBytes }),
		text("bytes_scope", func(e *event.Event) *event.BytesScope { return &e.BytesScope }),
		amount("latency_us", func(e *event.Event) *int64 { return &e.LatencyUS }),
		amount("upstream_latency_us", func(e *event.Event) *int64 { return &e.UpstreamLatencyUS }),

		address("client_ip", func(e *event.Event) *netip.Addr { return &e.ClientIP }),
		text("client_host", func(e *event.Event) *string { return &e.ClientHost }),
		word("client_net", func(e *event.Event) *string { return &e.ClientNet }),
		asn(),
		text("client_as_org", func(e *event.Event) *string { return &e.ClientASOrg }),
		text("client_country", func(e *event.Event) *string { return &e.ClientCountry }),
		address("peer_ip", func(e *event.Event) *netip.Addr { return &e.PeerIP }),
		forwarded(),
		word("user_agent", func(e *event.Event) *string { return &e.UserAgent }),
		word("ua_family", func(e *event.Event) *string { return &e.UAFamily }),
		text("referer", func(e *event.Event) *string { return &e.Referer }),

		word("auth_type", func(e *event.Event) *event.AuthType { return &e.AuthType }),
		text("principal", func(e *event.Event) *string { return &e.Principal }),
		text("client_id", func(e *event.Event) *string { return &e.ClientID }),
		text("credential_id", func(e *event.Event) *string { return &e.CredentialID }),
		text("token_fp", func(e *event.Event) *string { return &e.TokenFP }),
		text("session_fp", func(e *event.Event) *string { return &e.SessionFP }),
		word("fp_key_id", func(e *event.Event) *string { return &e.FPKeyID }),
		text("token_alg", func(e *event.Event) *string { return &e.TokenAlg }),
		text("token_kid", func(e *event.Event) *string { return &e.TokenKid }),
		text("token_iss", func(e *event.Event) *string { return &e.TokenIss }),
		text("token_aud", func(e *event.Event) *string { return &e.TokenAud }),
		text("token_exp_state", func(e *event.Event) *string { return &e.TokenExpState }),
		text("token_bound", func(e *event.Event) *string { return &e.TokenBound }),

		text("tls_version", func(e *event.Event) *string { return &e.TLSVersion }),
		text("tls_fp", func(e *event.Event) *string { return &e.TLSFP }),
		text("mtls_subject", func(e *event.Event) *string { return &e.MTLSSubject }),
		text("upstream", func(e *event.Event) *string { return &e.Upstream }),

		labels("headers", func(e *event.Event) *[]event.Label { return &e.Headers }),
		labels("labels", func(e *event.Event) *[]event.Label { return &e.Labels }),
		list("redactions", func(e *event.Event) *[]string { return &e.Redactions }),
		list("quality", func(e *event.Event) *[]string { return &e.Quality }),
		text("actor", func(e *event.Event) *string { return &e.Actor }),
		text("credential", func(e *event.Event) *string { return &e.Credential }),
	}
}

// tsColumn is DateTime64(6): the microseconds of the event as they are.
func (b *block) tsColumn() column {
	scan := new(time.Time)
	return column{
		name: "ts", scan: scan,
		cells: &numbers[int64]{of: func(e *event.Event) int64 { return e.TS }, as: func(v []int64) proto.ColInput {
			return typed{proto.ColInt64(v), "DateTime64(6, 'UTC')"}
		}},
		get: func(e *event.Event) { e.TS = scan.UnixMicro() },
	}
}

// ingestedColumn is DateTime64(3): one value for the whole block.
func (b *block) ingestedColumn() column {
	var data proto.ColInt64
	return column{
		name: "ingested_at", scan: &b.scannedAt,
		cells: &same{func(rows int) proto.ColInput {
			data = pad(data[:0], rows, b.ingestedAt.UnixMilli())
			return typed{data, "DateTime64(3, 'UTC')"}
		}},
		get: func(*event.Event) {},
	}
}

// topicIDColumn is one value for the whole block, too.
func (b *block) topicIDColumn() column {
	var data wireWords
	return column{
		name: "kafka_topic_id", scan: &b.scannedTopicID,
		cells: &same{func(rows int) proto.ColInput {
			data.dict.reset()
			data.dict.append(b.topicID)
			data.keys.reset()
			data.keys.pad(rows)
			return &data
		}},
		get: func(*event.Event) {},
	}
}

// typed is an integer column that ClickHouse reads as another type of the same
// bytes.
type typed struct {
	proto.ColInt64
	name proto.ColumnType
}

// Type implements proto.ColInput.
func (t typed) Type() proto.ColumnType { return t.name }

// place of a field whose type is a kind of string.
func placeOfText[T ~string](field func(*event.Event) *T) place[string] {
	return place[string](placeOf(field))
}

// text is a String column.
func text[T ~string](name string, field func(*event.Event) *T) column {
	scan := new(string)
	return column{
		name: name, cells: &texts{field: placeOfText(field)}, scan: scan,
		get: func(e *event.Event) { *field(e) = T(*scan) },
	}
}

// word is a LowCardinality(String) column.
func word[T ~string](name string, field func(*event.Event) *T) column {
	scan := new(string)
	return column{
		name: name, cells: newWords(placeOfText(field)), scan: scan,
		get: func(e *event.Event) { *field(e) = T(*scan) },
	}
}

// list is an Array(String) column.
func list(name string, field func(*event.Event) *[]string) column {
	scan := new([]string)
	return column{
		name: name, scan: scan,
		cells: newLists(func(e *event.Event, add func(string)) {
			for _, v := range *field(e) {
				add(v)
			}
		}),
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
	scan := new(int32)
	return column{
		name: name, scan: scan,
		cells: &numbers[int32]{of: func(e *event.Event) int32 { return *field(e) }, as: func(v []int32) proto.ColInput { return proto.ColInt32(v) }},
		get:   func(e *event.Event) { *field(e) = *scan },
	}
}

func int64s(name string, field func(*event.Event) *int64) column {
	scan := new(int64)
	return column{
		name: name, scan: scan,
		cells: &numbers[int64]{of: func(e *event.Event) int64 { return *field(e) }, as: func(v []int64) proto.ColInput { return proto.ColInt64(v) }},
		get:   func(e *event.Event) { *field(e) = *scan },
	}
}

func statuses(name string, field func(*event.Event) *int) column {
	scan := new(uint16)
	return column{
		name: name, scan: scan,
		cells: &numbers[uint16]{of: func(e *event.Event) uint16 { return uint16(*field(e)) }, as: func(v []uint16) proto.ColInput { return proto.ColUInt16(v) }},
		get:   func(e *event.Event) { *field(e) = int(*scan) },
	}
}

func asn() column {
	scan := new(uint32)
	return column{
		name: "client_asn", scan: scan,
		cells: &numbers[uint32]{of: func(e *event.Event) uint32 { return e.ClientASN }, as: func(v []uint32) proto.ColInput { return proto.ColUInt32(v) }},
		get:   func(e *event.Event) { e.ClientASN = *scan },
	}
}

// amount is a Nullable(Int64) column: event.Absent is NULL.
func amount(name string, field func(*event.Event) *int64) column {
	scan := new(*int64)
	return column{
		name: name, cells: &amounts{field: placeOf(field)}, scan: scan,
		get: func(e *event.Event) {
			*field(e) = event.Absent
			if *scan != nil {
				*field(e) = **scan
			}
		},
	}
}

// address is an IP address as text, "" for none: people search for the text.
func address(name string, field func(*event.Event) *netip.Addr) column {
	scan := new(string)
	return column{
		name: name, cells: &addresses{ip: placeOf(field)}, scan: scan,
		get: func(e *event.Event) { *field(e), _ = netip.ParseAddr(*scan) },
	}
}

func forwarded() column {
	scan := new([]string)
	return column{
		name: "xff", scan: scan,
		cells: newLists(func(e *event.Event, add func(string)) {
			for _, ip := range e.XFF {
				add(ip.String())
			}
		}),
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
	scan := new([]string)
	return column{
		name: "objects.name", scan: scan,
		cells: newLists(func(e *event.Event, add func(string)) {
			for i := range e.Objects {
				add(e.Objects[i].Name)
			}
		}),
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
	scan := new([]string)
	return column{
		name: "objects.ref", scan: scan,
		cells: newLists(func(e *event.Event, add func(string)) {
			for i := range e.Objects {
				add(e.Objects[i].Ref)
			}
		}),
		get: func(e *event.Event) {
			for i, ref := range *scan {
				e.Objects[i].Ref = ref
			}
		},
	}
}

// labels is a Map(String, String) column, keys in sorted order.
func labels(name string, field func(*event.Event) *[]event.Label) column {
	scan := new(map[string]string)
	return column{
		name: name, cells: newPairs(placeOf(field)), scan: scan,
		get: func(e *event.Event) { *field(e) = event.SortLabels(*scan) },
	}
}
