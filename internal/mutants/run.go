package mutants

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// parallel is how many mutants are tried at once. Each is a build and a test
// run of its own, so more would only slow the tests towards their timeouts.
const parallel = 2

// defaultTimeout bounds the tests of one mutant.
const defaultTimeout = time.Minute

// insideEnv marks the test processes that Run starts.
const insideEnv = "GODWIT_MUTANT"

// Run tries every mutant of list on the module at root, two at a time, and
// returns the results in the order of list. The tests of each are run without
// the bug first: tests that fail anyway, or do not exist, judge nothing.
//
// It may be called from a test; GOFLAGS and the rest of the environment are
// inherited. The tests that it starts may include its caller's: in there it
// returns nothing at once. When ctx ends, what has not been judged is Invalid.
// Each, if there is one, is told of every result as it comes, one after the other.
func Run(ctx context.Context, root string, list []Mutant, each func(Result)) []Result {
	if os.Getenv(insideEnv) != "" {
		return nil
	}
	r := &runner{root: root, baselines: map[string]*baseline{}}
	results := make([]Result, len(list))
	next := make(chan int)
	var telling sync.Mutex
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for i := range next {
				results[i] = r.try(ctx, list[i])
				if each != nil {
					telling.Lock()
					each(results[i])
					telling.Unlock()
				}
			}
		})
	}
	for i := range list {
		next <- i
	}
	close(next)
	workers.Wait()
	return results
}

// runner holds what the mutants of one Run share. Safe for concurrent use.
type runner struct {
	root      string
	mu        sync.Mutex
	baselines map[string]*baseline // by packages and run
}

// baseline is the run of some tests on the tree as it is, made once.
type baseline struct {
	once sync.Once
	err  error
}

// try judges one mutant.
func (r *runner) try(ctx context.Context, m Mutant) (res Result) {
	res.Mutant = m
	began := time.Now()
	defer func() { res.Took = time.Since(began) }()

	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		res.Err = fmt.Errorf("make a scratch directory: %w", err)
		return res
	}
	defer func() { res.Err = errors.Join(res.Err, os.RemoveAll(dir)) }()

	overlay, err := r.plant(m, dir)
	if err != nil {
		res.Err = err
		return res
	}
	if res.Err = r.baseline(ctx, m); res.Err != nil {
		return res
	}
	seen, err := goTest(ctx, r.root, m, "-count=1", "-overlay="+overlay)
	switch {
	case err != nil:
		res.Err = err
	case seen.broken != "":
		res.Err = fmt.Errorf("the mutant does not build:\n%s", seen.broken)
	case seen.failed:
		res.Outcome, res.By = Caught, seen.failures
	default:
		res.Outcome = Survived
	}
	return res
}

// plant writes the patched file and the overlay that puts it in the place of
// the original, both into dir, and returns the overlay's path.
func (r *runner) plant(m Mutant, dir string) (string, error) {
	if err := m.check(); err != nil {
		return "", err
	}
	original, err := filepath.Abs(filepath.Join(r.root, filepath.FromSlash(m.File)))
	if err != nil {
		return "", fmt.Errorf("find %s: %w", m.File, err)
	}
	text, err := os.ReadFile(original)
	if err != nil {
		return "", fmt.Errorf("read the file to mutate: %w", err)
	}
	changed, err := m.apply(string(text))
	if err != nil {
		return "", err
	}
	patched := filepath.Join(dir, "patched.go")
	if err := os.WriteFile(patched, []byte(changed), 0o600); err != nil {
		return "", fmt.Errorf("write the mutated file: %w", err)
	}
	// The format is that of cmd/go: {"Replace": {original: replacement}}.
	text, err = json.Marshal(map[string]map[string]string{"Replace": {original: patched}})
	if err != nil {
		return "", fmt.Errorf("encode the overlay: %w", err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return overlay, nil
}

// baseline returns why the tests of m cannot judge anything, nil if they can.
func (r *runner) baseline(ctx context.Context, m Mutant) error {
	key := strings.Join(m.Packages, " ") + " " + m.Run
	r.mu.Lock()
	b := r.baselines[key]
	if b == nil {
		b = &baseline{}
		r.baselines[key] = b
	}
	r.mu.Unlock()
	b.once.Do(func() {
		seen, err := goTest(ctx, r.root, m)
		switch {
		case err != nil:
			b.err = err
		case seen.broken != "":
			b.err = fmt.Errorf("without the mutant, %s does not build:\n%s", strings.Join(m.Packages, " "), seen.broken)
		case seen.failed:
			b.err = fmt.Errorf("tests fail without the mutant: %s", strings.Join(seen.failures, " "))
		case seen.ran == 0:
			b.err = fmt.Errorf("no test of %s matches %q", strings.Join(m.Packages, " "), cmp.Or(m.Run, "."))
		}
	})
	return b.err
}
