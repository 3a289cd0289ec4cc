package main

import (
	_ "embed"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"gatehouse/ingest/event"
)

//go:embed finding.schema.json
var findingSchema []byte

// schemaCmd prints a JSON Schema.
type schemaCmd struct {
	What string `arg:"" optional:"" default:"event" enum:"event,finding" help:"event (default) or finding."`
}

// Help is printed below the flags.
func (schemaCmd) Help() string {
	return `Examples:
  gatehouse schema > event.schema.json
  gatehouse schema finding`
}

// Run is the command.
func (c *schemaCmd) Run(con *console) error {
	schema := event.JSONSchema()
	if c.What == "finding" {
		schema = findingSchema
	}
	if _, err := con.out.Write(schema); err != nil {
		return fmt.Errorf("write schema: %w", err)
	}
	return nil
}

// versionCmd prints what this binary is.
type versionCmd struct {
	JSON bool `help:"One JSON object." name:"json"`
}

// Help is printed below the flags.
func (versionCmd) Help() string {
	return `Examples:
  gatehouse version
  gatehouse version --json`
}

// build is what is known of how this binary was made.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Schema   int    `json:"event_schema"`
	Go       string `json:"go"`
}

// Run is the command.
func (c versionCmd) Run(con *console) error {
	b := thisBuild()
	if c.JSON {
		return con.json(b)
	}
	con.printf("gatehouse %s, event schema %d, %s\n", strings.TrimSpace(b.Version+" "+b.Revision), b.Schema, b.Go)
	return nil
}

func thisBuild() build {
	b := build{Version: "devel", Schema: event.Version, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value[:min(len(s.Value), 12)]
		}
	}
	return b
}
