package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/godwitdb/godwit/topology"
)

// Limits of fault files.
const (
	maxFaults     = 256
	maxFaultTime  = 24 * time.Hour
	maxLatency    = 30 * time.Second
	leastFlap     = 20 * time.Millisecond
	maxFlaps      = 500
	restoreWithin = 30 * time.Second // after the load
)

// What a Fault does.
const (
	FaultCut    = "cut"
	FaultFreeze = "freeze"
	FaultReset  = "reset"
	FaultFlap   = "flap"
	FaultSlow   = "slow"
	FaultKill   = "kill"
	FaultHeal   = "heal"
)

func faultNames() []string {
	return []string{FaultCut, FaultFreeze, FaultReset, FaultFlap, FaultSlow, FaultKill, FaultHeal}
}

// Fault is one entry of a calendar of faults.
type Fault struct {
	At   time.Duration // since the load began, warm-up not counted
	What string
	For  time.Duration // ends by itself after that; 0: at a heal, or with the load

	DC       string // all links of it
	From, To string // with OneWay in this direction only; all empty: every link
	OneWay   bool

	Latency   *time.Duration // of slow; what is nil stays
	Jitter    *time.Duration
	Bandwidth *int64 // bytes a second, 0 is unlimited
	Node      string // of kill
	Every     time.Duration
}

// String is the fault for people, without its time.
func (f *Fault) String() string {
	where := "all links"
	switch {
	case f.Node != "":
		where = f.Node
	case f.DC != "":
		where = f.DC
	case f.OneWay:
		where = f.From + " → " + f.To
	case f.From != "":
		where = f.From + " ↔ " + f.To
	}
	text := f.What + " " + where
	if f.Latency != nil {
		text += fmt.Sprintf(" %v", *f.Latency)
	}
	if f.Bandwidth != nil {
		text += fmt.Sprintf(" %d B/s", *f.Bandwidth)
	}
	return text
}

// ParseFaults reads a calendar of faults:
//
//	faults:
//	  - {at: 10s, what: cut, between: [use1, euw1]}           # or dc: euw1, or from: use1 and to: euw1
//	  - {at: 20s, what: slow, between: [use1, euw1], latency: 300ms, bandwidth: 1MiB/s, for: 5s}
//	  - {at: 30s, what: flap, dc: euw1, every: 500ms, for: 5s}
//	  - {at: 40s, what: kill, node: use1-b, for: 5s}
//	  - {at: 50s, what: heal}                                 # everything, or what it names
//
// The error is a *FileError with everything that is wrong.
func ParseFaults(name string, data []byte) ([]Fault, error) {
	var out []Fault
	err := parseFile(name, data, func(d *document, root ast.Node) {
		var faults ast.Node
		d.fields(root, map[string]func(ast.Node){"faults": func(n ast.Node) { faults = n }})
		if faults == nil {
			if len(d.problems) == 0 {
				d.wrong(root, "no faults: give a list of them")
			}
			return
		}
		d.list(faults, func(n ast.Node) { out = append(out, d.fault(n)) })
		if len(out) > maxFaults {
			d.wrong(faults, "%d faults, at most %d are allowed", len(out), maxFaults)
		}
		if len(out) == 0 && len(d.problems) == 0 {
			d.wrong(faults, "the list is empty")
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return out, nil
}

func (d *document) fault(n ast.Node) Fault {
	before := len(d.problems)
	f := Fault{At: -1}
	var between []string
	d.fields(n, map[string]func(ast.Node){
		"at":   d.readTime(&f.At, 0, maxFaultTime),
		"what": d.readWord(&f.What, "fault", faultNames()),
		"for":  d.readTime(&f.For, leastFlap, maxFaultTime),
		"dc":   d.readText(&f.DC),
		"from": d.readText(&f.From),
		"to":   d.readText(&f.To),
		"between": func(n ast.Node) {
			d.list(n, func(n ast.Node) {
				s, _ := d.text(n)
				between = append(between, s)
			})
			if len(between) != 2 {
				d.wrong(n, "between names two datacenters, not %d", len(between))
			}
		},
		"node":    d.readText(&f.Node),
		"every":   d.readTime(&f.Every, leastFlap, maxFaultTime),
		"latency": func(n ast.Node) { f.Latency = d.someTime(n) },
		"jitter":  func(n ast.Node) { f.Jitter = d.someTime(n) },
		"bandwidth": func(n ast.Node) {
			s, ok := d.text(n)
			if !ok {
				return
			}
			rate, err := topology.ParseRate(s)
			if err != nil {
				d.wrong(n, "%.40q is no rate: a whole number with a unit, as in 1Gbit or 50MiB/s", s)
			}
			f.Bandwidth = &rate
		},
	})
	if len(d.problems) > before {
		return f
	}
	for _, problem := range f.problems(between) {
		d.wrong(n, "%s", problem)
	}
	if len(between) == 2 {
		f.From, f.To = between[0], between[1]
	}
	return f
}

func (d *document) someTime(n ast.Node) *time.Duration {
	v := new(time.Duration)
	d.readTime(v, 0, maxLatency)(n)
	return v
}

// problems tells what does not fit together in a fault.
func (f *Fault) problems(between []string) []string {
	var out []string
	bad := func(when bool, format string, args ...any) {
		if when {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	f.OneWay = f.From != "" || f.To != ""
	shaped := f.Latency != nil || f.Jitter != nil || f.Bandwidth != nil
	places := 0
	for _, given := range []bool{f.DC != "", len(between) > 0, f.OneWay, f.Node != ""} {
		if given {
			places++
		}
	}
	bad(f.At < 0, "no time: give at, such as at: 10s")
	bad(f.What == "", "give what: %v", faultNames())
	bad(places > 1, "give one of dc, between, from and to, node")
	bad((f.From == "") != (f.To == ""), "from and to belong together")
	bad(f.From != "" && f.From == f.To || len(between) == 2 && between[0] == between[1], "a datacenter has no link to itself")
	bad(f.What == FaultKill && f.Node == "", "kill needs a node")
	bad(f.Node != "" && f.What != FaultKill && f.What != FaultHeal, "node belongs to kill and heal")
	bad(f.What == FaultSlow && !shaped, "slow needs latency, jitter or bandwidth")
	bad(f.What != FaultSlow && shaped, "latency, jitter and bandwidth belong to slow")
	bad(f.What == FaultFlap && (f.Every == 0 || f.For == 0), "flap needs every and for")
	bad(f.What != FaultFlap && f.Every != 0, "every belongs to flap")
	bad(f.What == FaultHeal && f.For != 0, "for has no meaning for heal")
	bad(f.Every > 0 && f.For/f.Every > maxFlaps, "flaps %d times, at most %d are allowed", f.For/max(1, f.Every), maxFlaps)
	return out
}

// CheckFaults reports faults that a run cannot have: at datacenters or nodes
// that are not there, or after its end. nodes may be nil where they are not known.
func CheckFaults(faults []Fault, dcs, nodes []string, duration time.Duration) error {
	var errs []error
	for i := range faults {
		f := &faults[i]
		for _, dc := range []string{f.DC, f.From, f.To} {
			if dc != "" && !slices.Contains(dcs, dc) {
				errs = append(errs, fmt.Errorf("fault %q at %v: unknown datacenter %q (there are: %v)", f, f.At, dc, dcs))
			}
		}
		if f.Node != "" && !slices.Contains(nodes, f.Node) {
			errs = append(errs, fmt.Errorf("fault %q at %v: unknown node %q (there are: %v)", f, f.At, f.Node, nodes))
		}
		if f.At >= duration {
			errs = append(errs, fmt.Errorf("fault %q at %v: the load ends at %v; give a longer --duration", f, f.At, duration))
		}
	}
	return errors.Join(errs...)
}

// step is one change that faults make, at its time.
type step struct {
	at    time.Duration
	text  string // what a report says of it; empty: nothing, it is one flap of many
	heal  bool
	apply func(context.Context, Cluster) error
}

// stepsOf is the calendar as changes in the order of their times. links are the
// profiles to which slow links return.
func stepsOf(faults []Fault, links []Link) []step {
	var out []step
	for i := range faults {
		f := faults[i]
		if f.What == FaultFlap {
			out = append(out, flaps(f)...)
			continue
		}
		out = append(out, step{at: f.At, text: f.String(), heal: f.What == FaultHeal, apply: func(ctx context.Context, c Cluster) error { return f.begin(ctx, c, links) }})
		if f.For > 0 {
			out = append(out, step{at: f.At + f.For, text: "end of " + f.String(), heal: true, apply: func(ctx context.Context, c Cluster) error { return f.end(ctx, c, links) }})
		}
	}
	slices.SortStableFunc(out, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return out
}

func flaps(f Fault) []step {
	var out []step
	text, down := f.String(), true
	for at := f.At; at < f.At+f.For; at += f.Every {
		state := LinkUp
		if down {
			state = LinkCut
		}
		out = append(out, step{at: at, text: text, apply: func(ctx context.Context, c Cluster) error { return c.SetLink(ctx, f.change(state)) }})
		text, down = "", !down
	}
	end := step{at: f.At + f.For, text: "end of " + f.String(), heal: true}
	end.apply = func(ctx context.Context, c Cluster) error { return c.SetLink(ctx, f.change(LinkUp)) }
	return append(out, end)
}

// change is a change of the links that a fault names.
func (f *Fault) change(state LinkState) LinkChange {
	return LinkChange{From: cmp.Or(f.From, f.DC), To: f.To, OneWay: f.OneWay, State: state}
}

func (f *Fault) begin(ctx context.Context, c Cluster, links []Link) error {
	switch f.What {
	case FaultKill:
		return c.StopNode(ctx, f.Node)
	case FaultSlow:
		change := f.change("")
		change.Latency, change.Jitter, change.Bandwidth = f.Latency, f.Jitter, f.Bandwidth
		return c.SetLink(ctx, change)
	case FaultHeal:
		return f.end(ctx, c, links)
	case FaultFreeze:
		return c.SetLink(ctx, f.change(LinkFrozen))
	case FaultReset:
		return c.SetLink(ctx, f.change(LinkReset))
	}
	return c.SetLink(ctx, f.change(LinkCut))
}

// end undoes a fault, or all that a heal names: links come up, with the
// profiles that they had, and nodes start.
func (f *Fault) end(ctx context.Context, c Cluster, links []Link) error {
	if f.Node != "" {
		return c.StartNode(ctx, f.Node)
	}
	errs := []error{c.SetLink(ctx, f.change(LinkUp))}
	for _, l := range links {
		if f.touches(l) {
			errs = append(errs, c.SetLink(ctx, LinkChange{From: l.From, To: l.To, OneWay: true, Latency: &l.Latency, Jitter: &l.Jitter, Bandwidth: &l.Bandwidth}))
		}
	}
	return errors.Join(errs...)
}

func (f *Fault) touches(l Link) bool {
	switch {
	case f.DC != "":
		return l.From == f.DC || l.To == f.DC
	case f.From != "":
		return l.From == f.From && l.To == f.To || !f.OneWay && l.From == f.To && l.To == f.From
	}
	return true
}
