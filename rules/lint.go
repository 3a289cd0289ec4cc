package rules

import "errors"

// Lint checks what loading does not: that every rule has its runbook and its
// transcript, and that the runbook keeps its form. All errors are reported
// together.
func (s Set) Lint() error {
	var errs []error
	for _, r := range s.rules {
		if r.Runbook == nil {
			errs = append(errs, &Error{File: r.File, Msg: "no runbook: want a .md file of the same name beside it"})
		} else {
			errs = append(errs, r.Runbook.lint(r)...)
		}
		if r.Transcript == "" {
			errs = append(errs, &Error{File: r.File, Msg: "no transcript: want a .txt file of the same name beside it"})
		}
	}
	return errors.Join(errs...)
}
