package web

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestAlertsNameWhatIsExported: a rule about a metric that does not exist never
// fires, and nobody notices.
func TestAlertsNameWhatIsExported(t *testing.T) {
	text, err := os.ReadFile("../../deploy/prometheus/godwit.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	labels := map[string][]string{}
	for _, f := range families() {
		labels[f.name] = f.labels
	}
	metric := regexp.MustCompile(`godwit_[a-z0-9_]+`)
	by := regexp.MustCompile(`by \(([a-z, ]+)\)`)
	named := map[string]bool{}
	for _, r := range file.Groups[0].Rules {
		if r.Alert == "" || r.For == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
			t.Errorf("alert %q lacks a field: %+v", r.Alert, r)
		}
		for _, name := range metric.FindAllString(r.Expr, -1) {
			named[name] = true
			have, ok := labels[name]
			if !ok {
				t.Errorf("alert %s: %s is not exported", r.Alert, name)
			}
			for _, m := range by.FindAllStringSubmatch(r.Expr, -1) {
				for label := range strings.SplitSeq(m[1], ", ") {
					if label != "instance" && !slices.Contains(have, label) {
						t.Errorf("alert %s: %s has no label %s", r.Alert, name, label)
					}
				}
			}
		}
	}
	for _, name := range []string{
		"godwit_replication_beacon_age_seconds", "godwit_replication_repair_debt_partitions", "godwit_stable_lag_seconds",
		"godwit_skew_refusals_total", "godwit_topology_version", "godwit_parked_batches", "godwit_read_only",
	} {
		if !named[name] {
			t.Errorf("no alert is about %s", name)
		}
	}
}
