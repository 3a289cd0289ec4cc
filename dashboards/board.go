package dashboards

import (
	"encoding/json"
	"fmt"
)

// board is the part of a dashboard file that is checked and run.
type board struct {
	UID           string
	Title         string
	Description   string
	Tags          []string
	Editable      bool
	SchemaVersion int
	Panels        []panel
	Templating    struct{ List []variable }
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  datasource
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
	Targets []target
}

type datasource struct{ Type, UID string }

// target is one query of a panel: rawSql on ClickHouse, expr on Prometheus.
type target struct {
	Datasource datasource
	EditorType string
	Format     *int // 0 time series, 1 table
	RawSQL     string
	Expr       string
	RefID      string
	Query      any // must not be there: the plugin ignores it without a word
}

type variable struct {
	Name       string
	Type       string // datasource or query
	Multi      bool
	IncludeAll bool
	Datasource datasource
	Query      variableQuery
}

// variableQuery is a string for variables that are data sources, and an object
// for the others.
type variableQuery struct {
	Text       string
	RawSQL     string
	Expr       string
	EditorType string
}

// UnmarshalJSON implements json.Unmarshaler.
func (q *variableQuery) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &q.Text) == nil {
		return nil
	}
	var object struct{ EditorType, RawSQL, Query string }
	if err := json.Unmarshal(data, &object); err != nil {
		return fmt.Errorf("read variable query: %w", err)
	}
	q.EditorType, q.RawSQL, q.Expr = object.EditorType, object.RawSQL, object.Query
	return nil
}

func parseBoard(name string, text []byte) (*board, error) {
	var b board
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("parse dashboard %s: %w", name, err)
	}
	return &b, nil
}
