package rules

import "fmt"

// suggest names the nearest of the valid names, as ": did you mean `x`?", or
// nothing when none is near.
func suggest(got string, names []string) string {
	best, at := "", 1+max(1, len(got)/3)
	for _, name := range names {
		if d := distance(got, name); d < at {
			best, at = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean `%s`?", best)
}

// distance is the number of single-letter edits, swaps of neighbours included,
// between two short names.
func distance(a, b string) int {
	prev2, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(b)]
}
