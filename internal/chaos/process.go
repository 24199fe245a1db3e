package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is one `godwit serve`. It is started again after its end.
type process struct {
	id     string
	binary string
	dir    string   // of the data
	log    string   // file that its output is appended to
	args   []string // after serve
	http   string   // where it serves operators

	cmd    *exec.Cmd  // nil while it does not run
	ended  chan error // holds how cmd ended, once it has
	frozen bool
}

// start starts the process with more arguments than its own.
func (p *process) start(more ...string) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log of %s: %w", p.id, err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	args := append(append([]string{"serve", "--data", p.dir, "--test-volatile"}, p.args...), more...)
	fmt.Fprintf(log, "--- godwit %v\n", args)
	cmd := exec.CommandContext(context.Background(), p.binary, args...) // it is ended by kill and stop
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.id, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	p.cmd, p.ended, p.frozen = cmd, ended, false
	return nil
}

// died reports that the process ended although nobody wanted it to.
func (p *process) died() error {
	if p.cmd == nil {
		return nil
	}
	select {
	case err := <-p.ended:
		p.cmd = nil
		return fmt.Errorf("%s ended by itself: %w", p.id, cmp.Or(err, errors.New("without an error")))
	default:
		return nil
	}
}

// signal sends a signal to a process that runs.
func (p *process) signal(s syscall.Signal) error {
	if p.cmd == nil {
		return fmt.Errorf("send %v to %s: it does not run", s, p.id)
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.id, err)
	}
	return nil
}

// kill ends the process without telling it.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	err := <-p.ended
	if p.cmd = nil; err == nil {
		return fmt.Errorf("%s ended by itself before it was killed", p.id)
	}
	return nil
}

// freeze stops the process where it stands, and thaw lets it go on.
func (p *process) freeze() error {
	p.frozen = true
	return p.signal(syscall.SIGSTOP)
}

func (p *process) thaw() error {
	p.frozen = false
	return p.signal(syscall.SIGCONT)
}

// stopTime is what a process that is asked to end may take.
const stopTime = 20 * time.Second

// stop asks the process to end and reports how it did.
func (p *process) stop() error {
	if p.cmd == nil {
		return nil
	}
	if p.frozen {
		_ = p.thaw() // if it is gone, Wait tells
	}
	_ = p.signal(syscall.SIGTERM) // likewise
	process := p.cmd.Process
	timer := time.AfterFunc(stopTime, func() { _ = process.Kill() })
	err := <-p.ended
	timer.Stop()
	p.cmd = nil
	if err != nil {
		return fmt.Errorf("%s was asked to end: %w", p.id, err)
	}
	return nil
}

// gives waits until the process ends by itself, and not well, for a reason that it has.
func (p *process) gives(within time.Duration, reason string) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case err := <-p.ended:
		p.cmd = nil
		if err == nil {
			return fmt.Errorf("%s ended well, although %s", p.id, reason)
		}
		return nil
	case <-timer.C:
		err := p.kill()
		return errors.Join(fmt.Errorf("%s still ran after %v, although %s", p.id, within, reason), err)
	}
}

// refuses starts the process and reports an error unless it ends by itself, and
// not well, within a time.
func (p *process) refuses(within time.Duration) error {
	if err := p.start(); err != nil {
		return err
	}
	return p.gives(within, "it should have refused to start")
}

// copyDir copies a directory with what is in it.
func copyDir(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}
