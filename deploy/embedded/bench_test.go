package embedded

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// benchRows is the size of one insert, as large as the ledger's blocks.
const benchRows = 100_000

// benchBlock is a Native block shaped like access events: times, numbers and
// texts, about 100 bytes a row.
func benchBlock() []byte {
	var id, ts, status, path, agent []byte
	for i := range uint64(benchRows) {
		id = binary.LittleEndian.AppendUint64(id, i)
		ts = binary.LittleEndian.AppendUint64(ts, 1_700_000_000_000_000+i*137)
		status = binary.LittleEndian.AppendUint16(status, uint16(200+i%3*100))
		path = appendNativeString(path, fmt.Sprintf("/v1/accounts/%d/orders/%d", i%5000, i*2654435761%1000003))
		agent = appendNativeString(agent, fmt.Sprintf("client/%d.%d (platform; rv:%d)", i%7, i%11, i%13))
	}
	b := binary.AppendUvarint(nil, 5)
	b = binary.AppendUvarint(b, benchRows)
	for _, c := range []nativeColumn{{"id", "UInt64", id}, {"ts", "DateTime64(6, 'UTC')", ts}, {"status", "UInt16", status}, {"path", "String", path}, {"agent", "String", agent}} {
		b = appendNativeString(appendNativeString(b, c.name), c.typ)
		b = append(b, c.value...)
	}
	return b
}

const benchTable = "(id UInt64, ts DateTime64(6, 'UTC'), status UInt16, path String, agent String) ENGINE = MergeTree ORDER BY ts"

func BenchmarkInsertHTTP(b *testing.B) {
	for name, table := range map[string]string{"merge tree, fsync": newTable(b, benchTable), "null": newTable(b, "(id UInt64, ts DateTime64(6, 'UTC'), status UInt16, path String, agent String) ENGINE = Null")} {
		b.Run(name, func(b *testing.B) {
			block := benchBlock()
			w := writer(b, clickhouse.CompressionNone)
			b.SetBytes(int64(len(block)))
			for b.Loop() {
				if err := w.InsertFormat(b.Context(), "Native", "INSERT INTO "+table, bytes.NewReader(block)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkSelectHTTP(b *testing.B) {
	const rows = 1_000_000
	b.Run("native bytes", func(b *testing.B) {
		for b.Loop() {
			resp, err := http.Get(engines.ClickHouse().URL + fmt.Sprintf("/?query=SELECT+number,toString(number)+FROM+numbers(%d)+FORMAT+Native", rows))
			if err != nil {
				b.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || n < rows*8 {
				b.Fatal(n, err)
			}
		}
		b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("smallest", func(b *testing.B) {
		for b.Loop() {
			get(b, "SELECT 1")
		}
	})
}

// BenchmarkStart measures from nothing to a broker and an engine that answer,
// in a process of its own.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		p := spawn(b, localConfig(dir))
		b.StopTimer()
		p.end(b)
		b.StartTimer()
	}
}
