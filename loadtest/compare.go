package loadtest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Comparison is what differs between two runs.
type Comparison struct {
	A, B *Report `json:"-"`
	Rows []Row   `json:"rows"`
	// Unlike lists settings that differ: then rows compare unlike things.
	Unlike []string `json:"unlike"`
}

// Row compares one figure. Noise is how far a figure of one run strays by
// itself: the standard error of its slices of time, as a share of it, of both
// runs together, twice; and never less than what two equal runs on a shared
// machine differ by.
type Row struct {
	What  string  `json:"what"` // rate, p50, p99, visible p50, ...
	DC    string  `json:"dc"`
	Op    string  `json:"op,omitempty"`
	To    string  `json:"to,omitempty"`
	A     float64 `json:"a"`
	B     float64 `json:"b"`
	Ratio float64 `json:"ratio"` // B / A; 0 if A is 0
	Noise float64 `json:"noise"` // 0.3: between 1/1.3 and 1.3 says nothing
	// Verdict is better, worse, or same where the ratio is within the noise.
	Verdict string `json:"verdict"`
}

// leastNoise is what two equal runs differ by on a machine that others use too.
const leastNoise = 0.10

// Compare compares run B with run A.
func Compare(a, b *Report) *Comparison {
	c := &Comparison{A: a, B: b, Rows: []Row{}, Unlike: unlike(a, b)}
	for _, x := range a.Operations {
		i := slices.IndexFunc(b.Operations, func(y OperationResult) bool { return x.DC == y.DC && x.Op == y.Op })
		if i < 0 {
			continue
		}
		y := b.Operations[i]
		pa, pb := a.points(x.DC, x.Op, ""), b.points(x.DC, x.Op, "")
		add := func(what string, va, vb float64, higher bool, of func(Point) float64) {
			c.Rows = append(c.Rows, rowOf(Row{What: what, DC: x.DC, Op: x.Op, A: va, B: vb}, higher, noise(pa, of), noise(pb, of)))
		}
		add("rate", x.Rate, y.Rate, true, func(p Point) float64 { return float64(p.Count) })
		add("p50", x.Latency.P50, y.Latency.P50, false, func(p Point) float64 { return p.P50 })
		add("p99", x.Latency.P99, y.Latency.P99, false, func(p Point) float64 { return p.P99 })
	}
	for _, x := range a.Pairs {
		i := slices.IndexFunc(b.Pairs, func(y PairResult) bool { return x.From == y.From && x.To == y.To })
		if i < 0 {
			continue
		}
		y := b.Pairs[i]
		of := func(p Point) float64 { return p.P50 }
		na, nb := noise(a.points(x.From, "", x.To), of), noise(b.points(x.From, "", x.To), of)
		c.Rows = append(c.Rows,
			rowOf(Row{What: "visible p50", DC: x.From, To: x.To, A: x.Visible.P50, B: y.Visible.P50}, false, na, nb),
			rowOf(Row{What: "visible p99", DC: x.From, To: x.To, A: x.Visible.P99, B: y.Visible.P99}, false, na, nb))
	}
	return c
}

// points are the slices of a series that count: of the load before any fault,
// or of all of it where there is little of that.
func (r *Report) points(dc, op, to string) []Point {
	i := slices.IndexFunc(r.Series, func(s Series) bool { return s.DC == dc && s.Op == op && s.To == to })
	if i < 0 {
		return nil
	}
	end := math.Inf(1)
	if len(r.Faults) > 0 {
		end = r.Faults[0].T
	}
	var calm, all []Point
	for _, p := range r.Series[i].Points {
		if p.T <= r.Slice || p.T > r.Seconds || p.Count == 0 {
			continue
		}
		all = append(all, p)
		if p.T <= end {
			calm = append(calm, p)
		}
	}
	if len(calm) >= 5 {
		return calm
	}
	return all
}

// noise is the standard error of the mean of a figure over slices of time, as a
// share of it. Neighbouring slices go up and down together, so ten blocks are
// taken in place of all of them.
func noise(points []Point, of func(Point) float64) float64 {
	const blocks = 10
	if len(points) < 4 {
		return 0.5 // nothing is known
	}
	n := min(blocks, len(points))
	means := make([]float64, n)
	for i := range n {
		part := points[i*len(points)/n : (i+1)*len(points)/n]
		for _, p := range part {
			means[i] += of(p) / float64(len(part))
		}
	}
	mean, square := 0.0, 0.0
	for _, m := range means {
		mean += m / float64(n)
	}
	if mean == 0 {
		return 0.5
	}
	for _, m := range means {
		square += (m - mean) * (m - mean) / float64(n-1)
	}
	return math.Sqrt(square/float64(n)) / mean
}

func rowOf(r Row, higherIsBetter bool, a, b float64) Row {
	r.Noise = max(leastNoise, 2*math.Hypot(a, b))
	r.Verdict = "same"
	if r.A <= 0 || r.B <= 0 {
		if r.A != r.B {
			r.Verdict = "unlike"
		}
		return r
	}
	r.Ratio = r.B / r.A
	switch {
	case math.Abs(math.Log(r.Ratio)) <= math.Log(1+r.Noise):
	case (r.Ratio > 1) == higherIsBetter:
		r.Verdict = "better"
	default:
		r.Verdict = "worse"
	}
	return r
}

// unlike lists the settings in which two runs differ.
func unlike(a, b *Report) []string {
	out := []string{}
	differ := func(name string, x, y any) {
		if fx, fy := fmt.Sprint(x), fmt.Sprint(y); fx != fy {
			out = append(out, fmt.Sprintf("%s: %s, %s", name, cmp.Or(fx, "none"), cmp.Or(fy, "none")))
		}
	}
	differ("workload", a.Workload, b.Workload)
	differ("version", a.Version, b.Version)
	differ("cpu", a.Machine.CPU, b.Machine.CPU)
	differ("cores", a.Machine.Cores, b.Machine.Cores)
	sa, sb := a.Settings, b.Settings
	differ("loop", sa.Loop, sb.Loop)
	differ("rate", sa.Rate, sb.Rate)
	differ("concurrency", sa.Concurrency, sb.Concurrency)
	differ("keys", sa.Keys, sb.Keys)
	differ("distribution", sa.Distribution, sb.Distribution)
	differ("value size", sa.ValueSize, sb.ValueSize)
	differ("consistency", sa.Consistency, sb.Consistency)
	differ("cluster", sa.Cluster, sb.Cluster)
	differ("datacenters", sa.Datacenters, sb.Datacenters)
	differ("faults", len(a.Faults), len(b.Faults))
	return out
}

// Cells are the rows of a comparison as text, under CompareHeader.
func (c *Comparison) Cells() [][]string {
	var out [][]string
	for _, r := range c.Rows {
		where := r.DC
		if r.To != "" {
			where += " → " + r.To
		}
		unit := shortMS
		if r.What == "rate" {
			unit = func(f float64) string { return fmt.Sprintf("%.0f/s", f) }
		}
		ratio := "-"
		if r.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", r.Ratio)
		}
		out = append(out, []string{where, cmp.Or(r.Op, "-"), r.What, unit(r.A), unit(r.B), ratio, fmt.Sprintf("±%.0f%%", r.Noise*100), r.Verdict})
	}
	return out
}

// CompareHeader names the columns of Cells.
func CompareHeader() []string {
	return []string{"DC", "OP", "FIGURE", "A", "B", "B/A", "NOISE", "VERDICT"}
}

// OperationCells are the operations of a report as text, under OperationHeader.
func (r *Report) OperationCells() [][]string {
	var out [][]string
	for _, o := range r.Operations {
		out = append(out, []string{
			o.DC, o.Op, fmt.Sprintf("%.0f/s", o.Rate), strconv.FormatInt(o.Count, 10), strconv.FormatInt(o.Errors, 10), shortMS(o.Latency.P50), shortMS(o.Latency.P90),
			shortMS(o.Latency.P99), shortMS(o.Latency.P999), shortMS(o.Latency.Max),
		})
	}
	return out
}

// OperationHeader names the columns of OperationCells.
func OperationHeader() []string {
	return []string{"DC", "OP", "RATE", "COUNT", "ERRORS", "P50", "P90", "P99", "P99.9", "MAX"}
}

// PairCells are the pairs of a report as text, under PairHeader.
func (r *Report) PairCells() [][]string {
	var out [][]string
	for _, p := range r.Pairs {
		oneWay := "?"
		excess := []string{"?", "?"}
		if p.OneWayMS != nil {
			oneWay = shortMS(*p.OneWayMS)
			excess = []string{shortMS(p.Excess.P50), shortMS(p.Excess.P99)}
		}
		row := []string{p.From, p.To, oneWay, shortMS(p.Visible.P50), shortMS(p.Visible.P99), shortMS(p.Visible.Max), excess[0], excess[1], shortMS(p.ResolutionMS.P50)}
		for _, phase := range []string{PhaseQuiet, PhaseFault, PhaseAfter} {
			if ph, ok := p.Phases[phase]; ok {
				row = append(row, shortMS(ph.Visible.P50)+" / "+shortMS(ph.Visible.Max))
			} else {
				row = append(row, "-")
			}
		}
		out = append(out, row)
	}
	return out
}

// PairHeader names the columns of PairCells.
func PairHeader() []string {
	return []string{"FROM", "TO", "ONE WAY", "VISIBLE P50", "P99", "MAX", "EXCESS P50", "P99", "RESOLUTION", "QUIET P50/MAX", "FAULT P50/MAX", "AFTER P50/MAX"}
}

// Verdict is the result of the check on a line.
func (c *CheckResult) Verdict() string {
	word := "BROKEN"
	if c.OK() {
		word = "kept"
	}
	converged := "NOT converged"
	if c.Converged {
		converged = "converged after " + shortMS(max(0.001, c.ConvergedAfterMS))
	}
	return fmt.Sprintf("promises %s: acknowledged %d, lost %d, phantom %d, dots reused %d, diverged %d, session violations %d, unknown %d; %s; %d keys judged",
		word, c.Acked, c.Lost, c.Phantom, c.Reused, c.Diverged, c.Sessions, c.Unknown, converged, c.Keys)
}

// Markdown is a table of Markdown.
func Markdown(header []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			b.WriteString(" " + strings.ReplaceAll(c, "|", "\\|") + " |")
		}
		b.WriteString("\n")
	}
	line(header)
	b.WriteString(strings.Repeat("|---", len(header)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

// Markdown is the report as tables of Markdown.
func (r *Report) Markdown() string {
	var b strings.Builder
	s := r.Settings
	loop := fmt.Sprintf("closed loop of %d", s.Concurrency)
	if s.Loop == "open" {
		loop = fmt.Sprintf("open loop of %.0f/s", s.Rate)
	}
	fmt.Fprintf(&b, "Workload %s, %s, %.0f s, %d keys %s, values %s, consistency %s; %s; godwit %s; %s, %d cores, load average %s; %s.\n\n",
		r.Workload, loop, r.Seconds, s.Keys, s.Distribution, s.ValueSize, s.Consistency, s.Cluster, r.Version,
		cmp.Or(r.Machine.CPU, r.Machine.Arch), r.Machine.Cores, cmp.Or(r.Machine.LoadAvg, "unknown"), r.Started.Format("2006-01-02"))
	b.WriteString(Markdown(OperationHeader(), r.OperationCells()))
	if len(r.Pairs) > 0 {
		b.WriteString("\n" + Markdown(PairHeader(), r.PairCells()))
	}
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "\n- at %.1f s: %s", f.T, f.What)
		if f.CaughtUpMS != nil {
			fmt.Fprintf(&b, "; caught up %s later", shortMS(max(0.001, *f.CaughtUpMS)))
		}
	}
	if len(r.Faults) > 0 {
		b.WriteString("\n")
	}
	if r.Check != nil {
		b.WriteString("\n" + r.Check.Verdict() + "\n")
	}
	for _, w := range r.Warnings {
		b.WriteString("\nWarning: " + w + "\n")
	}
	return b.String()
}
