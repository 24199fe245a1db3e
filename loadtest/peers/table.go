package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// print writes the tables, one for each concurrency, and what a reader must know
// to judge them.
func (b *bench) print(w io.Writer, m machine) {
	b.printConditions(w, m)
	rows := slices.SortedFunc(slices.Values(b.rows), byTurn)
	for _, c := range b.opts.concurrency {
		fmt.Fprintf(w, "\n%s\n\n", b.heading(fmt.Sprintf("%d goroutines", c)))
		fmt.Fprintln(w, b.table(rows, c))
	}
	fmt.Fprintf(w, `
ops/s: median of %d rounds of %v (least..greatest). p50 and p99: of all rounds. CPU: of all servers of the system, and of
the clients, for one operation, medians. Ratios: medians of the ratios round by round; ~ marks those under %v, which on a
machine with neighbours are no difference.
`, b.opts.rounds, b.opts.each, equalWithin)
	b.printFaults(w, rows)
}

func (b *bench) heading(s string) string {
	if b.opts.markdown {
		return "**" + s + "**"
	}
	return s
}

// table makes the table of one concurrency.
func (b *bench) table(rows []row, concurrency int) string {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"", "system", "ops/s", "p50", "p99", "servers' CPU", "clients' CPU", "/ echo", "godwit / it", "unary / it"})
	var right []table.ColumnConfig
	for i := 3; i <= 10; i++ {
		right = append(right, table.ColumnConfig{Number: i, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	last := workload("")
	for i := range rows {
		r := &rows[i]
		if r.turn.concurrency != concurrency {
			continue
		}
		if last != "" && last != r.turn.workload {
			t.AppendSeparator()
		}
		last = r.turn.workload
		rate := r.rates()
		servers, clients := r.perOp()
		t.AppendRow(table.Row{
			string(r.turn.workload), r.turn.way.name,
			fmt.Sprintf("%s (%s..%s)", count(rate.median), count(rate.least), count(rate.most)),
			millis(r.at(50)), millis(r.at(99)), micros(servers), micros(clients),
			b.over(r, find(rows, echoName, echo, 0)),
			b.under(r, find(rows, godwitName, r.turn.workload, concurrency)),
			b.under(r, find(rows, godwitUnary, r.turn.workload, concurrency)),
		})
	}
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	if t.SetStyle(style); b.opts.markdown {
		return t.RenderMarkdown()
	}
	return t.Render()
}

// find returns the row of one way of asking; of any concurrency if it is 0. It
// is nil if there is none.
func find(rows []row, name string, w workload, concurrency int) *row {
	for i := range rows {
		if t := rows[i].turn; t.way.name == name && t.workload == w && (concurrency == 0 || t.concurrency == concurrency) {
			return &rows[i]
		}
	}
	return nil
}

// over is the ratio of a row to another, and under the other way round; empty
// where there is no other, or where godwit would be compared with itself.
func (b *bench) over(r, other *row) string {
	if other == nil || other == r {
		return ""
	}
	return ratio(ratios(r.samples, other.samples))
}

func (b *bench) under(r, other *row) string {
	if other == nil || r.turn.way.system == other.turn.way.system {
		return ""
	}
	return ratio(ratios(other.samples, r.samples))
}

func ratio(s spread) string {
	if s == (spread{}) {
		return "none"
	}
	mark := ""
	if s.equal() {
		mark = "~"
	}
	return fmt.Sprintf("%s%.2f (%.2f..%.2f)", mark, s.median, s.least, s.most)
}

func (b *bench) printConditions(w io.Writer, m machine) {
	o := b.opts
	fmt.Fprintf(w, "%s\n%d keys of %d B, chosen uniformly, all put before; clients on the same machine; %d rounds of %v after %v of warm-up, the systems in turn\n\n",
		m, o.keys, o.value, o.rounds, o.each, o.warmup)
	for _, s := range b.systems {
		fmt.Fprintf(w, "%s %s: %s (idle: %.1f%% of a core)\n", b.bullet("*"), s.name, s.version, 100*b.idle[s.name])
		for _, line := range s.settings {
			fmt.Fprintf(w, "  %s %s\n", b.bullet("-"), line)
		}
	}
}

func (b *bench) bullet(mark string) string {
	if b.opts.markdown {
		return mark
	}
	return " "
}

// printFaults says what was checked, and what went wrong.
func (b *bench) printFaults(w io.Writer, rows []row) {
	var checked, gets int64
	var found []string
	for i := range rows {
		f := rows[i].faults()
		checked += f.read
		if t := rows[i].turn; t.workload == get {
			for _, s := range rows[i].samples {
				gets += s.ops
			}
		}
		if f.any() {
			t := rows[i].turn
			found = append(found, fmt.Sprintf("%s of %s with %d goroutines%s; the first: %v", t.workload, t.way.name, t.concurrency, f.brief(), f.first))
		}
	}
	fmt.Fprintf(w, "\nChecked: every value of %s gets, and %s keys read again after they were written.\n", count(float64(gets)), count(float64(checked)))
	if len(found) == 0 {
		fmt.Fprintln(w, "No call returned an error, nothing read was wrong, nothing written was missing.")
		return
	}
	for _, line := range found {
		fmt.Fprintf(w, "%s %s\n", b.bullet("*"), line)
	}
}

func (f *faults) any() bool { return f.errors+f.wrong+f.late+f.lost > 0 }

// brief counts what went wrong; empty if nothing did.
func (f *faults) brief() string {
	var out strings.Builder
	for _, c := range []struct {
		n    int64
		what string
	}{
		{f.errors, "errors"}, {f.wrong, "reads wrong"}, {f.late, "writes seen late"}, {f.lost, "writes lost"},
	} {
		if c.n > 0 {
			fmt.Fprintf(&out, ", %d %s", c.n, c.what)
		}
	}
	return out.String()
}

// count writes a number with commas between its thousands.
func count(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func micros(d time.Duration) string {
	return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
}
