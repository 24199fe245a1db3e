package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Growth is what puts, memory and disks come to while a datacenter fills.
type Growth struct {
	Nodes int
	For   time.Duration
	Rows  []Size
}

// Size is the figures of a datacenter that holds so many keys. Bytes are those
// of the first node, to which they are most alike; with as many replicas as
// nodes they are all alike.
type Size struct {
	Keys   int
	Filled time.Duration // that filling up to here took
	Put    Figure        // puts to random ones of the keys by 64 goroutines
	Memory int64         // resident bytes of the process
	Cache  int64         // bytes of these that hold blocks
	Disk   int64         // bytes of its directory: not compacted, and with its logs
	Live   int64         // bytes of keys and values
}

// Grow fills an empty datacenter up to each of the sizes, and measures it there.
// Loads of Options are not run.
func Grow(ctx context.Context, o Options, sizes []int) (g *Growth, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return nil, err
	}
	sizes = slices.Sorted(slices.Values(sizes))
	if len(sizes) == 0 || sizes[0] < 1 {
		return nil, errors.New("bench: sizes are numbers of keys, at least 1")
	}
	d, err := startDatacenter(ctx, &o, "this", o.Binary)
	defer func() { err = errors.Join(err, d.stop()) }()
	if err != nil {
		return nil, err
	}
	g = &Growth{Nodes: o.Nodes, For: o.For}
	size := Size{}
	for _, n := range sizes {
		fmt.Fprintf(o.Out, "putting keys up to %d\n", n)
		began := time.Now()
		if err := d.fill(ctx, size.Keys, n); err != nil {
			return nil, err
		}
		for i := size.Keys; i < n; i++ {
			size.Live += int64(len(key(i)) + ValueBytes)
		}
		size.Keys, size.Filled = n, time.Since(began)
		if err := size.measure(ctx, d, o.For); err != nil {
			return nil, err
		}
		g.Rows = append(g.Rows, size)
	}
	return g, nil
}

// measure puts for a while and looks at the first node.
func (s *Size) measure(ctx context.Context, d *datacenter, how time.Duration) (err error) {
	puts := clientLoads(d.client, s.Keys, 64)[0]
	if s.Put, err = puts.run(ctx, how, 0, d.cpu); err != nil {
		return err
	}
	if s.Memory, err = d.procs[0].memory(); err != nil {
		return err
	}
	if s.Cache, err = d.gauge(ctx, "godwit_storage_cache_bytes"); err != nil {
		return err
	}
	s.Disk, err = bytesIn(d.dirs[0])
	return err
}

// memory is the resident set, 0 where nobody tells. Source: proc_pid_status(5).
func (p *process) memory() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	fields := strings.Fields(after)
	if err != nil || len(fields) < 2 {
		return 0, fmt.Errorf("resident set of process %d: %w", p.cmd.Process.Pid, errors.Join(err, errors.ErrUnsupported))
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10, err
}

// gauge asks the first node for a metric without labels.
func (d *datacenter) gauge(ctx context.Context, name string) (int64, error) {
	at := fmt.Sprintf("http://127.0.0.1:%d/metrics", d.nodes[0].Ports.HTTP)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	return gaugeIn(resp.Body, name)
}

// gaugeIn finds a metric in Prometheus' text format.
func gaugeIn(text io.Reader, name string) (int64, error) {
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			f, err := strconv.ParseFloat(rest, 64)
			return int64(f), err
		}
	}
	return 0, errors.Join(lines.Err(), fmt.Errorf("no metric %s", name))
}

// bytesIn is how much the files below a directory hold. Files that go meanwhile
// do not count.
func bytesIn(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return ignoreGone(err)
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return ignoreGone(err)
	})
	return n, err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// String is a table, a row for each size.
func (g *Growth) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d nodes, values of %d B that do not compress; puts to random keys by 64 goroutines for %v;\n"+
		"memory and disk are those of one node, CPU is that of all for one put\n\n", g.Nodes, ValueBytes, g.For)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "keys\tfilled in\tputs/s\tp50\tCPU\tover the first\tresident\tof it block cache\tbeyond it\tdisk\tof keys and values")
	for _, s := range g.Rows {
		fmt.Fprintf(t, "%d\t%.1f s\t%.0f\t%d µs\t%.1f µs\t%.2f\t%.0f MiB\t%.0f MiB\t%.0f MiB\t%.0f MiB\t%.2f\n",
			s.Keys, s.Filled.Seconds(), s.Put.Rate, s.Put.P50.Microseconds(), float64(s.Put.CPU)/1e3,
			float64(s.Put.CPU)/float64(max(g.Rows[0].Put.CPU, 1)),
			mib(s.Memory), mib(s.Cache), mib(s.Memory-s.Cache), mib(s.Disk), float64(s.Disk)/float64(max(s.Live, 1)))
	}
	_ = t.Flush() // a Builder takes everything
	return b.String()
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
