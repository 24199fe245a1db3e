package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/shlex"
)

// story is how a key of some kind is changed in several datacenters at once.
// Lines are commands; "?N " in front says that one ends with exit code N.
type story struct {
	name   string // of the kind
	key    string
	before []string // one after another, everywhere at home before what follows
	then   []string // the same, for what needs to have seen before
	use1   []string // during the cut
	euw1   []string
	apne1  []string
	after  string // JSON of the merge
	reason string // a regular expression
}

func stories() []story {
	return []story{
		{
			name: "register", key: "greeting", before: []string{"put greeting hi --dc use1"},
			use1: []string{"put greeting bonjour"}, euw1: []string{"put greeting hallo"},
			after: `"hallo"`, reason: `^last writer, by \S+; bonjour stays listed as a conflict$`,
		},
		{
			name: "mvregister", key: "draft",
			use1: []string{"put draft one --kind mvregister"}, euw1: []string{"put draft two --kind mvregister"},
			after: `["two","one"]`, reason: "^siblings, until a put with their context$",
		},
		{
			name: "counter", key: "hits", before: []string{"incr hits 10 --dc use1"},
			use1: []string{"incr hits 5", "reset hits"}, euw1: []string{"incr hits 2"}, apne1: []string{"decr hits 1"},
			after: `1`, reason: "^adds up$",
		},
		{
			name: "gcounter", key: "served", before: []string{"incr served 1 --kind gcounter --dc apne1"},
			use1: []string{"incr served 5"}, euw1: []string{"incr served 7", "?6 decr served"},
			after: `13`, reason: "^adds up$",
		},
		{
			name: "bcounter", key: "stock",
			before: []string{"incr stock 10 --kind bcounter --bound 0 --dc use1", "incr stock 1 --kind bcounter --dc euw1"},
			then:   []string{"rights stock --transfer 4 --to euw1 --dc use1"},
			use1:   []string{"decr stock 6", "?6 decr stock"}, euw1: []string{"decr stock 5", "?6 decr stock"},
			after: `0`, reason: "^adds up, never below 0$",
		},
		{
			name: "set", key: "cart", before: []string{"sadd cart tea jam --dc use1"},
			use1: []string{"srem cart tea jam"}, euw1: []string{"sadd cart tea milk"},
			after: `["milk","tea"]`, reason: "^add wins; removed elements go$",
		},
		{
			name: "gset", key: "seen", before: []string{"sadd seen a --kind gset --dc use1"},
			use1: []string{"sadd seen b", "?6 srem seen a"}, euw1: []string{"sadd seen c"},
			after: `["a","b","c"]`, reason: "^elements only come$",
		},
		{
			name: "rwset", key: "allowed", before: []string{"sadd allowed ann bob --kind rwset --dc use1"},
			use1: []string{"srem allowed ann"}, euw1: []string{"sadd allowed ann cleo"},
			after: `["bob","cleo"]`, reason: "^added elements stay; remove wins$",
		},
		{
			name: "flag", key: "dark", before: []string{"flag on dark --dc use1"},
			use1: []string{"flag off dark"}, euw1: []string{"flag on dark"},
			after: `true`, reason: "^enable wins$",
		},
		{
			name: "dwflag", key: "open", before: []string{"flag on open --kind dwflag --dc use1"},
			use1: []string{"flag off open"}, euw1: []string{"flag on open"},
			after: `null`, reason: "^disable wins$",
		},
		{
			name: "map", key: "user", before: []string{"hset user name Ada city London zip N1 --dc use1", "hincr user visits 1 --dc use1"},
			use1:   []string{"hincr user visits 2", "hset user name Countess", "hdel user city zip", "hset user street Main --field home"},
			euw1:   []string{"hincr user visits 3", "hset user city Paris", "sadd user admin --field roles", "incr user 4 --field home --field rooms"},
			after:  `{"city":"Paris","home":{"rooms":4,"street":"Main"},"name":"Countess","roles":["admin"],"visits":6}`,
			reason: "^city: update wins; home: .*; name: a later write, which had seen the others; roles: add wins; … 2 more$",
		},
		{
			name: "zset", key: "board", before: []string{"zadd board 10 ann 20 bob 30 cleo --dc use1"},
			use1: []string{"zincr board 5 ann", "zadd board 100 bob", "zrem board cleo"}, euw1: []string{"zincr board 2.5 ann", "zincr board 7 bob", "zadd board 1 dan"},
			after:  `[{"member":"dan","score":1},{"member":"ann","score":17.5},{"member":"bob","score":107}]`,
			reason: "^add wins; increments add to the score set last; removed members go$",
		},
		{
			name: "hll", key: "visitors", before: []string{"pfadd visitors a b --dc use1"},
			use1: []string{"pfadd visitors b c"}, euw1: []string{"pfadd visitors c d e"},
			after: `5`, reason: "^counts what any has seen$",
		},
		{
			name: "expiry", key: "lease", before: []string{"put lease ann --ttl 1h --dc use1"},
			use1: []string{"expire lease 2h"}, euw1: []string{"expire lease 3h"},
			after: `"ann"`, reason: "^only the expiry differs; the longest counts$",
		},
		{
			name: "deleted", key: "old", before: []string{"hset old a 1 --dc use1"},
			use1:  []string{"del old"},
			after: `null`, reason: "^deleted$",
		},
	}
}

// do runs the lines of a story, in a datacenter if it is given.
func (tm *terminal) do(dcName string, lines []string) {
	tm.t.Helper()
	for _, line := range lines {
		code := 0
		if rest, ok := strings.CutPrefix(line, "?"); ok {
			code, line = int(rest[0]-'0'), rest[2:]
		}
		args, err := shlex.Split(line)
		if err != nil {
			tm.t.Fatal(err)
		}
		if dcName != "" {
			args = append(args, "--dc", dcName)
		}
		if r := tm.run(args...); r.code != code {
			tm.t.Errorf("%s: %s: exit %d, want %d: %s", dcName, line, r.code, code, r.err)
		}
	}
}

// prediction is what diff says of one key.
type prediction struct {
	Key    string          `json:"key"`
	Kind   string          `json:"kind"`
	After  json.RawMessage `json:"after"`
	Reason string          `json:"reason"`
}

// Every kind is changed in datacenters that cannot hear each other. What diff
// then says the merge will be is what every datacenter shows after the heal.
func TestEveryKindMergesAsPredicted(t *testing.T) {
	tm := startDCs(t, 1, "use1-euw1=4ms,use1-apne1=4ms,euw1-apne1=4ms", "use1", "euw1", "apne1")
	all := stories()
	tm.do("", []string{"verify --settle 10s"})
	for _, st := range all {
		tm.do("", st.before)
	}
	tm.do("", []string{"verify --settle 10s"})
	for _, st := range all {
		tm.do("", st.then)
	}
	tm.do("", []string{"verify --settle 10s", "wan cut use1", "wan cut euw1"})
	for _, st := range all {
		tm.do("use1", st.use1)
		tm.do("euw1", st.euw1)
		tm.do("apne1", st.apne1)
	}
	tm.do("use1", []string{"incr clash 3"})
	tm.do("euw1", []string{"sadd clash x"})
	predicted := map[string]prediction{}
	for _, st := range all {
		var out struct{ Keys []prediction }
		r := tm.run("diff", st.key, "-o", "json")
		if err := json.Unmarshal([]byte(r.out), &out); err != nil || len(out.Keys) != 1 {
			t.Fatalf("diff %s: %v\n%s%s", st.key, err, r.out, r.err)
		}
		predicted[st.key] = out.Keys[0]
	}
	if r := tm.run("diff"); strings.Count(r.out, "\n") != len(all)+2 { // a header, and the clash
		t.Errorf("diff lists not all %d keys:\n%s", len(all)+1, r.out)
	}
	explained := tm.run("explain", "user").out
	healed := tm.run("wan", "heal")
	if !strings.Contains(healed.out, "all datacenters equal") {
		t.Fatalf("heal: %s%s", healed.out, healed.err)
	}
	for _, st := range all {
		t.Run(st.name, func(t *testing.T) {
			p := predicted[st.key]
			if string(p.After) != st.after || !regexp.MustCompile(st.reason).MatchString(p.Reason) {
				t.Errorf("diff predicts %s (%s), want %s (%s)", p.After, p.Reason, st.after, st.reason)
			}
			for _, dcName := range []string{"use1", "euw1", "apne1"} {
				if got := shownIn(t, tm, st.key, dcName); got != st.after {
					t.Errorf("%s shows %s after the heal, want %s", dcName, got, st.after)
				}
			}
		})
	}
	t.Run("expire", func(t *testing.T) { expiresEverywhere(t, tm) })
	t.Run("told", func(t *testing.T) { tellsWhatFieldsHold(t, tm) })
	t.Run("explain", func(t *testing.T) { explainsEvents(t, tm, explained) })
	t.Run("two kinds", func(t *testing.T) { keepsOneKind(t, tm) })
	t.Run("resolve", func(t *testing.T) { keepsOneValue(t, tm) })
}

// shownIn is the value of a key in a datacenter as diff would write it.
func shownIn(t *testing.T, tm *terminal, key, dcName string) string {
	t.Helper()
	var got struct {
		Kind     string
		Value    json.RawMessage
		Siblings []struct{ Value json.RawMessage }
	}
	r := tm.run("get", key, "--dc", dcName, "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("get %s: %v: %q, %q", key, err, r.out, r.err)
	}
	if got.Kind != "mvregister" {
		return string(got.Value)
	}
	var values []string
	for _, s := range got.Siblings {
		values = append(values, string(s.Value))
	}
	return "[" + strings.Join(values, ",") + "]"
}

func expiresEverywhere(t *testing.T, tm *terminal) {
	for _, dcName := range []string{"use1", "euw1", "apne1"} {
		if f := tm.fields(0, "ttl", "lease", "--dc", dcName); f["ttl_ms"].(float64) < 2.5*3600*1000 {
			t.Errorf("%s: of two expiries at the same time the shorter counts: %v", dcName, f)
		}
	}
	tm.do("euw1", []string{"persist lease"})
	tm.want(0, "none\n", "ttl", "lease", "--dc", "euw1")
	tm.do("use1", []string{"put brief v --ttl 300ms"})
	for _, dcName := range []string{"use1", "euw1", "apne1"} {
		deadline := time.Now().Add(20 * time.Second)
		for tm.run("get", "brief", "--dc", dcName).code != exitNotFound {
			if time.Now().After(deadline) {
				t.Fatalf("%s still shows what has expired", dcName)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	tm.want(3, "", "expire", "brief", "1h")
	tm.want(3, "", "ttl", "brief")
}

// What a change of a map answers is the numbers that it left, without a read.
func tellsWhatFieldsHold(t *testing.T, tm *terminal) {
	tm.want(0, "2.5\n", "zincr", "told", "2.5", "ada", "--field", "board", "--dc", "use1")
	tm.want(0, "3\n", "zincr", "told", "0.5", "ada", "--field", "board", "--dc", "use1")
	tm.want(0, "4\n", "incr", "told", "4", "--field", "home", "--field", "rooms", "--dc", "use1")
	tm.want(0, "6\n", "hincr", "told", "visits", "6", "--dc", "use1")
	if f := tm.fields(0, "zincr", "told", "1", "ada", "--field", "board", "--dc", "use1"); f["value"] != 4.0 {
		t.Errorf("zincr in a map: %v", f)
	}
}

func explainsEvents(t *testing.T, tm *terminal, during string) {
	for _, want := range []string{
		`^user: a map in bucket default, partition \d+ of placement global\n`,
		`(?m)^use1 +use1-a +\{home=\{street=Main\}, name=Countess, visits=3\}`,
		`(?m)^CELL +EVENT +STAMP +use1 +euw1 +apne1$`,
		`(?m)^name \(register\) +use1/use1-a#[0-9a-f]{8}:\d+ +\S+Z +Countess +unseen +unseen$`,
		`(?m)^name \(register\) +use1/use1-a#[0-9a-f]{8}:\d+ +\S+Z +removed +Ada +Ada$`,
		`(?m)^home street \(register\) .* Main +unseen +unseen$`,
		`(?m)^roles \(set\) admin +euw1/euw1-a#[0-9a-f]{8}:\d+ +unseen +live +unseen$`,
		`(?m)^visits \(counter\) +use1/use1-a#[0-9a-f]{8}:\d+ +3 +1 +1$`,
	} {
		if !regexp.MustCompile(want).MatchString(during) {
			t.Errorf("explain prints no line %s:\n%s", want, during)
		}
	}
	f := tm.fields(0, "explain", "greeting")
	events := f["events"].([]any)
	if f["conflict"] != true || f["after"] != "hallo" || len(f["dcs"].([]any)) != 3 || len(events) != 2 {
		t.Fatalf("explain -o json: %v", f)
	}
	names := map[string]string{}
	for _, e := range events {
		e := e.(map[string]any)
		at := e["at"].(map[string]any)["apne1"].(map[string]any)
		actor := e["actor"].(map[string]any)
		names[actor["dc"].(string)+"/"+actor["node"].(string)] = at["holds"].(string)
		if at["state"] != "live" || e["stamp"] == nil {
			t.Errorf("event %v", e)
		}
	}
	if names["use1/use1-a"] != "bonjour" || names["euw1/euw1-a"] != "hallo" {
		t.Errorf("explain names the writers %v", names)
	}
	tm.want(3, "", "explain", "nobody")
	tm.want(2, "", "explain", "user", "--limit", "0")
	if r := tm.run("explain", "user", "--limit", "1"); !strings.Contains(r.out, "more events (--limit)") {
		t.Errorf("explain --limit 1:\n%s", r.out)
	}
}

func keepsOneKind(t *testing.T, tm *terminal) {
	tm.want(6, "", "get", "clash")
	tm.want(2, "", "conflicts", "resolve", "clash", "--keep", "x")
	tm.want(6, "", "conflicts", "resolve", "clash", "--keep", "map")
	if f := tm.fields(0, "explain", "clash"); f["conflict"] != true || f["kind"] != "counter+set" {
		t.Errorf("explain of two kinds: %v", f)
	}
	tm.want(0, "", "conflicts", "resolve", "clash", "--keep", "set")
	tm.do("", []string{"verify --settle 10s"})
	tm.want(0, "use1\t{x}\neuw1\t{x}\napne1\t{x}\n", "get", "--all", "clash")
}

func keepsOneValue(t *testing.T, tm *terminal) {
	tm.want(6, "", "conflicts", "resolve", "greeting", "--keep", "hi")
	tm.want(0, "", "conflicts", "resolve", "greeting", "--keep", "bonjour")
	tm.want(0, "bonjour\n", "get", "greeting")
	if f := tm.fields(0, "get", "greeting"); f["conflict"] != false {
		t.Errorf("still a conflict: %v", f)
	}
	tm.want(0, "", "conflicts", "resolve", "draft", "--keep", "one")
	if f := tm.fields(0, "get", "draft"); f["conflict"] != false || f["value"] != "one" {
		t.Errorf("siblings after resolve: %v", f)
	}
	if t.Failed() {
		t.Log(tm.run("explain", "draft").out)
	}
}
