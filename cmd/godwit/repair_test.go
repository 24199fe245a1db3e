package main

import (
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/replication"
)

// TestRepairAndParked: what operators see of comparisons between datacenters,
// as JSON.
func TestRepairAndParked(t *testing.T) {
	tm := startDCs(t, 1, "use1-euw1=4ms,use1-apne1=4ms,euw1-apne1=4ms", "use1", "euw1", "apne1")
	for _, key := range []string{"a", "b", "c"} {
		tm.want(0, "", "put", "--dc", "use1", key, "v")
	}
	f := tm.fields(0, "verify", "--settle", "15s")
	for name, want := range map[string]any{"equal": true, "partitions": 256.0} {
		if f[name] != want {
			t.Errorf("verify: %s is %v, want %v", name, f[name], want)
		}
	}
	since, err := time.Parse(time.RFC3339, f["since"].(string))
	if err != nil || time.Since(since) > time.Minute || len(f["differing"].([]any)) != 0 || len(f["pairs"].([]any)) != 3 {
		t.Errorf("verify: %v, since: %v", f, err)
	}
	if pair := f["pairs"].([]any)[0].(map[string]any); pair["a"] != "use1" || pair["b"] != "euw1" || pair["equal"] != true || pair["clock_equal"] != true || pair["merkle_equal"] != true {
		t.Errorf("verify: %v", pair)
	}

	f = tm.fields(0, "repair")
	if f["done"] != true || f["failed"] != 0.0 || len(f["pairs"].([]any)) != 6 || len(f["missing"].([]any)) != 0 {
		t.Errorf("repair: %v", f)
	}
	for _, p := range f["pairs"].([]any) {
		pair := p.(map[string]any)
		if pair["partitions"] != 256.0 || pair["equal"].(float64)+pair["compared"].(float64) != 256 || pair["keys"] != 0.0 || pair["cell_bytes"].(float64) > 0 && pair["compared"] == 0.0 {
			t.Errorf("repair of equal datacenters: %v", pair)
		}
	}
	f = tm.fields(0, "repair", "--dc", "use1", "--from", "apne1", "--partition", "3")
	if pairs := f["pairs"].([]any); len(pairs) != 1 || pairs[0].(map[string]any)["from"] != "apne1" || pairs[0].(map[string]any)["to"] != "use1" || pairs[0].(map[string]any)["partitions"] != 1.0 {
		t.Errorf("repair of one partition: %v", f)
	}
	if r := tm.run("repair", "--dc", "use1"); r.code != 0 || !strings.HasPrefix(r.out, "FROM ") || strings.Count(r.out, "\n") != 3 {
		t.Errorf("repair: exit %d, %q, %q", r.code, r.out, r.err)
	}
	tm.want(2, "", "repair", "--dc", "mars")
	tm.want(2, "", "repair", "--partition", "-3")
	if r := tm.run("repair", "--partition", "4000"); r.code == 0 || !strings.Contains(r.err, "there is no partition 4000") {
		t.Errorf("repair of no partition: exit %d, %q", r.code, r.err)
	}
	if r := tm.run("repair", "--dc", "use1", "--from", "mars"); r.code == 0 || !strings.Contains(r.err, `"mars"`) {
		t.Errorf("repair from nowhere: exit %d, %q", r.code, r.err)
	}

	tm.want(0, "", "parked", "list")
	tm.want(3, "", "parked", "show", "00")
	tm.want(3, "", "parked", "drop", "00")
	tm.want(3, "", "parked", "retry", "00")
	tm.want(2, "", "parked", "drop")
}

// TestCutShowsInVerifyLagAndDiff: what a cut looks like.
func TestCutShowsInVerifyLagAndDiff(t *testing.T) {
	tm := startCluster(t)
	tm.want(0, "1\n", "incr", "--dc", "use1", "hits")
	tm.fields(0, "verify", "--settle", "15s")
	tm.run("wan", "cut", "use1", "euw1")
	tm.want(0, "3\n", "incr", "--dc", "use1", "hits", "2")
	f := tm.fields(7, "verify", "--settle", "0s")
	if f["equal"] != false || len(f["differing"].([]any)) != 1 {
		t.Errorf("verify during a cut: %v", f)
	}
	if pair := f["pairs"].([]any)[0].(map[string]any); pair["clock_equal"] != false || pair["merkle_equal"] != false {
		t.Errorf("verify during a cut: %v", pair)
	}
	lag := tm.fields(0, "lag")["pairs"].([]any)[0].(map[string]any)
	if lag["from"] != "use1" || lag["to"] != "euw1" || lag["pending_events"].(float64) < 1 || lag["repair_debt"] != 0.0 {
		t.Errorf("lag during a cut: %v", lag)
	}
	d := tm.run("diff", "-o", "json")
	if d.code != 0 || !strings.Contains(d.out, `"key":"hits"`) || !strings.Contains(d.out, `"use1":`) {
		t.Errorf("diff: exit %d, %q", d.code, d.out)
	}
}

func TestWindow(t *testing.T) {
	tests := []struct {
		text string
		want replication.Window
		bad  bool
	}{
		{text: ""},
		{text: "01:00-05:30", want: replication.Window{From: time.Hour, To: 5*time.Hour + 30*time.Minute}},
		{text: "22:15-04:00", want: replication.Window{From: 22*time.Hour + 15*time.Minute, To: 4 * time.Hour}},
		{text: "01:00", bad: true},
		{text: "01:00-01:00", bad: true},
		{text: "25:00-26:00", bad: true},
		{text: "one-two", bad: true},
	}
	for _, tt := range tests {
		got, err := window(tt.text)
		if (err != nil) != tt.bad || err == nil && got != tt.want {
			t.Errorf("window(%q) = %v, %v; want %v", tt.text, got, err, tt.want)
		}
	}
}
