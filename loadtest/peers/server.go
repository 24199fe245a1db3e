package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits of servers.
const (
	readyTime = 60 * time.Second // from their start until all of a system serve
	readyPoll = 100 * time.Millisecond
	stopTime  = 20 * time.Second // after which one that was asked to end is killed
	tailLines = 15               // of a log, shown with an error
	tailBytes = 16 << 10
)

// server is one process of a system.
type server struct {
	name   string
	binary string
	args   []string
	log    string         // file that its output is written to
	end    syscall.Signal // that asks it to end; SIGTERM

	process *os.Process
	ended   chan error // holds how it ended, once it has
}

// start starts the process. It is ended by stop, or with this process.
func (s *server) start() error {
	log, err := os.Create(s.log)
	if err != nil {
		return fmt.Errorf("log of %s: %w", s.name, err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	cmd := exec.CommandContext(context.Background(), s.binary, s.args...)
	cmd.Stdout, cmd.Stderr = log, log
	// A terminal's interrupt is for this process alone, which ends the others.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.process, s.ended = cmd.Process, ended
	return nil
}

// died reports that the process has ended although nobody asked it to, with the
// last lines of its log.
func (s *server) died() error {
	if s.process == nil {
		return nil
	}
	select {
	case err := <-s.ended:
		s.process = nil
		return fmt.Errorf("%s ended by itself: %w\n%s", s.name, cmp.Or(err, errors.New("without an error")), s.tail())
	default:
		return nil
	}
}

// stop asks the process to end, kills it if it does not, and reports if it did
// not end well.
func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	process := s.process
	s.process = nil
	end := cmp.Or(s.end, syscall.SIGTERM)
	_ = process.Signal(end) // if it is gone, ended tells
	timer := time.AfterFunc(stopTime, func() { _ = process.Kill() })
	defer timer.Stop()
	if err := <-s.ended; err != nil && !endedBy(err, end) {
		return fmt.Errorf("%s was asked to end: %w\n%s", s.name, err, s.tail())
	}
	return nil
}

// endedBy tells whether a process ended by a signal that it did not handle, or
// that it sent to itself when it was done.
func endedBy(err error, signal syscall.Signal) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == signal
}

// tail returns the last lines of the log, each indented.
func (s *server) tail() string {
	f, err := os.Open(s.log)
	if err != nil {
		return "    no log: " + err.Error()
	}
	defer func() { _ = f.Close() }() // it was only read
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd) // otherwise the beginning is shown
	}
	text, _ := io.ReadAll(io.LimitReader(f, tailBytes)) // what can be read is shown
	return indent(text)
}

// indent returns the last lines of a text, each behind four blanks.
func indent(text []byte) string {
	lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return "    " + string(bytes.Join(lines, []byte("\n    ")))
}

// cpu is what the process has used of the processors, with those of its children
// that have ended, as /proc/PID/stat tells it.
func (s *server) cpu() (time.Duration, error) {
	if s.process == nil {
		return 0, fmt.Errorf("cpu of %s: it does not run", s.name)
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(s.process.Pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("cpu of %s: %w", s.name, err)
	}
	d, err := parseStat(string(stat))
	if err != nil {
		return 0, fmt.Errorf("cpu of %s: %w", s.name, err)
	}
	return d, nil
}

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every
// architecture that Go runs on.
const tick = 10 * time.Millisecond

// parseStat adds utime, stime, cutime and cstime, fields 14 to 17 of proc(5).
// The second field is a name in parentheses that may hold anything.
func parseStat(stat string) (time.Duration, error) {
	const behindName = 14 - 3 // the name is field 2
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < behindName+4 {
		return 0, fmt.Errorf("%d fields in /proc/PID/stat", len(fields))
	}
	var sum time.Duration
	for _, f := range fields[behindName : behindName+4] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("time in /proc/PID/stat: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// start starts all servers of a system and waits until ready says nil. The error
// of a server that ends instead carries the last lines of its log, and so does
// that of one that takes too long.
func (s *system) start(ctx context.Context, ready func(context.Context) error) error {
	for _, p := range s.servers {
		if err := p.start(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		for _, p := range s.servers {
			if err := p.died(); err != nil {
				return fmt.Errorf("start %s: %w", s.name, err)
			}
		}
		if pause(ctx, readyPoll) == nil {
			continue
		}
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("start %s: %w", s.name, ctx.Err())
		}
		errs := []error{fmt.Errorf("start %s: waited %v in vain: %w", s.name, readyTime, err)}
		for _, p := range s.servers {
			errs = append(errs, fmt.Errorf("%s said last:\n%s", p.name, p.tail()))
		}
		return errors.Join(errs...)
	}
}

// stop ends all servers, at once.
func (s *system) stop() error {
	errs := make(chan error, len(s.servers))
	for _, p := range s.servers {
		go func() { errs <- p.stop() }()
	}
	var all []error
	for range s.servers {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// cpu is what all servers have used. It reports one that has ended.
func (s *system) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, p := range s.servers {
		if err := p.died(); err != nil {
			return 0, err
		}
		d, err := p.cpu()
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// ownCPU is what this process has used.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("cpu of the clients: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
