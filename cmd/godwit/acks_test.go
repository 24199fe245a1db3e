package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestAcksDC: a write that waits for other datacenters says which have it; one
// that they do not get in time is done all the same, prints what it did, and
// exits with 5.
func TestAcksDC(t *testing.T) {
	tm := startDCs(t, 1, "use1-euw1=10ms", "use1", "euw1")
	f := tm.fields(0, "put", "--dc", "use1", "greeting", "hallo", "--acks-dc", "1", "--timeout", "20s", "-o", "json")
	if fmt.Sprint(f["dcs"]) != "[euw1]" || f["dcs_wanted"] != 1.0 {
		t.Errorf("put: held by %v of %v others, want euw1 of 1", f["dcs"], f["dcs_wanted"])
	}
	tm.want(0, "hallo\n", "get", "--dc", "euw1", "greeting")
	tm.want(2, "", "put", "--dc", "use1", "greeting", "hallo", "--acks-dc", "2")
	tm.run("wan", "cut", "euw1")
	r := tm.run("incr", "--dc", "use1", "hits", "--acks-dc", "1", "--timeout", "2s", "--raw")
	if r.code != 5 || r.out != "1\n" || !strings.Contains(r.err, "0 of the 1 other datacenters") || !strings.Contains(r.err, "[ACKS_SHORT]") {
		t.Errorf("incr during a cut: exit %d, %q, %q; want 5, the value, and how many datacenters have it", r.code, r.out, r.err)
	}
	tm.want(0, "1\n", "get", "--dc", "use1", "hits")
}
