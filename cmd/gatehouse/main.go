// Command gatehouse is an API audit log and anomaly detector: it takes gateways'
// access logs from Kafka, redacts and stores them in ClickHouse, detects attacks
// with rules and baselines, and posts incidents with their runbook to Slack.
//
// Exit codes: 0 done, 1 it failed, 2 the command line or a file given to it is
// wrong.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(mainCode()) }

// mainCode is main for the process's own arguments; it exists apart from main so
// that deferred calls run before the exit, and so that test scripts can call it.
func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	return run(ctx, os.Args[1:], newConsole(os.Stdin, os.Stdout, os.Stderr))
}
