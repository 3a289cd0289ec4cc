package embedded

import "strings"

// tokenKind says what a piece of SQL text is.
type tokenKind uint8

const (
	tokenEnd     tokenKind = iota
	tokenWord              // bare identifier or keyword: [A-Za-z_$][A-Za-z0-9_$]*
	tokenQuoted            // `identifier` or "identifier"
	tokenString            // 'text' or $tag$text$tag$
	tokenNumber            // digits and what sticks to them
	tokenSymbol            // one character of punctuation
	tokenInvalid           // text the engine's lexer would not accept, such as an unclosed quote
)

// token is one piece of SQL: text[start:end], quotes included.
type token struct {
	kind       tokenKind
	start, end int
}

// tokenizer splits SQL the way the engine's lexer does, as far as telling
// words from quoted text and comments goes. It reads from the front only as
// far as asked, so binary data behind a statement is never looked at.
type tokenizer struct {
	sql string
	at  int
}

// next skips white space and comments and returns the next token; at the end
// of the text, tokenEnd.
func (t *tokenizer) next() token {
	if !t.skipBlank() {
		return t.take(tokenInvalid, len(t.sql))
	}
	if t.at >= len(t.sql) {
		return token{tokenEnd, t.at, t.at}
	}
	switch c := t.sql[t.at]; {
	case c == '\'':
		return t.quoted(tokenString)
	case c == '`' || c == '"':
		return t.quoted(tokenQuoted)
	case c == '$':
		return t.dollar()
	case isWordStart(c):
		return t.word(tokenWord)
	case isDigit(c):
		return t.word(tokenNumber)
	case c < 0x80 && c > ' ':
		return t.take(tokenSymbol, t.at+1)
	default:
		return t.take(tokenInvalid, t.at+1)
	}
}

func (t *tokenizer) take(kind tokenKind, end int) token {
	tok := token{kind, t.at, end}
	t.at = end
	return tok
}

// skipBlank moves past white space and comments; false means a comment is not
// closed.
func (t *tokenizer) skipBlank() bool {
	for t.at < len(t.sql) {
		rest := t.sql[t.at:]
		switch {
		case isSpace(rest[0]):
			t.at++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			t.at += lineLength(rest)
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return false
			}
			t.at += 2 + end + 2
		default:
			return true
		}
	}
	return true
}

func lineLength(text string) int {
	if n := strings.IndexByte(text, '\n'); n >= 0 {
		return n + 1
	}
	return len(text)
}

// quoted reads to the closing quote; a doubled or backslashed quote belongs to
// the text.
func (t *tokenizer) quoted(kind tokenKind) token {
	quote := t.sql[t.at]
	for i := t.at + 1; i < len(t.sql); i++ {
		switch t.sql[i] {
		case '\\':
			i++
		case quote:
			if i+1 < len(t.sql) && t.sql[i+1] == quote {
				i++
				continue
			}
			return t.take(kind, i+1)
		}
	}
	return t.take(tokenInvalid, len(t.sql))
}

// dollar reads a heredoc $tag$…$tag$, or else a word that starts with a dollar.
func (t *tokenizer) dollar() token {
	i := t.at + 1
	for i < len(t.sql) && (isWordStart(t.sql[i]) || isDigit(t.sql[i])) {
		i++
	}
	if i >= len(t.sql) || t.sql[i] != '$' {
		return t.word(tokenWord)
	}
	tag := t.sql[t.at : i+1]
	end := strings.Index(t.sql[i+1:], tag)
	if end < 0 {
		return t.word(tokenWord)
	}
	return t.take(tokenString, i+1+end+len(tag))
}

func (t *tokenizer) word(kind tokenKind) token {
	i := t.at + 1
	for i < len(t.sql) && (isWordStart(t.sql[i]) || isDigit(t.sql[i]) || t.sql[i] == '$') {
		i++
	}
	return t.take(kind, i)
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}

func isWordStart(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// tokens splits a whole statement.
func tokens(sql string) []token {
	t := tokenizer{sql: sql}
	var all []token
	for tok := t.next(); tok.kind != tokenEnd; tok = t.next() {
		all = append(all, tok)
	}
	return all
}

// is reports whether the token is the bare word, in any case.
func (tok token) is(sql, word string) bool {
	return tok.kind == tokenWord && strings.EqualFold(sql[tok.start:tok.end], word)
}

// isSymbol reports whether the token is that one character of punctuation.
func (tok token) isSymbol(sql string, c byte) bool {
	return tok.kind == tokenSymbol && sql[tok.start] == c
}
