package rules

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed catalog
var catalog embed.FS

// Catalog is the rules that come with the binary.
func Catalog() (Set, error) {
	sub, err := fs.Sub(catalog, "catalog")
	if err != nil {
		return Set{}, fmt.Errorf("open catalogue: %w", err)
	}
	return Load(sub)
}

// Load reads every .yaml file below the root of fsys, and beside each the
// runbook (.md) and transcript (.txt) of the same name where they exist. All
// errors are reported together, each an [Error] naming the file and place.
func Load(fsys fs.FS) (Set, error) {
	var s Set
	var errs []error
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || (path.Ext(name) != ".yaml" && path.Ext(name) != ".yml") {
			return nil
		}
		r, err := loadFile(fsys, name)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		s.rules = append(s.rules, r)
		return nil
	})
	if err != nil {
		errs = append(errs, fmt.Errorf("read rules: %w", err))
	}
	if len(s.rules) > MaxRules {
		errs = append(errs, fmt.Errorf("read rules: %d rules: want at most %d", len(s.rules), MaxRules))
	}
	errs = append(errs, s.sort()...)
	return s, errors.Join(errs...)
}

// sort orders the rules and reports ids that occur twice.
func (s *Set) sort() []error {
	slices.SortStableFunc(s.rules, func(a, b *Rule) int { return compare(a.ID, b.ID) })
	var errs []error
	for i := 1; i < len(s.rules); i++ {
		if a, b := s.rules[i-1], s.rules[i]; a.ID == b.ID {
			errs = append(errs, &Error{File: b.File, Msg: fmt.Sprintf("id %q is taken by %s: want another id", b.ID, a.File)})
		}
	}
	return errs
}

func loadFile(fsys fs.FS, name string) (*Rule, error) {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("read rule: %w", err)
	}
	r, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(name, path.Ext(name))
	r.Class = path.Base(path.Dir(name))
	if md, err := fs.ReadFile(fsys, base+".md"); err == nil {
		if r.Runbook, err = parseRunbook(base+".md", md); err != nil {
			return nil, err
		}
	}
	if txt, err := fs.ReadFile(fsys, base+".txt"); err == nil {
		r.Transcript = string(txt)
	}
	return r, nil
}

// Parse reads and compiles one rule; name is for messages only. The rule has no
// runbook and no transcript.
func Parse(name string, data []byte) (*Rule, error) {
	r, err := read(name, data)
	if err != nil {
		return nil, err
	}
	return r.build()
}

// Merge lays the rules of over on top of s. A rule whose id s has already is
// an error, unless it says override: true; then it replaces that rule, and
// takes over its runbook where it has none of its own.
func (s Set) Merge(over Set) (Set, error) {
	out := Set{slices.Clone(s.rules)}
	var errs []error
	for _, r := range over.rules {
		i := slices.IndexFunc(out.rules, func(o *Rule) bool { return o.ID == r.ID })
		switch {
		case i < 0:
			out.rules = append(out.rules, r)
		case !r.Override:
			errs = append(errs, &Error{File: r.File, Msg: fmt.Sprintf(
				"id %q is a rule of the catalogue (%s): choose another id, or say override: true to replace it", r.ID, out.rules[i].File)})
		default:
			out.rules[i] = replace(out.rules[i], r)
		}
	}
	errs = append(errs, out.sort()...)
	return out, errors.Join(errs...)
}

func replace(old, with *Rule) *Rule {
	r := *with
	if r.Runbook == nil {
		r.Runbook = old.Runbook
	}
	return &r
}
