package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gatehouse/detect"
	"gatehouse/rules"
)

// rulesCmd groups what one does with rules.
type rulesCmd struct {
	Lint rulesLintCmd `cmd:"" help:"Check rules, their runbooks and transcripts for mistakes."`
	Test rulesTestCmd `cmd:"" help:"Play each rule's transcript and compare."`
	List rulesListCmd `cmd:"" help:"List the rules that would run."`
}

// rulesLintCmd checks rules.
type rulesLintCmd struct {
	Dir  string `arg:"" optional:"" type:"existingdir" help:"Folder of your own rules; without it, the built-in ones."`
	JSON bool   `help:"One JSON object." name:"json"`
}

// Help is printed below the flags.
func (rulesLintCmd) Help() string {
	return `Each mistake names file, line and column, what was expected, and the nearest valid
name. The language is described in rules/README.md.

Examples:
  gatehouse rules lint
  gatehouse rules lint ./my-rules`
}

// Run is the command.
func (c *rulesLintCmd) Run(con *console) error {
	set, err := ruleFolder(c.Dir)
	if err != nil {
		return err
	}
	if err := set.Lint(); err != nil {
		return usageError{err}
	}
	if c.JSON {
		return con.json(map[string]any{"rules": set.Len(), "mistakes": 0})
	}
	con.printf("%d rules, no mistakes\n", set.Len())
	return nil
}

// ruleFolder is a person's folder alone, or the catalogue.
func ruleFolder(dir string) (rules.Set, error) {
	if dir == "" {
		return rules.Catalog()
	}
	set, err := rules.Load(os.DirFS(dir))
	if err != nil {
		return rules.Set{}, usageError{err}
	}
	if set.Len() == 0 {
		return rules.Set{}, usageError{fmt.Errorf("no rules in %s: a rule is a .yaml file", dir)}
	}
	return set, nil
}

// rulesTestCmd plays transcripts.
type rulesTestCmd struct {
	Dir     string `arg:"" optional:"" type:"existingdir" help:"Folder of your own rules; without it, the built-in ones."`
	Rewrite bool   `help:"Write what was found into the transcripts instead of comparing."`
	JSON    bool   `help:"One JSON object per rule." name:"json"`
}

// Help is printed below the flags.
func (rulesTestCmd) Help() string {
	return `A transcript is the .txt file beside a rule: events, and the findings that must
come of them. --rewrite is for when you have read the difference and want it.

Examples:
  gatehouse rules test
  gatehouse rules test ./my-rules
  gatehouse rules test --rewrite ./my-rules`
}

// Run is the command.
func (c *rulesTestCmd) Run(con *console) error {
	if c.Rewrite && c.Dir == "" {
		return usageError{errors.New("--rewrite needs a folder: the built-in rules are part of the program")}
	}
	set, err := ruleFolder(c.Dir)
	if err != nil {
		return err
	}
	bad := 0
	for _, r := range set.Rules() {
		same, err := c.test(con, r)
		if err != nil {
			return err
		}
		if !same {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d rules do not do what their transcript says", bad, set.Len())
	}
	return nil
}

func (c *rulesTestCmd) test(con *console, r *rules.Rule) (bool, error) {
	got, err := detect.RunTranscript(r, r.Transcript)
	switch {
	case err != nil:
		return false, usageError{err}
	case c.JSON && !c.Rewrite:
		same := r.Transcript != "" && sameText(got, r.Transcript)
		return same, con.json(map[string]any{"rule": r.ID, "ok": same, "transcript": r.Transcript != ""})
	case r.Transcript == "":
		con.printf("none  %s has no transcript\n", r.ID)
		return false, nil
	case sameText(got, r.Transcript):
		con.printf("ok    %s\n", r.ID)
		return true, nil
	case c.Rewrite:
		file := filepath.Join(c.Dir, strings.TrimSuffix(r.File, filepath.Ext(r.File))+".txt")
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil { //nolint:gosec // a test file, for everybody
			return false, fmt.Errorf("rewrite transcript: %w", err)
		}
		con.printf("wrote %s\n", file)
		return true, nil
	}
	con.printf("FAIL  %s\n%s", r.ID, lineDiff(r.Transcript, got))
	return false, nil
}

// sameText compares texts but for line breaks at their end.
func sameText(a, b string) bool { return strings.TrimRight(a, "\n") == strings.TrimRight(b, "\n") }

// lineDiff shows the first lines in which two texts differ.
func lineDiff(want, got string) string {
	w, g := strings.Split(strings.TrimRight(want, "\n"), "\n"), strings.Split(strings.TrimRight(got, "\n"), "\n")
	const most = 10
	var b strings.Builder
	shown := 0
	for i := range max(len(w), len(g)) {
		var a, z string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			z = g[i]
		}
		if a == z {
			continue
		}
		if shown++; shown > most {
			b.WriteString("        …\n")
			break
		}
		fmt.Fprintf(&b, "  line %d\n    says  %s\n    found %s\n", i+1, a, z)
	}
	return b.String()
}

// rulesListCmd lists rules.
type rulesListCmd struct {
	Config string `help:"Configuration file, for rules.dir." short:"c" type:"existingfile"`
	Dir    string `arg:"" optional:"" type:"existingdir" help:"Folder of your own rules, beside the built-in ones."`
	JSON   bool   `help:"One JSON object per rule." name:"json"`
}

// Help is printed below the flags.
func (rulesListCmd) Help() string {
	return `Examples:
  gatehouse rules list
  gatehouse rules list --json ./my-rules`
}

// Run is the command.
func (c *rulesListCmd) Run(con *console) error {
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Dir != "" {
		cfg.Rules.Dir = c.Dir
	}
	set, err := loadRules(cfg.Rules.Dir)
	if err != nil {
		return err
	}
	var table [][]string
	for _, r := range set.Rules() {
		if c.JSON {
			if err := con.json(listed(r)); err != nil {
				return err
			}
			continue
		}
		table = append(table, []string{r.ID, string(r.Severity), strings.Join(r.OWASP, ", "), string(r.Kind), r.Title})
	}
	if !c.JSON {
		con.table([]string{"id", "severity", "owasp", "kind", "title"}, nil, table)
	}
	return nil
}

func listed(r *rules.Rule) any {
	return struct {
		ID       string   `json:"id"`
		Title    string   `json:"title"`
		Severity string   `json:"severity"`
		OWASP    []string `json:"owasp"`
		Attack   []string `json:"attack"`
		Kind     string   `json:"kind"`
		Window   string   `json:"window"`
		When     string   `json:"when"`
		File     string   `json:"file"`
		Runbook  bool     `json:"runbook"`
	}{
		r.ID, r.Title, string(r.Severity), r.OWASP, r.Attack, string(r.Kind), r.Window.String(), r.When.Source(), r.File, r.Runbook != nil,
	}
}
