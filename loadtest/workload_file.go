package loadtest

import (
	"cmp"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// ParseWorkload reads a workload from a file:
//
//	name: shop
//	keys: 100000
//	distribution: zipfian          # zipfian, uniform, latest, hot
//	theta: 0.99                    # of zipfian and latest
//	hot: 0.5                       # share of the hot key
//	value_size: 100-2KiB
//	consistency: quorum
//	ttl: 1h
//	datacenters: {use1: 3, euw1: 1}
//	operations:
//	  - {op: hgetall, weight: 60, consistency: one}
//	  - {op: hincr, weight: 40}
//
// The error is a *FileError with everything that is wrong.
func ParseWorkload(name string, data []byte) (Workload, error) {
	var w Workload
	err := parseFile(name, data, func(d *document, root ast.Node) { w = d.workload(root) })
	if err != nil {
		return Workload{}, err
	}
	w.Name = cmp.Or(w.Name, name)
	w = w.withDefaults()
	return w, w.Check()
}

// maxTTL bounds the ttl of a workload.
const maxTTL = 10 * 365 * 24 * time.Hour

func (d *document) workload(root ast.Node) Workload {
	var (
		w            Workload
		keys         float64
		distribution string
		operations   ast.Node
	)
	levels := []string{"one", "quorum", "all"}
	d.fields(root, map[string]func(ast.Node){
		"name":         d.readText(&w.Name),
		"description":  d.readText(&w.Description),
		"keys":         d.readNumber(&keys, 1, maxKeys),
		"distribution": d.readWord(&distribution, "distribution", Distributions()),
		"theta":        d.readNumber(&w.Theta, 0.01, maxTheta),
		"hot":          d.readNumber(&w.Hot, 0.001, 0.999),
		"value_size":   d.readSize(&w.ValueSize),
		"consistency":  d.readWord(&w.Consistency, "consistency", levels),
		"ttl":          d.readTime(&w.TTL, time.Second, maxTTL),
		"datacenters":  func(n ast.Node) { w.Shares = d.shares(n) },
		"operations":   func(n ast.Node) { operations = n },
	})
	w.Keys, w.Distribution = uint64(keys), Distribution(distribution)
	if operations == nil {
		if len(d.problems) == 0 {
			d.wrong(root, "no operations: give a list such as [{op: read, weight: 95}, {op: update, weight: 5}]")
		}
		return w
	}
	seen, sum := map[string]bool{}, 0.0
	d.list(operations, func(n ast.Node) {
		before := len(d.problems)
		o := Operation{Weight: 1}
		d.fields(n, map[string]func(ast.Node){
			"op":          d.readWord(&o.Op, "operation", OperationNames()),
			"weight":      d.readNumber(&o.Weight, 0, maxWeight),
			"consistency": d.readWord(&o.Consistency, "consistency", levels),
			"value_size":  d.readSize(&o.ValueSize),
		})
		switch {
		case len(d.problems) > before:
		case o.Op == "":
			d.wrong(n, "an operation without op")
		case seen[o.Op]:
			d.wrong(n, "operation %q is given twice", o.Op)
		}
		seen[o.Op] = true
		sum += o.Weight
		w.Operations = append(w.Operations, o)
	})
	if len(d.problems) == 0 && sum == 0 {
		d.wrong(operations, "nothing to do: the list is empty, or all weights are 0")
	}
	return w
}

// shares reads how the load is spread over datacenters.
func (d *document) shares(n ast.Node) map[string]float64 {
	values, ok := mappingOf(n)
	if !ok {
		d.wrong(n, "want a share for each datacenter, as in {use1: 3, euw1: 1}")
		return nil
	}
	out := map[string]float64{}
	for _, v := range values {
		dc, share := v.Key.GetToken().Value, 0.0
		if _, twice := out[dc]; twice {
			d.at(v.Key.GetToken(), "datacenter %q is given twice", dc)
		}
		d.readNumber(&share, 0, maxWeight)(v.Value)
		out[dc] = share
	}
	return out
}
