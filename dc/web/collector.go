package web

import (
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/godwitdb/godwit/dc"
)

// collector measures a node whenever it is asked. Safe for concurrent use.
type collector struct {
	node     *dc.Node
	families []family
	descs    []*prometheus.Desc
	log      *slog.Logger
}

func newCollector(node *dc.Node, log *slog.Logger) *collector {
	c := &collector{node: node, families: families(), log: log}
	for _, f := range c.families {
		c.descs = append(c.descs, prometheus.NewDesc(f.name, f.help, f.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	figures, err := c.node.Figures()
	if err != nil {
		c.log.Warn("measure the node", "error", err)
		out <- prometheus.NewInvalidMetric(c.descs[0], err)
		return
	}
	for i, f := range c.families {
		f.read(figures, func(value float64, labels ...string) {
			if math.IsNaN(value) {
				return
			}
			m, err := prometheus.NewConstMetric(c.descs[i], f.kind, value, labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(c.descs[i], err)
			}
			out <- m
		})
	}
}

// Requests measures what clients ask of a node. Safe for concurrent use.
type Requests struct {
	took *prometheus.HistogramVec
}

const (
	requestsName = prefix + "request_duration_seconds"
	requestsHelp = "Time from a request's arrival to its answer, by operation and gRPC code."
)

// NewRequests returns what has measured nothing yet.
func NewRequests() *Requests {
	return &Requests{took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: requestsName, Help: requestsHelp,
		Buckets: []float64{250e-6, 500e-6, 1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3, 64e-3, 125e-3, 250e-3, 500e-3, 1, 2.5, 5, 10},
	}, []string{"operation", "outcome"})}
}

// Observe notes one request. There must be few operations and outcomes.
func (r *Requests) Observe(operation, outcome string, took time.Duration) {
	r.took.WithLabelValues(operation, outcome).Observe(took.Seconds())
}
