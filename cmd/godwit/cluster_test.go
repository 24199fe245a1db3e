package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestCommandsOnCluster(t *testing.T) {
	tm := startCluster(t)
	t.Run("counters", func(t *testing.T) { counters(t, tm) })
	t.Run("registers", func(t *testing.T) { registers(t, tm) })
	t.Run("sets", func(t *testing.T) { sets(t, tm) })
	t.Run("keys", func(t *testing.T) { listings(t, tm) })
	t.Run("connections", func(t *testing.T) { connections(t, tm) })
	t.Run("a cut and its end", func(t *testing.T) { cutAndHeal(t, tm) })
	t.Run("cluster", func(t *testing.T) { overview(t, tm) })
}

func counters(t *testing.T, tm *terminal) {
	tm.want(0, "7\n", "--dc", "use1", "incr", "hits", "7")
	tm.want(0, "4\n", "incr", "hits", "-3", "--dc", "use1")
	tm.want(0, "1\n", "incr", "hits", "--", "-3")
	tm.want(0, "0\n", "decr", "hits")
	tm.want(0, "9\n", "incr", "hits", "9")
	tm.want(2, "", "incr", "hits", "nine")
	tm.want(2, "", "incr", "hits", "99999999999999999999")
	tm.want(6, "", "sadd", "hits", "x")
	tm.want(0, "0\n", "reset", "hits")
	tm.want(0, "counter\n", "type", "hits")
	if f := tm.fields(0, "incr", "hits", "5"); f["value"] != 5.0 || f["kind"] != "counter" || f["dc"] != "use1" || f["node"] != "use1-a" || f["copies"] != 1.0 {
		t.Errorf("incr -o json: %v", f)
	}
	if f := tm.fields(0, "get", "hits"); f["value"] != 5.0 || f["kind"] != "counter" || f["conflict"] != false {
		t.Errorf("get -o json: %v", f)
	}
}

func registers(t *testing.T, tm *terminal) {
	tm.want(0, "", "put", "greeting", "bonjour")
	tm.want(0, "bonjour\n", "get", "greeting")
	f := tm.fields(0, "get", "greeting")
	for name, want := range map[string]any{
		"key": "greeting", "bucket": "default", "kind": "register", "value": "bonjour", "found": true, "conflict": false, "dc": "use1", "node": "use1-a",
	} {
		if f[name] != want {
			t.Errorf("get -o json: %s is %v, want %v", name, f[name], want)
		}
	}
	if s, ok := f["siblings"].([]any); !ok || len(s) != 0 || f["context"] == "" {
		t.Errorf("get -o json: siblings %v, context %v", f["siblings"], f["context"])
	}
	tm.want(3, "", "get", "nobody")
	tm.want(3, "", "type", "nobody")
	if f := tm.fields(3, "get", "nobody"); f["found"] != false || f["value"] != nil {
		t.Errorf("an absent key in JSON: %v", f)
	}
	tm.in = "from stdin"
	tm.want(0, "", "put", "greeting", "-")
	tm.want(0, "from stdin\n", "get", "greeting")
	tm.want(0, "", "put", "greeting", "@"+file(t, "value", "\xff\xfe"))
	if f := tm.fields(0, "get", "greeting"); f["value"].(map[string]any)["base64"] != "//4=" {
		t.Errorf("bytes that are not UTF-8: %v", f["value"])
	}
	tm.want(0, "", "put", "greeting", "@@home")
	tm.want(0, "@home\n", "get", "greeting")
	tm.want(2, "", "put", "greeting", "@/no/such/file")
	tm.want(0, "", "put", "draft", "a", "--kind", "mvregister")
	tm.want(0, "", "put", "draft", "b", "--context", "none")
	f = tm.fields(0, "get", "draft")
	if s := f["siblings"].([]any); len(s) != 2 || f["conflict"] != true || s[0].(map[string]any)["value"] != "b" {
		t.Errorf("a blind put is a sibling: %v", f)
	}
	tm.want(0, "", "put", "draft", "c", "--context", f["context"].(string))
	tm.want(0, "c\n", "get", "draft")
	tm.want(2, "", "put", "draft", "d", "--context", "%%")
	tm.want(2, "", "put", "draft", "d", "--kind", "regster")
	tm.want(2, "", "put", "draft", "d", "--request-id", "x")
	if r := tm.run("get", "draft", "--meta"); !regexp.MustCompile(`^kind\tmvregister\nvalue\tc\nconflict\tfalse\ncontext\t\S+\ncopies\t1 of 1\ndc\tuse1\nnode\tuse1-a\n$`).MatchString(r.out) {
		t.Errorf("get --meta: %q", r.out)
	}
	tm.want(0, "1\n", "del", "greeting")
	tm.want(0, "0\n", "del", "greeting")
	tm.want(3, "", "get", "greeting")
	person := *tm
	person.isatty = true
	if r := person.run("put", "greeting", "hallo"); !regexp.MustCompile(`^use1  greeting = hallo   \(1 of 1 copies, [0-9.]+m?s\)\n$`).MatchString(r.out) {
		t.Errorf("put on a terminal: %q", r.out)
	}
}

func sets(t *testing.T, tm *terminal) {
	tm.want(0, "3\n", "sadd", "langs", "go", "c", "ada")
	tm.want(0, "1\n", "sadd", "langs", "go", "rust")
	tm.want(0, "ada\nc\ngo\nrust\n", "smembers", "langs")
	tm.want(0, "ada\nc\ngo\nrust\n", "get", "langs")
	tm.want(0, "2\n", "srem", "langs", "c", "ada", "lisp")
	tm.want(0, "true\n", "sismember", "langs", "go")
	tm.want(0, "false\n", "sismember", "langs", "c")
	tm.want(0, "2\n", "scard", "langs")
	tm.want(0, "0\n", "scard", "nothing")
	tm.want(3, "", "smembers", "nothing")
	tm.want(6, "", "scard", "hits")
	if f := tm.fields(0, "get", "langs"); strings.Join(anyStrings(f["value"]), ",") != "go,rust" {
		t.Errorf("get -o json of a set: %v", f)
	}
}

func anyStrings(list any) []string {
	var out []string
	for _, v := range list.([]any) {
		out = append(out, v.(string))
	}
	return out
}

func listings(t *testing.T, tm *terminal) {
	for i := range 5 {
		tm.want(0, "", "put", "page:"+strconv.Itoa(i), "v")
	}
	all := strings.Fields(tm.run("keys", "page:").out)
	if len(all) != 5 {
		t.Fatalf("keys page: lists %q, want 5 keys", all)
	}
	first := tm.run("keys", "page:", "--limit", "3")
	page, ok := strings.CutPrefix(strings.TrimSpace(first.err), "more: --page ")
	if strings.Join(strings.Fields(first.out), " ") != strings.Join(all[:3], " ") || !ok {
		t.Fatalf("keys --limit 3: %q, %q", first.out, first.err)
	}
	tm.want(0, strings.Join(all[3:], "\n")+"\n", "keys", "page:", "--page", page)
	tm.want(0, "", "keys", "nothing:")
	tm.want(2, "", "keys", "--limit", "-1")
}

func connections(t *testing.T, tm *terminal) {
	info, err := readDemo(tm.env["GODWIT_DEMO"])
	if err != nil {
		t.Fatal(err)
	}
	euw1 := info.DCs[1].GRPC[0]
	bare := &terminal{t: t, env: map[string]string{"GODWIT_DEMO": filepath.Join(t.TempDir(), "none")}}
	bare.want(4, "", "get", "hits")
	bare.want(0, "", "put", "here", "v", "--addr", euw1)
	if f := bare.fields(0, "get", "here", "--addr", euw1); f["dc"] != "euw1" {
		t.Errorf("--addr asks %v, want euw1", f["dc"])
	}
	bare.env["GODWIT_ADDR"] = euw1
	bare.want(0, "v\n", "get", "here")
	tm.want(2, "", "get", "hits", "--dc", "mars")
	tm.want(2, "", "get", "hits", "--consistency", "most")
	tm.want(2, "", "get", "hits", "--timeout", "1h")
	tm.want(2, "", "get", "hits", "-o", "xml")
	tm.want(2, "", "get", "hits", "more")

	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	if err != nil {
		t.Fatal(err)
	}
	silent := l.Addr().String()
	bare.want(5, "", "get", "hits", "--addr", silent, "--timeout", "200ms")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	bare.want(4, "", "get", "hits", "--addr", silent, "--timeout", "500ms")
	// A datacenter that does not answer is not equal, and one nobody can ask neither.
	delete(bare.env, "GODWIT_ADDR")
	if f := bare.fields(7, "verify", "--addr", euw1+","+silent, "--settle", "0s", "--timeout", "500ms"); f["equal"] != false {
		t.Errorf("verify with a silent address: %v", f)
	}
	if f := bare.fields(7, "verify", "--addr", euw1, "--settle", "0s"); f["equal"] != false {
		t.Errorf("verify of one of two datacenters: %v", f)
	}
}

func cutAndHeal(t *testing.T, tm *terminal) {
	tm.want(0, "", "put", "old", "v")
	tm.want(0, "1\n", "sadd", "cart", "tea")
	if f := tm.fields(0, "verify", "--settle", "10s"); f["equal"] != true || f["since"] == nil || len(f["pairs"].([]any)) != 1 || len(f["differing"].([]any)) != 0 {
		t.Fatalf("verify: %v", f)
	}
	tm.want(0, "", "wan", "cut", "use1", "euw1")
	tm.want(0, "3\n", "incr", "visits", "3", "--dc", "use1")
	tm.want(0, "4\n", "incr", "visits", "4", "--dc", "euw1")
	tm.want(0, "", "put", "greeting", "bonjour", "--dc", "use1")
	tm.want(0, "", "put", "greeting", "hallo", "--dc", "euw1")
	tm.want(0, "1\n", "srem", "cart", "tea", "--dc", "use1")
	tm.want(0, "0\n", "sadd", "cart", "tea", "--dc", "euw1")
	tm.want(0, "1\n", "del", "old", "--dc", "use1")
	tm.want(0, "use1\t3\neuw1\t4\n", "get", "--all", "visits")
	tm.want(0, "use1\t(absent)\neuw1\tv\n", "get", "--all", "old")
	f := tm.fields(7, "verify", "--settle", "50ms")
	pair := f["pairs"].([]any)[0].(map[string]any)
	if f["equal"] != false || pair["equal"] != false || pair["clock_equal"] != false || pair["merkle_equal"] != false || pair["a"] != "use1" || pair["b"] != "euw1" {
		t.Errorf("verify during a cut: %v", f)
	}
	r := tm.run("diff")
	for _, want := range []string{
		`(?m)^KEY +KIND +use1 +euw1 +AFTER HEAL$`,
		`(?m)^visits +counter +3 +4 +7 +adds up$`,
		`(?m)^greeting +register +bonjour +hallo +hallo +last writer, by \S+; bonjour stays listed as a conflict$`,
		`(?m)^cart +set +\(absent\) +\{\+tea\} +\{tea\} +add wins$`,
		`(?m)^old +register +\(absent\) +v +\(absent\) +deleted$`,
	} {
		if !regexp.MustCompile(want).MatchString(r.out) {
			t.Errorf("diff prints no line %s:\n%s", want, r.out)
		}
	}
	if f := tm.fields(0, "diff", "visits"); f["keys"].([]any)[0].(map[string]any)["after"] != 7.0 {
		t.Errorf("diff visits -o json: %v", f)
	}
	if f := tm.fields(0, "wan", "show"); f["links"].([]any)[0].(map[string]any)["state"] != "cut" {
		t.Errorf("wan show: %v", f)
	}
	if r := tm.run("wan", "heal"); r.code != 0 || !regexp.MustCompile(`^healed; 7 events replayed; all datacenters equal after [0-9.]+m?s\n$`).MatchString(r.out) {
		t.Errorf("wan heal: exit %d, %q, %q", r.code, r.out, r.err)
	}
	tm.want(0, "use1\t7\neuw1\t7\n", "get", "--all", "visits")
	tm.want(0, "use1\t{tea}\neuw1\t{tea}\n", "get", "--all", "cart")
	tm.want(3, "use1\t(absent)\neuw1\t(absent)\n", "get", "--all", "old")
	if r := tm.run("conflicts", "list"); !regexp.MustCompile(`default +greeting +register +hallo +bonjour`).MatchString(r.out) {
		t.Errorf("conflicts list: %q", r.out)
	}
	tm.want(0, "", "diff")
}

func overview(t *testing.T, tm *terminal) {
	f := tm.fields(0, "lag")
	pairs := f["pairs"].([]any)
	if len(pairs) != 2 {
		t.Fatalf("lag: %v", f)
	}
	for _, name := range []string{"from", "to", "beacon_age_ms", "pending_events", "pending_bytes", "repair_debt"} {
		if _, ok := pairs[0].(map[string]any)[name]; !ok {
			t.Errorf("lag: no field %s in %v", name, pairs[0])
		}
	}
	if r := tm.run("lag", "--fail-above", "1ns"); r.code != 7 {
		t.Errorf("lag --fail-above 1ns: exit %d, want 7", r.code)
	}
	if r := tm.run("lag", "--fail-above", "30s"); r.code != 0 {
		t.Errorf("lag --fail-above 30s: exit %d, want 0", r.code)
	}
	if f := tm.fields(0, "status"); len(f["dcs"].([]any)) != 2 {
		t.Errorf("status: %v", f)
	}
	if r := tm.run("ring", "--key", "visits"); !regexp.MustCompile(`(?m)^euw1 +global +\d+ +euw1-a$`).MatchString(r.out) {
		t.Errorf("ring --key: %q", r.out)
	}
	tm.want(0, "", "wan", "set", "use1", "euw1", "--latency", "9ms", "--bandwidth", "1Gbit")
	link := tm.fields(0, "wan", "show")["links"].([]any)[0].(map[string]any)
	if link["latency_ms"] != 9.0 || link["bandwidth_bytes"] != 125000000.0 {
		t.Errorf("wan set: %v", link)
	}
	tm.want(2, "", "wan", "set", "use1", "euw1")
	tm.want(2, "", "wan", "cut", "use1", "use1")
	tm.want(2, "", "wan", "cut", "mars")
}

func TestDemoScript(t *testing.T) {
	dir := t.TempDir()
	args := func(script string) []string {
		return []string{"demo", "--memory", "--dcs", "use1,euw1", "--nodes", "1", "--base-port", "0", "--data", dir, "--script", file(t, "script", script)}
	}
	tm := &terminal{t: t, env: map[string]string{"GODWIT_ADDR": "127.0.0.1:1"}} // the prompt speaks to its own demo
	tm.want(0, `godwit> incr hits 7 ; incr hits -- -2
7
5
godwit> put greeting "a ; b" ; get greeting
a ; b
godwit> exit
`, args("# two commands on a line\n\nincr hits 7 ; incr hits -- -2\nput greeting \"a ; b\" ; get greeting\nexit\nget never\n")...)
	tm.want(3, "godwit> get nobody\n", args("get nobody\nincr hits\n")...)
	tm.want(2, "godwit> demo\n", args("demo\n")...)
	if _, err := os.Stat(filepath.Join(dir, "demo.json")); !os.IsNotExist(err) {
		t.Errorf("demo.json is left behind: %v", err)
	}
}

func TestDemoRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	tm := &terminal{t: t}
	tests := []struct {
		name, want string
		code       int
		args       []string
	}{
		{"a port in use", "port " + strconv.Itoa(port) + " is in use", 1, []string{"--base-port", strconv.Itoa(port - 1)}},
		{"a bad name", "Use1", 2, []string{"--dcs", "Use1,euw1"}},
		{"a name twice", "use1", 2, []string{"--dcs", "use1,use1"}},
		{"no nodes", "--nodes", 2, []string{"--nodes", "0"}},
		{"an unknown pair", "mars", 2, []string{"--rtt", "use1-mars=3ms"}},
		{"no script", "none", 2, []string{"--script", filepath.Join(t.TempDir(), "none")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tm.run(append([]string{"demo", "--memory", "--data", t.TempDir()}, tt.args...)...)
			if r.code != tt.code || !strings.Contains(r.err, tt.want) {
				t.Errorf("exit %d, %q: want %d and %q", r.code, r.err, tt.code, tt.want)
			}
		})
	}
}
