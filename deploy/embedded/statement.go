package embedded

import "strings"

// insertStatement is an INSERT cut into the part the engine parses and where
// its data starts.
type insertStatement struct {
	head   string // INSERT … without FORMAT clause
	format string // input format; "Values" for VALUES
	dataAt int    // where inline data starts in the text
	inline bool   // false: INSERT … SELECT, which is one whole statement
}

// parseInsert cuts an INSERT; ok is false for any other statement. The text may
// go on with data of any kind, which is not looked at. A statement without
// FORMAT or VALUES takes defaultFormat.
func parseInsert(sql, defaultFormat string) (ins insertStatement, ok bool) {
	t := tokenizer{sql: sql}
	if !t.next().is(sql, "INSERT") {
		return insertStatement{}, false
	}
	depth := 0
	for tok := t.next(); ; tok = t.next() {
		switch {
		case tok.kind == tokenEnd || tok.kind == tokenInvalid || tok.isSymbol(sql, ';'):
			return insertStatement{head: strings.TrimSpace(sql[:tok.start]), format: defaultFormat, dataAt: tok.end, inline: true}, true
		case tok.isSymbol(sql, '('):
			depth++
		case tok.isSymbol(sql, ')'):
			depth--
		case depth > 0:
		case tok.is(sql, "SELECT"), tok.is(sql, "WITH"), tok.is(sql, "INFILE"):
			return insertStatement{head: sql}, true
		case tok.is(sql, "VALUES"):
			return insertStatement{head: sql[:tok.start], format: "Values", dataAt: tok.end, inline: true}, true
		case tok.is(sql, "FORMAT"):
			return insertFormat(sql, tok, t.next()), true
		}
	}
}

// insertFormat cuts at the FORMAT clause. As in a server, data starts after
// the white space that follows the name, at most one line end.
func insertFormat(sql string, clause, name token) insertStatement {
	at := name.end
	for at < len(sql) && isSpace(sql[at]) {
		at++
		if sql[at-1] == '\n' {
			break
		}
	}
	return insertStatement{head: sql[:clause.start], format: sql[name.start:name.end], dataAt: at, inline: true}
}

// outputFormat returns the name in a statement's own FORMAT clause, or "".
func outputFormat(sql string, toks []token) string {
	if at := formatClause(sql, toks); at >= 0 {
		name := toks[at+1]
		return strings.Trim(sql[name.start:name.end], "`\"")
	}
	return ""
}

// formatClause is the index of the FORMAT keyword of the clause, or -1. The
// clause stands at depth 0 and only SETTINGS or ; may follow, so it is looked
// for from the back.
func formatClause(sql string, toks []token) int {
	depth := 0
	for i := len(toks) - 1; i > 0; i-- {
		switch {
		case toks[i].isSymbol(sql, ')'), toks[i].isSymbol(sql, ']'):
			depth++
		case toks[i].isSymbol(sql, '('), toks[i].isSymbol(sql, '['):
			depth--
		case depth == 0 && toks[i].is(sql, "FORMAT") && endsAfterName(sql, toks[i+1:]):
			return i
		}
	}
	return -1
}

// endsAfterName tells whether a name and nothing but SETTINGS or ; follows.
func endsAfterName(sql string, rest []token) bool {
	if len(rest) == 0 || rest[0].kind != tokenWord && rest[0].kind != tokenQuoted {
		return false
	}
	return len(rest) == 1 || rest[1].is(sql, "SETTINGS") || rest[1].isSymbol(sql, ';')
}

// withoutFormat is the statement without its FORMAT clause, anything behind
// it, and a closing semicolon: what can stand in parentheses.
func withoutFormat(sql string, toks []token) string {
	if at := formatClause(sql, toks); at >= 0 {
		return sql[:toks[at].start]
	}
	if n := len(toks); n > 0 && toks[n-1].isSymbol(sql, ';') {
		return sql[:toks[n-1].start]
	}
	if n := len(toks); n > 0 {
		return sql[:toks[n-1].end]
	}
	return sql
}
