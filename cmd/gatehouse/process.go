package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// processSpec is this program with other arguments: a part of gatehouse chaos or
// of gatehouse bench ingest, which is to be killed, or measured, apart from the
// rest.
type processSpec struct {
	name string   // in errors
	args []string // the first is the command
	env  []string // added to the environment
	log  string   // file that its standard error is added to
	attr *syscall.SysProcAttr
	// ready looks at each line of standard output until it says that the process
	// has come up with it.
	ready func(line string) bool
}

// process is a running one, or one that has ended.
type process struct {
	processSpec
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	up     chan struct{} // closed when it has come up
	exited chan struct{} // closed when it has ended
	err    error         // how, once it has
}

// Patience with processes.
const (
	processPatience = time.Minute      // to come up, or to end
	enginePatience  = 10 * time.Minute // to come up: the first start of all fetches the SQL engine
)

// start starts the process and does not wait for it. It dies with this one, and
// Ctrl-C does not reach it.
func (s processSpec) start() (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: find this program: %w", s.name, err)
	}
	p := &process{processSpec: s, cmd: exec.Command(exe, s.args...), up: make(chan struct{}), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), s.env...)
	p.cmd.SysProcAttr = cmp.Or(s.attr, childAttributes())
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: open its log: %w", s.name, err)
	}
	defer log.Close()
	p.cmd.Stderr = log
	stdin, err1 := p.cmd.StdinPipe()
	stdout, err2 := p.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, p.cmd.Start()); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	p.stdin = stdin
	go p.watch(stdout)
	return p, nil
}

// watch sees the process come up and end.
func (p *process) watch(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	for up := false; lines.Scan(); {
		if !up && p.ready(lines.Text()) {
			up = true
			close(p.up)
		}
	}
	_, _ = io.Copy(io.Discard, stdout) // behind a line that is too long
	p.err = p.cmd.Wait()
	close(p.exited)
}

// await waits until the process has come up. One that does not is killed.
func (p *process) await(ctx context.Context, patience time.Duration) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	var err error
	select {
	case <-p.up:
		return nil
	case <-p.exited:
		return p.ended()
	case <-limit.C:
		err = fmt.Errorf("%s did not come up in %s: %s", p.name, patience, p.lastWords())
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.kill()
	return err
}

// running says whether the process is there.
func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// ended is the error of a process that has ended by itself.
func (p *process) ended() error {
	return fmt.Errorf("%s ended by itself: %w: %s", p.name, orClean(p.err), p.lastWords())
}

func orClean(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// kill ends the process with SIGKILL, frozen or not.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// signal sends a signal.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %s to %s: %w", s, p.name, err)
	}
	return nil
}

// hangUp ends the process's standard input, which ends a process that listens to it.
func (p *process) hangUp() error {
	if err := p.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return nil
}

// terminate is SIGTERM, which ends a process as an operator does.
func (p *process) terminate() error { return p.signal(syscall.SIGTERM) }

// stop asks the process to end, by hangUp or terminate, and waits until it has. It
// is an error if it does not end well.
func (p *process) stop(ask func() error) error {
	if err := ask(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	limit := time.NewTimer(processPatience)
	defer limit.Stop()
	select {
	case <-p.exited:
	case <-limit.C:
		p.kill()
		return fmt.Errorf("%s did not end in %s and was killed: %s", p.name, processPatience, p.lastWords())
	}
	if p.err != nil {
		return p.ended()
	}
	return nil
}

// lastWords is the end of the process's log: where the reason for its end is.
func (p *process) lastWords() string {
	const enough = 2 << 10
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("its log %s ends with:\n%s", p.log, strings.TrimSpace(string(text[max(0, len(text)-enough):])))
}
