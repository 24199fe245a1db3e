package loadtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Report is what a run found. Its JSON is a contract: fields are added, none
// changes its meaning. Times are milliseconds, t is seconds since the load
// began, negative during quiet and warm-up.
type Report struct {
	Format     int               `json:"format"` // 1
	Version    string            `json:"version"`
	Started    time.Time         `json:"started"`
	Workload   string            `json:"workload"`
	Settings   Settings          `json:"settings"`
	Machine    Machine           `json:"machine"`
	Seconds    float64           `json:"seconds"` // that were measured
	Rate       float64           `json:"rate"`    // operations a second that were answered
	Late       int64             `json:"late"`    // due in the open loop and not begun by the end
	Operations []OperationResult `json:"operations"`
	Pairs      []PairResult      `json:"pairs"`
	Faults     []FaultEvent      `json:"faults"`
	Check      *CheckResult      `json:"check,omitempty"`
	Slice      float64           `json:"slice_seconds"`
	Series     []Series          `json:"series"`
	Warnings   []string          `json:"warnings,omitempty"`
}

// Settings are how a run was made.
type Settings struct {
	Loop         string             `json:"loop"` // open or closed
	Rate         float64            `json:"rate,omitempty"`
	Concurrency  int                `json:"concurrency"`
	DurationMS   float64            `json:"duration_ms"`
	WarmupMS     float64            `json:"warmup_ms"`
	QuietMS      float64            `json:"quiet_ms"`
	Keys         uint64             `json:"keys"`
	Preloaded    uint64             `json:"preloaded"`
	Distribution Distribution       `json:"distribution"`
	ValueSize    string             `json:"value_size"`
	Consistency  string             `json:"consistency"`
	Bucket       string             `json:"bucket"`
	TTLMS        float64            `json:"ttl_ms,omitempty"`
	Operations   map[string]float64 `json:"weights"`
	Datacenters  []string           `json:"datacenters"`
	Shares       map[string]float64 `json:"shares"`
	Cluster      string             `json:"cluster"`
	ProbeMS      float64            `json:"probe_ms"`
	Seed         uint64             `json:"seed"`
}

// Machine is where the load came from.
type Machine struct {
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	CPU     string `json:"cpu,omitempty"`
	Cores   int    `json:"cores"`
	Go      string `json:"go"`
	LoadAvg string `json:"load_avg,omitempty"` // at the start
}

// Latency are quantiles in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// OperationResult is one operation at one datacenter. In an open loop Latency
// counts from when operations were due, Service from when they were begun.
type OperationResult struct {
	DC      string           `json:"dc"`
	Op      string           `json:"op"`
	Write   bool             `json:"write"`
	Count   int64            `json:"count"`
	Errors  int64            `json:"errors"`
	Misses  int64            `json:"misses"` // of Count: the key was absent
	Rate    float64          `json:"rate"`
	Latency Latency          `json:"latency_ms"`
	Service Latency          `json:"service_ms"`
	Reasons map[string]int64 `json:"error_reasons,omitempty"`
	Curve   [][2]float64     `json:"curve"` // percentile, milliseconds
}

// PairResult tells when writes acknowledged in one datacenter are visible in
// another. Visible and Excess are those of the load without faults.
type PairResult struct {
	From         string                 `json:"from"`
	To           string                 `json:"to"`
	OneWayMS     *float64               `json:"one_way_ms"` // null: not known
	Visible      Visible                `json:"visible_ms"`
	Excess       Excess                 `json:"excess_ms"`
	ResolutionMS Excess                 `json:"resolution_ms"` // between the last look that missed and the one that found
	Unseen       int                    `json:"unseen"`        // probes that never became visible
	Phases       map[string]PhaseResult `json:"phases"`
}

// Visible are quantiles of the time to visibility.
type Visible struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Excess are quantiles of what is beyond the link's one-way delay.
type Excess struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Phases of a run.
const (
	PhaseQuiet = "quiet" // before the load
	PhaseLoad  = "load"  // the load before faults
	PhaseFault = "fault" // from the first fault to the last heal
	PhaseAfter = "after" // behind the last heal
)

// PhaseResult is what probes of one phase found. A probe belongs to the phase
// in which it was acknowledged.
type PhaseResult struct {
	Probes  int     `json:"probes"`
	Visible Visible `json:"visible_ms"`
	Excess  Excess  `json:"excess_ms"`
}

// FaultEvent is a fault as it was carried out.
type FaultEvent struct {
	T     float64 `json:"t"`
	What  string  `json:"what"`
	Heal  bool    `json:"heal"`
	Error string  `json:"error,omitempty"`
	// CaughtUpMS is how long after a heal the last write that was acknowledged
	// before it became visible everywhere; null for other faults.
	CaughtUpMS *float64 `json:"caught_up_ms"`
}

// CheckResult is the verdict over the history of a run.
type CheckResult struct {
	Acked            int      `json:"acked"`
	Failed           int      `json:"failed"`
	Unknown          int      `json:"unknown"`
	Lost             int      `json:"lost"`
	Phantom          int      `json:"phantom"`
	Reused           int      `json:"reused"`
	Diverged         int      `json:"diverged"`
	Sessions         int      `json:"session_violations"`
	Converged        bool     `json:"converged"`
	ConvergedAfterMS float64  `json:"converged_after_ms"` // after the load, or the last heal if that was later
	Keys             int      `json:"keys"`               // that were judged
	Findings         []string `json:"findings,omitempty"` // the first ones
}

// OK reports that no promise was broken.
func (c *CheckResult) OK() bool {
	return c == nil || c.Lost+c.Phantom+c.Reused+c.Diverged+c.Sessions == 0 && c.Converged
}

// Series is a course over time. Op is empty for all operations of a datacenter;
// To is given where the series is about a pair.
type Series struct {
	DC     string  `json:"dc"`
	Op     string  `json:"op,omitempty"`
	To     string  `json:"to,omitempty"`
	Points []Point `json:"points"`
}

// Point is one slice of time, which ends at T. Of a pair, Max is how far behind
// the other datacenter was at most, and P50 the median time to visibility.
type Point struct {
	T      float64 `json:"t"`
	Count  int64   `json:"n"`
	Errors int64   `json:"e,omitempty"`
	P50    float64 `json:"p50"`
	P99    float64 `json:"p99,omitempty"`
	Max    float64 `json:"max"`
}

// reportFormat is Report.Format.
const reportFormat = 1

// maxReportBytes bounds reports that are read.
const maxReportBytes = 256 << 20

// WriteJSON writes a report.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// ReadReport reads what WriteJSON wrote.
func ReadReport(r io.Reader) (*Report, error) {
	var out Report
	if err := json.NewDecoder(io.LimitReader(r, maxReportBytes)).Decode(&out); err != nil {
		return nil, fmt.Errorf("read a report: %w", err)
	}
	if out.Format != reportFormat {
		return nil, fmt.Errorf("read a report: its format is %d, want %d: %w", out.Format, reportFormat, errors.ErrUnsupported)
	}
	return &out, nil
}
