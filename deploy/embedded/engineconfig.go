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
func writeEngineConfig(dir string) (string, error) {
	config, users := filepath.Join(dir, "clickhouse-config.xml"), filepath.Join(dir, "clickhouse-users.xml")
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	text := strings.ReplaceAll(configXML, "@USERS@", escape.Replace(users))
	if err := writeFileAtomic(users, []byte(usersXML)); err != nil {
		return "", fmt.Errorf("write engine users: %w", err)
	}
	if err := writeFileAtomic(config, []byte(text)); err != nil {
		return "", fmt.Errorf("write engine configuration: %w", err)
	}
	return config, nil
}
