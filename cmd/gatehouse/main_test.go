package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program: scripts and the tests that kill
// it run it by the name gatehouse.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gatehouse": func() { os.Exit(mainCode()) },
	})
}

// scriptPatience ends a script in which a program runs that should have refused.
const scriptPatience = 2 * time.Minute

// Each file of testdata is a session at the command line: what is typed, what is
// printed, and the exit code.
func TestScripts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // scripts outlive this function: they run in parallel
	testscript.Run(t, testscript.Params{
		Dir:      "testdata",
		Deadline: time.Now().Add(scriptPatience),
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CACHE_HOME", cacheDir())
			env.Setenv("GATEHOUSE_BIN", filepath.SplitList(env.Getenv("PATH"))[0])
			return os.WriteFile(filepath.Join(env.WorkDir, "taken.yaml"), fmt.Appendf(nil, takenConfig, taken.Addr().String()), 0o600)
		},
	})
}

// takenConfig has an address that something else listens at.
const takenConfig = `data_dir: data
listen: 127.0.0.1:0
kafka: {listen: "127.0.0.1:0"}
clickhouse: {listen: %q}
`

// cacheDir is the real user's cache, so that scripts do not fetch the SQL engine
// again.
func cacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return dir
}
