package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

// childEnv makes the test binary a process that runs engines and nothing else:
// it holds the JSON of its Config.
const childEnv = "GATEHOUSE_EMBEDDED_TEST_CHILD"

// access is what a child says once its engines run.
type access struct {
	ClickHouse ClickHouse
	Kafka      string
	Err        string
}

// child runs engines until its standard input ends, then closes them.
func child(config string) {
	var cfg Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	e, err := Start(context.Background(), cfg)
	if err != nil {
		json.NewEncoder(os.Stdout).Encode(access{Err: err.Error()})
		os.Exit(0)
	}
	json.NewEncoder(os.Stdout).Encode(access{ClickHouse: e.ClickHouse(), Kafka: e.Kafka()})
	io.Copy(io.Discard, os.Stdin)
	if err := e.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4)
	}
	os.Exit(0)
}

// process is a child of a test.
type process struct {
	access
	cmd   *exec.Cmd
	stdin io.Closer
}

// spawn starts engines in a process of their own and waits until they run or
// refuse to.
func spawn(t testing.TB, cfg Config) *process {
	t.Helper()
	config, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(config))
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the child said nothing: %v", err)
	}
	if err := json.Unmarshal(line, &p.access); err != nil {
		t.Fatal(err)
	}
	return p
}

// kill is kill -9.
func (p *process) kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.cmd.Wait()
}

// end closes the engines and waits for the process to exit by itself.
func (p *process) end(t testing.TB) {
	t.Helper()
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the child did not end cleanly: %v", err)
	}
}
