package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Exit codes of the program.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// usageError is a mistake in what the person gave: an argument, a configuration
// or rule file. It exits with exitUsage.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode ends the program with a code of its own; what there is to say has been
// printed.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// cli is the command line: one field per subcommand.
type cli struct {
	Demo    demoCmd    `cmd:"" help:"Show the whole path on this machine: attacks in, incidents out."`
	Run     runCmd     `cmd:"" help:"Run the pipeline: ingest, detect and alert."`
	Leave   leaveCmd   `cmd:"" help:"Take a member that is not to come back out of the consumer group."`
	Ship    shipCmd    `cmd:"" help:"Send log lines to Kafka."`
	Query   queryCmd   `cmd:"" help:"Run one SQL query over the stored events."`
	Redact  redactCmd  `cmd:"" help:"Show what would be stored of log lines."`
	Detect  detectCmd  `cmd:"" help:"Find attacks in log files, without any service."`
	Rules   rulesCmd   `cmd:"" help:"Check, test and list detection rules."`
	Migrate migrateCmd `cmd:"" help:"Bring the ClickHouse schema up to date."`
	Doctor  doctorCmd  `cmd:"" help:"Check the configuration and everything it points at."`
	Schema  schemaCmd  `cmd:"" help:"Print the JSON Schema of an event or a finding."`
	Bench   benchCmd   `cmd:"" help:"Measure the whole path on this machine."`
	Chaos   chaosCmd   `cmd:"" help:"Kill, freeze and cut off the pipeline, and count what is lost."`
	Version versionCmd `cmd:"" help:"Print the version."`

	ChaosEngine chaosEngineCmd `cmd:"" hidden:"" help:"An engine for gatehouse chaos."`
}

const description = `Gatehouse keeps an audit log of API calls and finds attacks in it.

Gateways ship access logs to Kafka; Gatehouse redacts them, stores them in
append-only ClickHouse tables, detects token reuse, enumeration, probing and
volume spikes in seconds, and posts incidents with their runbook to Slack.

Start with: gatehouse demo`

// run parses args, runs the command they name and returns the exit code.
func run(ctx context.Context, args []string, con *console) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("gatehouse"), kong.Description(description),
		kong.Writers(con.out, con.err),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(con),
	)
	if err != nil {
		panic("BUG: command line: " + err.Error())
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	cmd, err := parser.Parse(args)
	if exit >= 0 { // --help has printed and asked to leave
		return exit
	}
	if err != nil {
		return con.fail(usageError{fmt.Errorf("%w: see gatehouse %s--help", err, commandOf(parser, args))})
	}
	return con.fail(runCommand(ctx, cmd))
}

// readers are the commands that only read and print: once they are told to stop,
// nothing of theirs needs to be finished, and standard input may never end.
var readers = []string{"detect", "redact", "query"}

// readerGrace is how long such a command may take to notice.
const readerGrace = 500 * time.Millisecond

func runCommand(ctx context.Context, cmd *kong.Context) error {
	done := make(chan error, 1)
	go func() { done <- cmd.Run() }()
	name, _, _ := strings.Cut(cmd.Command(), " ")
	if !slices.Contains(readers, name) {
		return <-done
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(readerGrace):
		return errors.New("interrupted")
	}
}

// commandOf is the subcommands that args begin with, each with a space behind it,
// for the hint behind a usage error.
func commandOf(parser *kong.Kong, args []string) string {
	node, words := parser.Model.Node, ""
	for _, arg := range args {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == arg })
		if i < 0 {
			break
		}
		node, words = node.Children[i], words+arg+" "
	}
	return words
}

// fail prints err, if there is one, and returns the exit code for it.
func (con *console) fail(err error) int {
	if err == nil {
		return exitOK
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	fmt.Fprintln(con.err, "gatehouse: "+safeLines(err.Error()))
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitError
}
