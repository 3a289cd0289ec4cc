package embedded

import (
	"context"
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
	{"readonly", "1"},
}

// readerMay are the settings a reader can choose, besides how output is
// formatted: none of them widens what a statement may read or cost.
var readerMay = map[string]bool{
	"log_comment": true, "session_timezone": true, "date_time_input_format": true, "date_time_output_format": true,
	"extremes": true, "join_use_nulls": true, "max_block_size": true, "max_threads": true, "final": true, "limit": true, "offset": true,
	"use_query_cache": true, "cast_keep_nullable": true, "any_join_distinct_right_table_keys": true,
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
		if !readerMay[p.name] && !strings.HasPrefix(p.name, "output_format_") && !strings.HasPrefix(p.name, "format_") {
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
// client hangs up. The function it returns ends the watch.
func (f *front) killWhenGone(ctx context.Context, req *request) func() {
	stop := context.AfterFunc(ctx, func() {
		s, err := f.c.lib.open(f.c.args...)
		if err != nil {
			f.log.Warn("statement of a gone client not cancelled", "query_id", req.id, "err", err)
			return
		}
		defer s.close()
		kill := "KILL QUERY WHERE Settings['log_comment'] = " + quoteString(req.tag) + " ASYNC"
		if _, _, err := s.exec(query{sql: kill, format: "Null"}); err != nil {
			f.log.Warn("statement of a gone client not cancelled", "query_id", req.id, "err", err)
		}
	})
	return func() { stop() }
}
