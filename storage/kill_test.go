package storage

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// killDir names the directory to write to, in a process that is to be killed.
const killDir = "GODWIT_STORAGE_KILL_DIR"

func killOptions(dir string) Options {
	o := testOptions(vfs.Default, newWall())
	o.Dir, o.Wall, o.Rand = dir, time.Now, nil
	return o
}

// TestMain turns the test binary into the process to be killed where it is
// asked to be one.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled writes new keys from several goroutines, increments a
// counter, and prints what was acknowledged, a line each.
func writeUntilKilled(dir string) error {
	s, err := Open(killOptions(dir))
	if err != nil {
		return err
	}
	r := s.Replica(testID)
	keys := keysOf(testID.Partition, "b", fmt.Sprintf("life%d-", os.Getpid()), 20_000)
	lines, failed := make(chan string), make(chan error)
	for w := range 4 {
		go func() {
			for i := w; i < len(keys); i += 4 {
				op, key := assign(keys[i].Key), keys[i]
				if i%5 == 0 {
					op, key = add(1), testKey("counter")
				}
				done, err := r.Mutate(&Mutation{Key: key, Op: op})
				if err == nil {
					err = done.Commit.Wait()
				}
				if err != nil {
					failed <- err
					return
				}
				lines <- key.Key
			}
		}()
	}
	for {
		select {
		case l := <-lines:
			if _, err := os.Stdout.WriteString(l + "\n"); err != nil {
				return err
			}
		case err := <-failed:
			return err
		}
	}
}

// TestKilledProcessLosesNothingAcknowledged kills a real process in the middle
// of its writes, three times over the same directory.
func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	increments, lives := int64(0), map[crdt.Actor]bool{}
	counter := testKey("counter")
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		n := 0
		for in := bufio.NewScanner(out); in.Scan(); {
			if in.Text() == counter.Key {
				increments++
			} else {
				acknowledged[in.Text()] = true
			}
			if n++; n == 100*(round+1) { // what it had printed by then is read to the end
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || n < 100*(round+1) {
			t.Fatalf("round %d: %d lines, %v, %s", round, n, err, stderr.String())
		}

		s := open(t, killOptions(dir))
		r := s.Replica(testID)
		for key := range acknowledged {
			if got := text(t, r, crdt.KeyID{Bucket: "b", Key: key}); got != key {
				t.Fatalf("round %d: %s reads %q", round, key, got)
			}
		}
		v := valueOf(t, r, counter).Int // three others may have been on their way
		if v < increments || v > increments+4*int64(round+1) {
			t.Fatalf("round %d: counter is %d after %d acknowledged increments", round, v, increments)
		}
		checkTree(t, r)
		clock := r.Clock()
		if clock.Actors() != round+1 {
			t.Fatalf("round %d: %d actors in the clock, want one a life", round, clock.Actors())
		}
		for a, ranges := range clock.All() {
			if lives[a] = true; len(ranges) != 1 || ranges[0].Lo != 1 {
				t.Fatalf("actor %s has gaps: %v", a, ranges)
			}
		}
		shut(t, s)
	}
	if len(lives) != 3 || len(acknowledged) < 300 || increments < 50 {
		t.Errorf("%d lives, %d keys, %d increments: too little to tell", len(lives), len(acknowledged), increments)
	}
}
