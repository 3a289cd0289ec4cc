package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"gatehouse/ingest"
	"gatehouse/ingest/redact"
)

// redactCmd shows what would be stored.
type redactCmd struct {
	Gateway string   `help:"Source type of the lines; without it, by their look." short:"g"`
	Config  string   `help:"Configuration file, for its redaction.key_file." short:"c" type:"existingfile"`
	Files   []string `arg:"" optional:"" help:"Files to read; - or none is standard input."`
}

// Help is printed below the flags.
func (redactCmd) Help() string {
	return `Prints one stored event as JSON per line. Nothing is sent or stored.

Examples:
  gatehouse redact --gateway clf < /var/log/nginx/access.log
  gatehouse redact --gateway kong kong.jsonl | head -1`
}

// Run is the command.
func (c *redactCmd) Run(ctx context.Context, con *console) error {
	if err := checkGateway(c.Gateway); err != nil {
		return err
	}
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	redactor, err := openRedactor(cfg, con)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(con.out)
	var refused rejections
	var buf []byte
	events := 0
	print := func(d ingest.Decoded) error {
		refused.add(d.Rejected)
		for i := range d.Events {
			events++
			buf = append(d.Events[i].AppendJSON(buf[:0]), '\n')
			if _, err := out.Write(buf); err != nil {
				return fmt.Errorf("write events: %w", err)
			}
		}
		return nil
	}
	if len(c.Files) == 0 {
		c.Files = []string{"-"}
	}
	for _, file := range c.Files {
		if err := newLineDecoder(c.Gateway, redactor).each(ctx, con, file, print); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	refused.print(con.err)
	fmt.Fprintf(con.err, "redact: %d events, %d rejected\n", events, refused.count)
	return nil
}

// openRedactor makes the redactor of a configuration; the key file is created on
// the first run.
func openRedactor(cfg config, con *console) (*redact.Redactor, error) {
	if _, err := os.Stat(cfg.Redaction.KeyFile); errors.Is(err, fs.ErrNotExist) && cfg.Redaction.KeyFile != cfg.defaultKeyFile() {
		fmt.Fprintf(con.err, "gatehouse: %s does not exist, making new keys: every process with its own keys sees other fingerprints; share one file\n", safeText(cfg.Redaction.KeyFile))
	}
	keys, err := redact.LoadOrCreateKey(cfg.Redaction.KeyFile)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w: set redaction.key_file to a place this user may write", err)
	}
	if err != nil {
		return nil, err
	}
	return redact.New(redact.Config{Keys: keys})
}
