package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
)

// startFake starts a datacenter in memory and returns a terminal that finds it.
func startFake(t *testing.T) *terminal {
	t.Helper()
	cluster := clienttest.Start(clienttest.Options{})
	t.Cleanup(cluster.Close)
	addr := cluster.Node("use1", 0).Addr
	return &terminal{t: t, env: map[string]string{"GODWIT_ADDR": addr}, session: func(s *session) {
		c, err := client.Open(t.Context(), cluster.Options("use1"))
		if err != nil {
			t.Fatal(err)
		}
		s.clients = map[string]*client.Client{" " + addr: c}
	}}
}

func TestMapCommands(t *testing.T) {
	tm := startFake(t)
	tm.want(0, "2\n", "hset", "u", "name", "Ada", "city", "London")
	tm.want(0, "Ada\n", "hget", "u", "name")
	tm.want(3, "", "hget", "u", "zip")
	tm.want(3, "", "hget", "nobody", "name")
	tm.want(3, "", "hgetall", "nobody")
	tm.want(0, "3\n", "hincr", "u", "visits", "3")
	tm.want(0, "4\n", "hincr", "u", "visits")
	if f := tm.fields(0, "hincr", "u", "visits", "0"); f["value"] != 4.0 || f["kind"] != "map" || f["field"].([]any)[0] != "visits" {
		t.Errorf("hincr -o json: %v", f)
	}
	tm.want(2, "", "hincr", "u", "visits", "many")
	tm.want(0, "2\n", "sadd", "u", "x", "y", "--field", "tags")
	tm.want(0, "1\n", "hset", "u", "street", "a, b", "--field", "home")
	tm.want(0, "6\n", "incr", "u", "6", "--field", "home", "--field", "rooms")
	tm.want(0, "a, b\n", "hget", "u", "home", "street")
	tm.want(0, "rooms\t6\nstreet\ta, b\n", "hget", "u", "home")
	all := "city\tLondon\nhome\t{\"rooms\":6,\"street\":\"a, b\"}\nname\tAda\ntags\t[\"x\",\"y\"]\nvisits\t4\n"
	tm.want(0, all, "hgetall", "u")
	tm.want(0, all, "get", "u")
	tm.want(0, "map\n", "type", "u")
	want := `"value":{"city":"London","home":{"rooms":6,"street":"a, b"},"name":"Ada","tags":["x","y"],"visits":4}`
	if r := tm.run("get", "u", "-o", "json"); !strings.Contains(r.out, want) {
		t.Errorf("get -o json of a map: %s", r.out)
	}
	// Two fields of a name are told apart by their kinds, others keep their names.
	tm.want(0, "1\n", "sadd", "u", "alias", "--field", "name")
	tm.want(2, "", "hget", "u", "name")
	tm.want(0, "alias\n", "hget", "u", "name", "--kind", "set")
	if f := tm.fields(0, "hgetall", "u")["fields"].(map[string]any); f["register:name"] != "Ada" || f["set:name"] == nil || f["name"] != nil || f["city"] != "London" {
		t.Errorf("ambiguous names: %v", f)
	}
	if f := tm.fields(0, "hget", "u", "name", "--kind", "register"); f["value"] != "Ada" || f["kind"] != "register" || f["field"].([]any)[0] != "name" {
		t.Errorf("hget -o json: %v", f)
	}
	tm.want(0, "1\n", "hdel", "u", "name", "--kind", "set")
	tm.want(0, "Ada\n", "hget", "u", "name")
	tm.want(0, "2\n", "hdel", "u", "name", "city", "zip")
	tm.want(0, "1\n", "hdel", "u", "street", "--field", "home")
	tm.want(3, "", "hget", "u", "home", "street")
	tm.want(2, "", "hset", "u", "a", "b", "c")
	tm.want(2, "", "hset", "u", "a", "b", "--kind", "regster")
	tm.want(6, "", "incr", "u")
	person := *tm
	person.isatty = true
	if r := person.run("hgetall", "u"); !regexp.MustCompile(`(?m)^FIELD +KIND +VALUE *\nhome +map +\{rooms=6\}\ntags +set +\{x,y\}\nvisits +counter +4$`).MatchString(r.out) {
		t.Errorf("hgetall on a terminal:\n%s", r.out)
	}
	if r := person.run("hincr", "u", "visits"); !strings.HasPrefix(r.out, "use1  u visits = 5   (2 of 3 copies") {
		t.Errorf("hincr on a terminal: %q", r.out)
	}
}

func TestFieldNames(t *testing.T) {
	tests := []struct {
		name   string
		fields []client.Field
		want   string
	}{
		{"unambiguous", []client.Field{{Name: "a", Kind: client.Set}, {Name: "b", Kind: client.Register}}, "a b"},
		{"two kinds", []client.Field{{Name: "a", Kind: client.Register}, {Name: "a", Kind: client.Set}, {Name: "b", Kind: client.Set}}, "register:a set:a b"},
		{
			"a name like a qualified one",
			[]client.Field{{Name: "a", Kind: client.Register}, {Name: "a", Kind: client.Set}, {Name: "set:a", Kind: client.Register}},
			"register:a set:a register:set:a",
		},
		{"not UTF-8", []client.Field{{Name: "\xff", Kind: client.Set}}, "base64:/w=="},
	}
	for _, tt := range tests {
		if got := strings.Join(fieldNames(tt.fields), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestZSetCommands(t *testing.T) {
	tm := startFake(t)
	tm.want(0, "3\n", "zadd", "z", "10", "ada", "2.5", "bob", "-1", "cleo")
	tm.want(0, "0\n", "zadd", "z", "10", "ada")
	tm.want(0, "cleo\nbob\nada\n", "zrange", "z", "0", "-1")
	tm.want(0, "ada\t10\nbob\t2.5\n", "zrange", "z", "0", "1", "--reverse", "--with-scores")
	tm.want(0, "bob\nada\n", "zrange", "z", "2", "inf", "--by-score")
	tm.want(0, "cleo\nbob\n", "zrange", "z", "--by-score", "--", "-inf", "3")
	tm.want(0, "", "zrange", "z", "7", "9")
	tm.want(3, "", "zrange", "nobody", "0", "-1")
	tm.want(2, "", "zrange", "z", "a", "b")
	tm.want(2, "", "zrange", "z", "a", "b", "--by-score")
	tm.want(0, "9.5\n", "zincr", "z", "-0.5", "ada")
	tm.want(0, "2\n", "zrank", "z", "ada")
	tm.want(0, "0\n", "zrank", "z", "ada", "--reverse")
	tm.want(3, "", "zrank", "z", "nobody")
	tm.want(0, "9.5\n", "zscore", "z", "ada")
	tm.want(0, "cleo\nbob\nada\n", "get", "z")
	if r := tm.run("zrange", "z", "0", "0", "-o", "json"); !strings.Contains(r.out, `"members":[{"member":"cleo","score":-1,"rank":0}]`) {
		t.Errorf("zrange -o json: %s", r.out)
	}
	if r := tm.run("get", "z", "-o", "json"); !strings.Contains(r.out, `"value":[{"member":"cleo","score":-1},{"member":"bob","score":2.5},{"member":"ada","score":9.5}]`) {
		t.Errorf("get -o json of a zset: %s", r.out)
	}
	if f := tm.fields(0, "zincr", "z", "1", "bob"); f["value"] != 3.5 || f["kind"] != "zset" {
		t.Errorf("zincr -o json: %v", f)
	}
	tm.want(0, "1\n", "zrem", "z", "bob", "nobody")
	tm.want(2, "", "zadd", "z", "1", "a", "2")
	tm.want(2, "", "zadd", "z", "NaN", "a")
	tm.want(2, "", "zincr", "z", "much", "a")
	tm.want(6, "", "zincr", "z", "1", "a", "--field", "f")
	person := *tm
	person.isatty = true
	if r := person.run("zrange", "z", "0", "-1"); !regexp.MustCompile(`^RANK +MEMBER +SCORE\n0 +cleo +-1\n1 +ada +9.5\n$`).MatchString(r.out) {
		t.Errorf("zrange on a terminal:\n%s", r.out)
	}
}

func TestFlagCommands(t *testing.T) {
	tm := startFake(t)
	tm.want(0, "false\n", "flag", "get", "f")
	tm.want(0, "", "flag", "on", "f", "--kind", "dwflag")
	tm.want(0, "true\n", "flag", "get", "f")
	tm.want(0, "true\n", "get", "f")
	tm.want(0, "dwflag\n", "type", "f")
	if f := tm.fields(0, "get", "f"); f["value"] != true {
		t.Errorf("get -o json of a flag: %v", f)
	}
	tm.want(0, "", "flag", "off", "f")
	tm.want(3, "", "get", "f")
	if f := tm.fields(0, "flag", "get", "f"); f["value"] != false {
		t.Errorf("flag get -o json: %v", f)
	}
	tm.want(2, "", "flag", "toggle", "f")
	tm.want(0, "", "flag", "on", "u", "--field", "admin")
	tm.want(0, "admin\ttrue\n", "hgetall", "u")
}

func TestSketchCommands(t *testing.T) {
	tm := startFake(t)
	tm.want(3, "", "pfcount", "h")
	tm.want(0, "1\n", "pfadd", "h", "a", "b")
	tm.want(0, "0\n", "pfadd", "h", "a")
	tm.want(0, "2\n", "pfcount", "h")
	tm.want(0, "2\n", "get", "h")
	if f := tm.fields(0, "pfcount", "h"); f["count"] != 2.0 {
		t.Errorf("pfcount -o json: %v", f)
	}
	tm.want(6, "", "flag", "get", "h")
}

func TestOtherKindsOfCountersAndSets(t *testing.T) {
	tm := startFake(t)
	tm.want(0, "3\n", "incr", "g", "3", "--kind", "gcounter")
	tm.want(6, "", "decr", "g")
	tm.want(0, "gcounter\n", "type", "g")
	tm.want(0, "1\n", "sadd", "s", "a", "--kind", "gset")
	tm.want(6, "", "srem", "s", "a")
	tm.want(0, "a\n", "smembers", "s")
	tm.want(0, "1\n", "sadd", "r", "a", "--kind", "rwset")
	tm.want(0, "1\n", "srem", "r", "a")
	tm.want(0, "10\n", "incr", "stock", "10", "--kind", "bcounter", "--bound", "0")
	tm.want(6, "", "decr", "stock", "11")
	tm.want(0, "", "rights", "stock", "--transfer", "4", "--to", "euw1")
	tm.want(0, "euw1/euw1-a\t4\nuse1/use1-a\t6\n", "rights", "stock")
	f := tm.fields(0, "rights", "stock")
	if list := f["rights"].([]any); f["value"] != 10.0 || f["bound"] != 0.0 || len(list) != 2 || list[0].(map[string]any)["amount"] != 4.0 || list[0].(map[string]any)["dc"] != "euw1" {
		t.Errorf("rights -o json: %v", f)
	}
	tm.want(2, "", "rights", "stock", "--transfer", "4")
	tm.want(2, "", "rights", "stock", "--transfer", "0", "--to", "euw1")
	tm.want(6, "", "rights", "g")
	tm.want(3, "", "rights", "nobody")
	if f := tm.fields(0, "get", "stock"); f["value"] != 10.0 || f["bound"] != 0.0 {
		t.Errorf("get -o json of a bcounter: %v", f)
	}
}

func TestExpiryCommands(t *testing.T) {
	tm := startFake(t)
	tm.want(3, "", "ttl", "k")
	tm.want(3, "", "expire", "k", "5s")
	tm.want(3, "", "persist", "k")
	left := func(least, most time.Duration) {
		t.Helper()
		r := tm.run("ttl", "k")
		if d, err := time.ParseDuration(strings.TrimSpace(r.out)); err != nil || d <= least || d > most {
			t.Errorf("ttl prints %q, want between %v and %v", r.out, least, most)
		}
	}
	tm.want(0, "", "put", "k", "v")
	tm.want(0, "none\n", "ttl", "k")
	if f := tm.fields(0, "ttl", "k"); f["ttl_ms"] != nil || f["expires_at"] != nil {
		t.Errorf("ttl -o json of a key that lives for ever: %v", f)
	}
	tm.want(0, "", "put", "k", "v", "--ttl", "1h")
	left(55*time.Minute, time.Hour)
	tm.want(0, "", "put", "k", "v", "--keep-ttl")
	left(55*time.Minute, time.Hour)
	tm.want(0, "", "expire", "k", "2h")
	left(time.Hour, 2*time.Hour)
	tm.want(0, "", "expire", "k", "600")
	left(9*time.Minute, 10*time.Minute)
	if f := tm.fields(0, "ttl", "k"); f["ttl_ms"].(float64) < 540_000 || f["expires_at"] == nil {
		t.Errorf("ttl -o json: %v", f)
	}
	if f := tm.fields(0, "get", "k"); f["expires_at"] == nil {
		t.Errorf("get -o json of a key that expires: %v", f)
	}
	tm.want(0, "", "persist", "k")
	tm.want(0, "none\n", "ttl", "k")
	tm.want(0, "", "put", "k", "v", "--ttl", "1h")
	tm.want(0, "", "put", "k", "v")
	tm.want(0, "none\n", "ttl", "k")
	for _, d := range []string{"soon", "-5s", "0", "1us"} {
		tm.want(2, "", "expire", "k", "--", d)
	}
	tm.want(2, "", "put", "k", "v", "--ttl", "0s")
	tm.want(2, "", "put", "k", "v", "--ttl", "1h", "--keep-ttl")
	tm.want(3, "", "expire", "nobody", "5s", "-o", "json")
}

func TestResolveWithoutConflict(t *testing.T) {
	tm := startFake(t)
	tm.want(2, "", "conflicts", "resolve", "k")
	tm.want(3, "", "conflicts", "resolve", "k", "--keep", "v")
	tm.want(0, "", "put", "k", "v")
	tm.want(0, "", "conflicts", "resolve", "k", "--keep", "v")
	tm.want(0, "", "conflicts", "resolve", "k", "--keep", "register")
	tm.want(6, "", "conflicts", "resolve", "k", "--keep", "w")
	tm.want(0, "1\n", "incr", "n")
	tm.want(6, "", "conflicts", "resolve", "n", "--keep", "7")
}

func TestCompletionOfKinds(t *testing.T) {
	tm := startFake(t)
	tm.want(0, "dwflag\n", "__complete", "--", "flag", "on", "k", "--kind", "dw")
	tm.want(0, "hdel\nhget\nhgetall\nhincr\nhset\n", "__complete", "--", "h")
	tm.want(0, "get\noff\non\n", "__complete", "--", "flag", "")
	tm.want(0, "--keep-ttl\n", "__complete", "--", "put", "k", "v", "--keep")
}
