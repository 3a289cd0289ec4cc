package embedded

import (
	_ "embed"
	"fmt"
	"path/filepath"
	"strings"
)

//go:embed engine-config.xml
var configXML string

//go:embed engine-users.xml
var usersXML string

// writeEngineConfig writes the engine's two configuration files into the data
// directory and returns the path of the first. They are written on every start:
// they belong to the program, not to the user.
func writeEngineConfig(dir string, measuring bool) (string, error) {
	config, users := filepath.Join(dir, "clickhouse-config.xml"), filepath.Join(dir, "clickhouse-users.xml")
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	text, usersText := configXML, usersXML
	if measuring {
		text, usersText = unbounded(text), allGranted(unbounded(usersText))
	}
	text = strings.ReplaceAll(text, "@USERS@", escape.Replace(users))
	if err := writeFileAtomic(users, []byte(usersText)); err != nil {
		return "", fmt.Errorf("write engine users: %w", err)
	}
	if err := writeFileAtomic(config, []byte(text)); err != nil {
		return "", fmt.Errorf("write engine configuration: %w", err)
	}
	return config, nil
}

// allGranted is a users file in which the writer may do anything.
func allGranted(users string) string {
	before, rest, _ := strings.Cut(users, "<grants>")
	_, after, _ := strings.Cut(rest, "</grants>")
	return before + "<grants><query>GRANT ALL ON *.*</query></grants>" + after
}

// unbounded is a configuration without its bounds on memory.
func unbounded(xml string) string {
	var out strings.Builder
	for line := range strings.Lines(xml) {
		if !strings.Contains(line, "<max_memory_usage>") && !strings.Contains(line, "<max_server_memory_usage>") {
			out.WriteString(line)
		}
	}
	return out.String()
}
