package loadtest

import (
	_ "embed" // the parts of the page
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// tile is a figure that stands at the top.
type tile struct{ Value, What, Class string }

// pageTable is a table of text.
type pageTable struct {
	Header []string
	Rows   [][]string
}

// page is what the template shows.
type page struct {
	R          *Report
	CSS        template.CSS
	JS         template.JS
	Loop       string
	Tiles      []tile
	Operations pageTable
	Pairs      pageTable
	Settings   [][2]string
}

// WriteHTML writes the report as one page that needs nothing else: it opens from
// a file, in light and in dark, and loads nothing.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{"caught": caughtUpText}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	p := page{
		R: r, CSS: template.CSS(pageCSS), JS: template.JS(pageJS), //nolint:gosec // our own files
		Loop: r.loopText(), Tiles: r.tiles(), Operations: pageTable{OperationHeader(), r.OperationCells()},
		Pairs: pageTable{PairHeader(), r.PairCells()}, Settings: r.settingsText(),
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

func caughtUpText(ms *float64) string {
	if ms == nil {
		return ""
	}
	return shortMS(max(0.001, *ms)) + " later everything acknowledged before was visible everywhere"
}

func (r *Report) loopText() string {
	if r.Settings.Loop == "open" {
		return fmt.Sprintf("open loop at %.0f operations/s", r.Settings.Rate)
	}
	return fmt.Sprintf("closed loop of %d", r.Settings.Concurrency)
}

// tiles are the figures that a reader looks for first: the worst of each sort.
func (r *Report) tiles() []tile {
	var out []tile
	for _, sort := range []struct {
		write bool
		name  string
	}{{false, "read"}, {true, "write"}} {
		worst, where := 0.0, ""
		for _, o := range r.Operations {
			if o.Write == sort.write && o.Latency.P99 > worst {
				worst, where = o.Latency.P99, o.DC+" "+o.Op
			}
		}
		if where != "" {
			out = append(out, tile{Value: shortMS(worst), What: fmt.Sprintf("p99 of the slowest %s (%s)", sort.name, where)})
		}
	}
	worst, where := -1.0, ""
	for _, p := range r.Pairs {
		if p.OneWayMS != nil && p.Excess.P50 > worst {
			worst, where = p.Excess.P50, p.From+" → "+p.To
		}
	}
	if where != "" {
		out = append(out, tile{Value: "+" + shortMS(worst), What: "median over the link's delay until visible, " + where})
	}
	if c := r.Check; c != nil {
		t := tile{Value: fmt.Sprintf("%d lost", c.Lost), What: fmt.Sprintf("of %d acknowledged writes", c.Acked), Class: "good"}
		if !c.OK() {
			t.Class = "bad"
		}
		u := tile{Value: "not equal", What: "the datacenters in the end", Class: "bad"}
		if c.Converged {
			u = tile{Value: shortMS(max(0.001, c.ConvergedAfterMS)), What: "until all datacenters were equal, after the end", Class: "good"}
		}
		out = append(out, t, u)
	}
	return out
}

func (r *Report) settingsText() [][2]string {
	s := r.Settings
	var weights, shares []string
	for _, op := range slices.Sorted(maps.Keys(s.Operations)) {
		weights = append(weights, fmt.Sprintf("%s %v", op, s.Operations[op]))
	}
	for _, dc := range s.Datacenters {
		shares = append(shares, fmt.Sprintf("%s %.0f%%", dc, s.Shares[dc]*100))
	}
	out := [][2]string{
		{"workload", r.Workload + ": " + strings.Join(weights, ", ")},
		{"load", fmt.Sprintf("%s, at most %d at once; %s", r.loopText(), s.Concurrency, strings.Join(shares, ", "))},
		{"times", fmt.Sprintf("%s quiet, %s warm-up, %s measured", shortMS(s.QuietMS), shortMS(s.WarmupMS), shortMS(s.DurationMS))},
		{"keys", fmt.Sprintf("%d of each kind, %s, %d put before; seed %d", s.Keys, s.Distribution, s.Preloaded, s.Seed)},
		{"values", fmt.Sprintf("%s, consistency %s, bucket %s", s.ValueSize, s.Consistency, s.Bucket)},
		{"cluster", s.Cluster},
		{"machine", fmt.Sprintf("%s, %d cores, %s/%s, %s, load average %s", r.Machine.CPU, r.Machine.Cores, r.Machine.OS, r.Machine.Arch, r.Machine.Go, r.Machine.LoadAvg)},
	}
	if r.Check != nil {
		out = append(out, [2]string{"check", r.Check.Verdict()})
	}
	return out
}
