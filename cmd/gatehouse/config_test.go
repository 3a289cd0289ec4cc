package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The example in deploy/config is a configuration, and shows every member.
func TestTheExampleShowsEveryMember(t *testing.T) {
	const path = "../../deploy/config/gatehouse.yaml"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseConfig(path, text); err != nil {
		t.Fatal(err)
	}
	for _, name := range members(reflect.TypeFor[config]()) {
		if !strings.Contains(string(text), name+":") {
			t.Errorf("%s does not show %s", path, name)
		}
	}
}

// members lists the YAML names of a configuration struct and of those in it.
func members(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		if name == "" {
			continue
		}
		names = append(names, name)
		if t.Field(i).Type.Kind() == reflect.Struct {
			names = append(names, members(t.Field(i).Type)...)
		}
	}
	return names
}

// What the example calls defaults are the defaults.
func TestDefaults(t *testing.T) {
	t.Setenv("HOME", "/home/ana")
	c, err := loadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range [][2]string{
		{c.DataDir, "/home/ana/.local/share/gatehouse"}, {c.Listen, "127.0.0.1:9470"},
		{c.Kafka.Listen, "127.0.0.1:19092"}, {c.ClickHouse.Listen, "127.0.0.1:18123"}, {c.Kafka.Group, "gatehouse"},
		{c.Kafka.FeedTopic, "gatehouse-feed"}, {c.Redaction.KeyFile, "/home/ana/.local/share/gatehouse/keys.yaml"},
	} {
		if d[0] != d[1] {
			t.Errorf("default %q: want %q", d[0], d[1])
		}
	}
	if len(c.Kafka.Topics) != 1 {
		t.Errorf("default topics %v", c.Kafka.Topics)
	}
}

// A secret comes from its file without the line's end, else from its variable.
func TestSecret(t *testing.T) {
	file := t.TempDir() + "/secret"
	if err := os.WriteFile(file, []byte("from the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_SECRET", "from the variable")
	for _, c := range []struct{ file, env, want string }{
		{file, "TEST_SECRET", "from the file"}, {"", "TEST_SECRET", "from the variable"}, {"", "", ""},
	} {
		if got, err := secret("field", c.file, c.env); err != nil || got != c.want {
			t.Errorf("secret(%q, %q) = %q, %v: want %q", c.file, c.env, got, err, c.want)
		}
	}
	if _, err := secret("clickhouse.password_file", "/nonexistent", ""); err == nil || !strings.Contains(err.Error(), "clickhouse.password_file") {
		t.Errorf("got %v: want the field's name", err)
	}
}
