// Package dashboards holds what operators look at: Grafana dashboards on
// ClickHouse and on Prometheus, and Prometheus recording and alerting rules.
//
// The files are what people import; the package exists so that they cannot rot.
// [Queries] gives every SQL text as Grafana would send it, and [Metrics] every
// metric that a panel or a rule asks for, so that tests can run the ones on the
// real schema and look the others up in the real registry: Grafana itself shows
// "No data" for a wrong column and a wrong name alike.
package dashboards

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
)

//go:embed grafana prometheus
var files embed.FS

// Grafana is the folder of dashboards (*.json) and of provisioning files
// (provisioning/*.yaml).
func Grafana() fs.FS { return folder("grafana") }

// Prometheus is the folder of recording and alerting rules.
func Prometheus() fs.FS { return folder("prometheus") }

func folder(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // the name is a constant of this file
	}
	return sub
}

// Names lists the dashboard files, sorted.
func Names() []string {
	names, err := fs.Glob(Grafana(), "*.json")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	slices.Sort(names)
	return names
}

// load reads one dashboard file.
func load(name string) (*board, error) {
	text, err := fs.ReadFile(Grafana(), name)
	if err != nil {
		return nil, fmt.Errorf("read dashboard: %w", err)
	}
	return parseBoard(name, text)
}
