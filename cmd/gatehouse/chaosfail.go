package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"gatehouse/ingest"
)

// failpointEnv plants a fault in an ingester: step:times:parent. The process ends
// itself, as kill -9 does, when it is at that step for that time. parent is the
// process id of the chaos run that set it, so that a variable left behind in a
// shell or a unit file is an error and not a process that dies.
const failpointEnv = "GATEHOUSE_FAILPOINT"

// plantedFailpoint is the failpoint that a chaos run has planted in this process;
// nil when there is none.
func plantedFailpoint() (func(ingest.Step), error) {
	text := os.Getenv(failpointEnv)
	if text == "" {
		return nil, nil
	}
	step, times, err := parseFailpoint(text, os.Getppid())
	if err != nil {
		return nil, usageError{fmt.Errorf("read %s: %w", failpointEnv, err)}
	}
	return failAt(step, times, dieNow), nil
}

func failpointText(step ingest.Step, times int) string {
	return fmt.Sprintf("%s:%d:%d", step, times, os.Getpid())
}

func parseFailpoint(text string, parent int) (ingest.Step, int64, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return "", 0, fmt.Errorf("%q: want step:times:parent; it is for gatehouse chaos alone, unset it", text)
	}
	step := ingest.Step(parts[0])
	if !slices.Contains(ingest.Steps(), step) {
		return "", 0, fmt.Errorf("step %q: want one of %v", step, ingest.Steps())
	}
	times, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || times < 1 {
		return "", 0, fmt.Errorf("times %q: want a positive number", parts[1])
	}
	if parts[2] != strconv.Itoa(parent) {
		return "", 0, fmt.Errorf("parent %q: this process was not started by it: only gatehouse chaos plants failpoints, unset the variable", parts[2])
	}
	return step, times, nil
}

// failAt calls die when step is reached for the given time.
func failAt(step ingest.Step, times int64, die func()) func(ingest.Step) {
	var seen atomic.Int64
	return func(at ingest.Step) {
		if at == step && seen.Add(1) == times {
			die()
		}
	}
}

// dieNow ends this process as kill -9 does: no deferred call runs, nothing is
// flushed.
func dieNow() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // the signal is on its way
}
