package embedded

// admit lets a reader's statement through.
func admit(s *session, sql string) (string, error) { return sql, nil }
