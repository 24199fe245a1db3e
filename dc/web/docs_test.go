package web

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/godwitdb/godwit/dc"
)

// rows are the lines of docs/metrics.md for what is exported.
func rows() []string {
	all := append(families(), family{name: requestsName, help: requestsHelp, labels: []string{"operation", "outcome"}})
	var out []string
	for _, f := range all {
		kind := map[prometheus.ValueType]string{prometheus.CounterValue: "counter", prometheus.GaugeValue: "gauge", 0: "histogram"}[f.kind]
		out = append(out, fmt.Sprintf("| `%s` | %s | %s | %s |", f.name, kind, strings.Join(f.labels, ", "), f.help))
	}
	slices.Sort(out)
	return append(out, "| `go_*`, `process_*` | | | The Go runtime and the process, as every program in Go exports them. |")
}

func TestEveryMetricIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for line := range strings.SplitSeq(string(page), "\n") {
		if strings.HasPrefix(line, "| `") {
			documented = append(documented, line)
		}
	}
	want := rows()
	for _, row := range want {
		if !slices.Contains(documented, row) {
			t.Errorf("docs/metrics.md lacks the row\n%s", row)
		}
	}
	for _, row := range documented {
		if !slices.Contains(want, row) {
			t.Errorf("docs/metrics.md has a row of nothing that is exported:\n%s", row)
		}
	}
	if !t.Failed() && !slices.Equal(documented, want) {
		t.Error("docs/metrics.md: the rows are not sorted, or one comes twice")
	}
}

// A counter of dc.Counters is exported without more ado; it only needs words.
func TestEveryCounterHasWords(t *testing.T) {
	help := counterHelp()
	for f := range reflect.TypeFor[dc.Counters]().Fields() {
		if f.Type != reflect.TypeFor[atomic.Uint64]() {
			t.Errorf("dc.Counters.%s is a %s: only an atomic.Uint64 is exported", f.Name, f.Type)
		}
		if help[f.Name] == "" {
			t.Errorf("dc.Counters.%s: say in counterHelp what it counts, and add its row to docs/metrics.md", f.Name)
		}
	}
}
