package embedded

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of a statement that a reader sends.
const (
	readerMaxTime        = 30 * time.Second
	readerMaxMemoryBytes = 1 << 30
	readerMaxRowsToRead  = 2_000_000_000
	readerMaxResultRows  = 10_000_000
	readerMaxResultBytes = 2 << 30
)

// readerLimits are set last on a reader's session.
var readerLimits = []param{
	{"max_execution_time", strconv.Itoa(int(readerMaxTime / time.Second))},
	{"max_memory_usage", strconv.Itoa(readerMaxMemoryBytes)},
	{"max_rows_to_read", strconv.Itoa(readerMaxRowsToRead)},
	{"max_result_rows", strconv.Itoa(readerMaxResultRows)},
	{"max_result_bytes", strconv.Itoa(readerMaxResultBytes)},
	{"result_overflow_mode", "throw"},
	{"max_ast_elements", "50000"},
	{"max_threads", "2"},
	{"allow_introspection_functions", "0"},
	{"readonly", "1"},
}

// readerMay are the settings a reader can choose, besides the prefixes below.
// None widens what a statement may read or cost, and none names a file, as
// format_schema and format_template_row do.
var readerMay = map[string]bool{
	"session_timezone": true, "date_time_input_format": true, "date_time_output_format": true, "extremes": true,
	"join_use_nulls": true, "max_block_size": true, "final": true, "limit": true, "offset": true,
	"cast_keep_nullable": true, "output_format_write_statistics": true, "format_csv_delimiter": true,
	"format_csv_null_representation": true, "format_tsv_null_representation": true,
}

// readerMayPrefix are the families of settings about how output looks.
var readerMayPrefix = []string{
	"output_format_json_", "output_format_csv_", "output_format_tsv_", "output_format_pretty_", "output_format_parquet_",
	"output_format_arrow_", "output_format_values_", "output_format_decimal_", "output_format_markdown_",
}

func readerMaySet(name string) bool {
	return readerMay[name] || slices.ContainsFunc(readerMayPrefix, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// readerSettings checks a reader's settings and adds the limits. A limit that
// a client asks for is taken where it is tighter.
func readerSettings(asked []param) ([]param, error) {
	tighter := map[string]string{}
	var out []param
	for _, p := range asked {
		if limit := readerLimit(p.name); limit != "" {
			if isTighter(p.value, limit) {
				tighter[p.name] = p.value
			}
			continue
		}
		if !readerMaySet(p.name) {
			return nil, frontError(codeReadonly, "Setting %s cannot be changed on a read-only connection; connect as %s to change it (READONLY)", p.name, WriteUser)
		}
		out = append(out, p)
	}
	for _, p := range readerLimits {
		out = append(out, param{p.name, first(tighter[p.name], p.value)})
	}
	return out, nil
}

func readerLimit(name string) string {
	for _, p := range readerLimits {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// isTighter compares two numbers; 0 means unlimited, and text is never tighter.
func isTighter(asked, limit string) bool {
	a, err := strconv.ParseFloat(asked, 64)
	if err != nil {
		return false
	}
	l, err := strconv.ParseFloat(limit, 64)
	return err == nil && a > 0 && a < l
}

// killWhenGone cancels the request's statement inside the engine when its
// client hangs up. The function it returns ends the watch, and waits for a
// cancellation under way.
func (f *front) killWhenGone(ctx context.Context, req *request) func() {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		if err := f.kill(req); err != nil {
			f.log.Warn("statement of a gone client not cancelled", "query_id", req.id, "err", err)
		}
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

func (f *front) kill(req *request) error {
	s, err := f.c.lib.open(f.c.args...)
	if err != nil {
		return err
	}
	defer s.close()
	_, _, err = s.exec(query{sql: "KILL QUERY WHERE Settings['log_comment'] = " + quoteString(req.tag) + " ASYNC", format: "Null"})
	return err
}
