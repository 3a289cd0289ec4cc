package embedded

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestLargeResultIsStreamed reads far more than the process may hold.
func TestLargeResultIsStreamed(t *testing.T) {
	before := rssMB(t)
	resp, err := http.Get(engines.ClickHouse().URL + "/?query=SELECT+number,repeat('x',300)+FROM+numbers(3000000)+FORMAT+Native")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var peak int64
	buf := make([]byte, 1<<20)
	total := int64(0)
	for err == nil {
		var n int
		n, err = io.ReadFull(resp.Body, buf)
		total += int64(n)
		peak = max(peak, rssMB(t))
	}
	if total < 880<<20 {
		t.Fatalf("read %d MB, want the whole result of 886", total>>20)
	}
	if grown := peak - before; grown > 400 {
		t.Errorf("memory grew by %d MB for a result of %d MB", grown, total>>20)
	}
}

// rssMB is this process's resident memory.
func rssMB(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize()) >> 20
}
