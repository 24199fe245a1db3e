package bench

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is the figures of a run.
type Result struct {
	Nodes, Keys, Rounds int
	For                 time.Duration
	Sync                time.Duration // what bringing 4 KiB to disk takes, p50, nothing else going on
	Against             bool          // there were two builds
	Rows                []Row
}

// Row is one load with its figures, one for each round.
type Row struct {
	Op, Way string
	Workers int
	Build   string // "" for the echo, "this" or "against"
	Figures []Figure
}

func (r *Result) add(l *load, build string, f Figure) {
	if row := r.find(l.op, l.way, l.workers, build); row != nil {
		row.Figures = append(row.Figures, f)
		return
	}
	r.Rows = append(r.Rows, Row{Op: l.op, Way: l.way, Workers: l.workers, Build: build, Figures: []Figure{f}})
}

func (r *Result) find(op, way string, workers int, build string) *Row {
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Op == op && row.Way == way && row.Workers == workers && row.Build == build {
			return row
		}
	}
	return nil
}

// top is the best rate of an operation in a round, 0 if it was not measured.
func (r *Result) top(op, build string, round int) (best float64) {
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Op == op && row.Build == build && round < len(row.Figures) {
			best = max(best, row.Figures[round].Rate)
		}
	}
	return best
}

// median is that of what f tells of the rounds.
func (r *Row) median(f func(i int) float64) float64 {
	all := make([]float64, len(r.Figures))
	for i := range all {
		all[i] = f(i)
	}
	slices.Sort(all)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

// micros is the median of times, in microseconds.
func (r *Row) micros(of func(Figure) time.Duration) float64 {
	return r.median(func(i int) float64 { return float64(of(r.Figures[i])) / float64(time.Microsecond) })
}

// rates is the median of the ratios of two rates, round by round, and cpus that
// of the CPU of an operation.
func (r *Row) rates(to *Row) float64 {
	return r.median(func(i int) float64 { return r.Figures[i].Rate / to.Figures[i].Rate })
}

func (r *Row) cpus(to *Row) float64 {
	return r.median(func(i int) float64 { return float64(r.Figures[i].CPU) / float64(max(to.Figures[i].CPU, 1)) })
}

// beside is a ratio as a table shows it: nothing where there is none.
func (r *Row) beside(to *Row, ratio func(*Row, *Row) float64) string {
	if to == nil || to == r {
		return ""
	}
	return fmt.Sprintf("%.2f", ratio(r, to))
}

// String is a table, a row for each load.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d nodes, %d keys, values of %d B, median of %d rounds of %v; CPU is that of all servers for one operation;\n"+
		"-half is at half of the best rate of its round, from when each was due; an fsync of 4 KiB took %v before\n\n",
		r.Nodes, r.Keys, ValueBytes, r.Rounds, r.For, r.Sync.Round(time.Microsecond))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	head := "load\top/s\tp50\tp99\tCPU\tof echo's rate\tof its CPU\tof put's rate"
	if r.Against {
		head += "\trate, CPU over the other build's"
	}
	fmt.Fprintln(t, head)
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Build != "against" {
			fmt.Fprintln(t, r.line(row))
		}
	}
	_ = t.Flush() // a Builder takes everything
	return b.String()
}

func (r *Result) line(row *Row) string {
	echo, put := r.find("echo", unary, 64, ""), r.find("put", row.Way, row.Workers, row.Build)
	cols := []string{
		fmt.Sprintf("%s, %d by %s", row.Op, row.Workers, row.Way),
		fmt.Sprintf("%.0f", row.median(func(i int) float64 { return row.Figures[i].Rate })),
		fmt.Sprintf("%.0f µs", row.micros(func(f Figure) time.Duration { return f.P50 })),
		fmt.Sprintf("%.0f µs", row.micros(func(f Figure) time.Duration { return f.P99 })),
		fmt.Sprintf("%.1f µs", row.micros(func(f Figure) time.Duration { return f.CPU })),
		row.beside(echo, (*Row).rates), row.beside(echo, (*Row).cpus), row.beside(put, (*Row).rates),
	}
	if old := r.find(row.Op, row.Way, row.Workers, "against"); old != nil {
		cols = append(cols, fmt.Sprintf("%.2f, %.2f", row.rates(old), row.cpus(old)))
	}
	return strings.Join(cols, "\t")
}
