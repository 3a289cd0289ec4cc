package kafka

import (
	"os"
	"testing"
)

// Require skips a test where no broker can run, and fails it instead where
// CI=true: there the real broker is not optional.
func Require(t testing.TB) {
	t.Helper()
	err := Available()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}
