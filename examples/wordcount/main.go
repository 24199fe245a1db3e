// Command wordcount counts the words of three texts from three datacenters of
// a godwit cluster at once, and checks that every datacenter ends up with the
// same, right counts.
//
//	godwit demo &
//	go run ./examples/wordcount          # counts
//	go run ./examples/wordcount --check  # compares, changes nothing; exits 7 on a difference
//
// Each text belongs to one datacenter. Its words, A to Z only and in lower case,
// increment the counters "word:the", "word:light", ... and are added to the sets
// "letter:t", "letter:l", ... Counting twice counts double.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/examples/wordcount/words"
)

// Exit codes, as the godwit command has them.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitUnavailable = 4
	exitTimeout     = 5
	exitCheck       = 7
)

// shown is how many differences are printed.
const shown = 20

//go:embed testdata/opticks.txt testdata/gnu.txt testdata/commons.txt
var builtin embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// config is what the flags say.
type config struct {
	targets     []target
	opts        words.Options
	load, check bool
	settle      time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, "wordcount:", err)
		return exitUsage
	}
	for _, t := range cfg.targets {
		c, err := client.Open(ctx, client.Options{Addrs: t.addrs, DC: t.dc, RoundRobin: true, Timeout: cfg.opts.Timeout})
		if err != nil {
			fmt.Fprintln(stderr, "wordcount:", err)
			return exitUsage
		}
		defer func() { _ = c.Close() }() // nothing is on its way any more
		cfg.opts.Clients = append(cfg.opts.Clients, c)
	}
	if cfg.load {
		if err := load(ctx, cfg.opts, stdout, stderr); err != nil {
			return explain(stderr, err)
		}
	}
	if !cfg.check {
		return exitOK
	}
	begin := time.Now()
	found, err := words.Settle(ctx, cfg.opts, cfg.settle, 250*time.Millisecond)
	if err != nil {
		return explain(stderr, err)
	}
	return report(cfg, found, time.Since(begin), stdout)
}

func parse(args []string, stderr io.Writer) (*config, error) {
	cfg := &config{}
	var addrs, demo, texts string
	fs := flag.NewFlagSet("wordcount", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&addrs, "addrs", "", "nodes to ask: `dc=host:port,...`, a datacenter as often as you like")
	fs.StringVar(&demo, "demo", defaultDemo(), "the `FILE` in which a running demo tells its addresses; $GODWIT_DEMO")
	fs.StringVar(&texts, "texts", "", "`FILES` to count, with commas between, the first in the first datacenter and so on (default three texts of its own)")
	fs.StringVar(&cfg.opts.Bucket, "bucket", "default", "`BUCKET` of the counters and sets")
	fs.IntVar(&cfg.opts.Chunk, "chunk", 200, "`WORDS` that are added up before they are sent; 1 sends every occurrence by itself")
	fs.IntVar(&cfg.opts.Workers, "workers", 4, "requests at once for each text")
	fs.DurationVar(&cfg.opts.Timeout, "timeout", 10*time.Second, "of one request")
	fs.BoolVar(&cfg.check, "check", false, "compare all datacenters with the texts and count nothing; exit 7 on a difference")
	fs.BoolVar(&cfg.load, "load", false, "with --check: count first")
	fs.DurationVar(&cfg.settle, "settle", 30*time.Second, "how long --check waits for datacenters to become equal")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %.80q: name texts with --texts", fs.Arg(0))
	}
	cfg.load = cfg.load || !cfg.check
	var err error
	if addrs != "" {
		cfg.targets, err = parseAddrs(addrs)
	} else {
		cfg.targets, err = readDemo(demo)
	}
	if err != nil {
		return nil, err
	}
	cfg.opts.Texts, err = readTexts(texts, cfg.targets)
	return cfg, err
}

func defaultDemo() string {
	if name := os.Getenv("GODWIT_DEMO"); name != "" {
		return name
	}
	return filepath.Join(".godwit", "demo.json")
}

// readTexts reads the files, or the program's own texts, and gives them to the
// datacenters in turn.
func readTexts(files string, targets []target) ([]words.Text, error) {
	open := func(name string) (io.ReadCloser, error) { return builtin.Open(name) }
	names := []string{"testdata/opticks.txt", "testdata/gnu.txt", "testdata/commons.txt"}
	if files != "" {
		open = func(name string) (io.ReadCloser, error) { return os.Open(name) }
		names = strings.Split(files, ",")
	}
	var texts []words.Text
	for i, name := range names {
		f, err := open(name)
		if err != nil {
			return nil, fmt.Errorf("open text: %w", err)
		}
		w, err := words.Read(f)
		_ = f.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		texts = append(texts, words.Text{Name: filepath.Base(name), DC: targets[i%len(targets)].dc, Words: w})
	}
	return texts, nil
}

// load counts, and shows how far it is.
func load(ctx context.Context, o words.Options, stdout, stderr io.Writer) error {
	for _, t := range o.Texts {
		fmt.Fprintf(stdout, "%-14s %6d words, %5d different, from %s\n", t.Name, len(t.Words), len(words.Count(t)), t.DC)
	}
	total := words.Count(o.Texts...).Total()
	var done, told atomic.Int64
	o.Progress = func(n int) {
		tenth := done.Add(int64(n)) * 10 / max(total, 1)
		if before := told.Load(); tenth > before && told.CompareAndSwap(before, tenth) {
			fmt.Fprintf(stderr, "%d%%\n", tenth*10)
		}
	}
	s, err := words.Run(ctx, o)
	fmt.Fprintf(stdout, "counted %d words with %d increments and %d adds in %v\n", s.Words, s.Increments, s.Adds, s.Took.Round(time.Millisecond))
	if s.Unknown+s.Failed > 0 {
		fmt.Fprintf(stdout, "%d words failed, %d may have been counted or not\n", s.Failed, s.Unknown)
	}
	return err
}

// report prints what the check found.
func report(cfg *config, found []words.Difference, took time.Duration, stdout io.Writer) int {
	want := words.Count(cfg.opts.Texts...)
	if len(found) == 0 {
		fmt.Fprintf(stdout, "all %d datacenters have the right count of %d words, and the right %d sets, after %v\n",
			len(cfg.targets), len(want), len(want.Letters()), took.Round(time.Millisecond))
		return exitOK
	}
	for i, d := range found {
		if i == shown {
			fmt.Fprintf(stdout, "... and %d more\n", len(found)-shown)
			break
		}
		fmt.Fprintln(stdout, d)
	}
	fmt.Fprintf(stdout, "%d keys differ; they should hold these texts, counted once and nothing else\n", len(found))
	return exitCheck
}

// explain prints an error and gives its exit code.
func explain(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "wordcount:", err)
	switch {
	case client.IsUnavailable(err):
		return exitUnavailable
	case client.IsTimeout(err):
		return exitTimeout
	}
	return exitError
}
