package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// process is a server, whose CPU time is watched.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan error
}

// stopTime is what a process that is asked to end may take.
const stopTime = 20 * time.Second

// startProcess starts a program, its output goes to a file.
func startProcess(log, program string, args ...string) (*process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()                                                                                      // the process has its own
	p := &process{cmd: exec.CommandContext(context.Background(), program, args...), log: log, ended: make(chan error, 1)} // stop ends it
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p, nil
}

// stop asks the process to end, and makes it after a while.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // if it is gone, Wait tells
	late := time.AfterFunc(stopTime, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if err := <-p.ended; err != nil {
		return fmt.Errorf("%s: %w (see %s)", p.cmd.Path, err, p.log)
	}
	return nil
}

// tick is the unit of times in /proc/PID/stat: it is the same on all machines
// that Go runs on. Source: proc_pid_stat(5), sysconf(3).
const tick = 10 * time.Millisecond

// cpu is the CPU time that the process has used, 0 where nobody tells.
func (p *process) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return cpuOf(b)
}

// cpuOf reads the times in user and in kernel mode, the 14th and 15th field. The
// second is a name in parentheses, which may hold anything.
func cpuOf(stat []byte) time.Duration {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(string(fields[11]), 10, 64)   // 0 where nobody tells
	kernel, _ := strconv.ParseInt(string(fields[12]), 10, 64) // likewise
	return time.Duration(user+kernel) * tick
}

// syncs is how many times a file is brought to disk to find the middle.
const syncs = 200

// syncTime is how long the disk below a directory takes to keep 4 KiB that
// replace others, as a recycled log does: the median.
func syncTime(dir string) (_ time.Duration, err error) {
	f, err := os.CreateTemp(dir, "sync")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 4<<10)
	took := make([]time.Duration, syncs+1)
	for i := range took {
		began := time.Now()
		if _, err := f.WriteAt(block, 0); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	took = took[1:] // the first one made the file longer
	slices.Sort(took)
	return took[len(took)/2], nil
}
