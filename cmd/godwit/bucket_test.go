package main

import (
	"slices"
	"strings"
	"testing"
)

func TestBucketCommands(t *testing.T) {
	tm := startCluster(t)
	tm.want(0, "created bucket carts\n", "bucket", "create", "carts", "--kind", "set", "--kinds-allowed", "set,counter", "--ttl", "1h", "--max-value", "64KiB")
	tm.want(0, "carts\ndefault\n", "bucket", "list")
	b := tm.fields(0, "bucket", "show", "carts")
	if b["kind"] != "set" || b["ttl_ms"] != 3600000.0 || b["max_value"] != 65536.0 || b["in_topology"] != false || b["read"] != "quorum" || b["durability"] != "sync" {
		t.Errorf("bucket show: %v", b)
	}
	tm.want(0, "1\n", "sadd", "-b", "carts", "--dc", "use1", "k", "e")
	if r := tm.run("put", "-b", "carts", "r", "v"); r.code != 6 || !strings.Contains(r.err, "KIND_NOT_ALLOWED") {
		t.Errorf("put into a bucket of sets: exit %d, %s", r.code, r.err)
	}
	if r := tm.run("bucket", "alter", "carts", "--kinds-allowed", "register", "--ttl", "0", "--write", "one", "--read", "one"); r.code != 0 || !strings.Contains(r.err, "warning: read + write") && r.err != "" {
		t.Errorf("bucket alter: exit %d, out %q, err %q", r.code, r.out, r.err)
	}
	b = tm.fields(0, "bucket", "show", "carts")
	if kinds, ok := b["kinds_allowed"].([]any); !ok || !slices.Equal(kinds, []any{"register", "counter", "set"}) || b["ttl_ms"] != 0.0 || b["read"] != "one" {
		t.Errorf("bucket show after alter: %v", b)
	}
	for _, tt := range []struct {
		code int
		why  string
		args string
	}{
		{6, "BUCKET_FIXED", "bucket alter carts --kind map"},
		{6, "BUCKET_EXISTS", "bucket create default"},
		{6, "BUCKET_IN_TOPOLOGY", "bucket delete default"},
		{6, "BUCKET_NOT_EMPTY", "bucket delete carts"},
		{2, "BAD_BUCKET", "bucket create .mine"},
		{2, "unknown kind", "bucket create x --kind sets"},
		{2, "--max-value", "bucket create x --max-value much"},
		{1, "SYSTEM_BUCKET", "get -b .godwit buckets"},
		{3, "", "bucket show nope"},
	} {
		if r := tm.run(strings.Fields(tt.args)...); r.code != tt.code || !strings.Contains(r.err, tt.why) {
			t.Errorf("%s: exit %d, %s; want %d and %s", tt.args, r.code, r.err, tt.code, tt.why)
		}
	}
	tm.want(0, "deleted bucket carts and 1 keys\n", "bucket", "delete", "carts", "--force")
	tm.want(0, "default\n", "bucket", "list")
}
