package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// syncs is how often the disk is timed.
const syncs = 200

// machine is where a run took place.
type machine struct {
	date   string
	model  string
	cores  int
	kernel string
	sync   time.Duration // of 4 KiB, the median
	load   []string      // averages of a minute, before and after
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores of %s, Linux %s, %s, fdatasync of 4 KiB p50 %s, load average %s (2 to 4 of it are the run's own)",
		m.date, m.cores, m.model, m.kernel, runtime.Version(), micros(m.sync), strings.Join(m.load, " before, ")+" after")
}

// look describes the machine. What cannot be read is called unknown. The disk is
// that of dir.
func look(dir string, now time.Time) (machine, error) {
	m := machine{date: now.UTC().Format("2006-01-02 15:04 UTC"), cores: runtime.NumCPU()}
	m.model = field("/proc/cpuinfo", "model name")
	m.kernel = firstWord("/proc/sys/kernel/osrelease")
	m.load = []string{loadAverage()}
	var err error
	m.sync, err = timeSync(dir)
	return m, err
}

func loadAverage() string { return firstWord("/proc/loadavg") }

func firstWord(file string) string {
	text, _ := os.ReadFile(file) // unknown then
	if words := strings.Fields(string(text)); len(words) > 0 {
		return words[0]
	}
	return "unknown"
}

// field finds a line "name : value" of a file.
func field(file, name string) string {
	text, _ := os.ReadFile(file) // unknown then
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// timeSync is the median time of fdatasync behind an append of 4 KiB.
func timeSync(dir string) (median time.Duration, err error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, fmt.Errorf("time the disk: %w", err)
	}
	defer func() { _ = f.Close() }() // what it holds does not matter
	block := make([]byte, 4096)
	var took []time.Duration
	for range syncs {
		if _, err := f.Write(block); err != nil {
			return 0, fmt.Errorf("time the disk: %w", err)
		}
		began := time.Now()
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, fmt.Errorf("time the disk: %w", err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
