package main

import (
	_ "embed"
	"fmt"
	"runtime/debug"

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
type versionCmd struct{}

// Run is the command.
func (versionCmd) Run(con *console) error {
	version, revision := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			version = v
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value[:min(len(s.Value), 12)]
			}
		}
		con.printf("gatehouse %s%s, event schema %d, %s\n", version, revision, event.Version, info.GoVersion)
	}
	return nil
}
