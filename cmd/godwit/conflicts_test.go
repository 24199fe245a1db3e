package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// conflictLines is what one conflict command printed as JSON: key, field, kind
// and the values, those that are not shown in order.
func conflictLines(t *testing.T, out string) (lines []string) {
	t.Helper()
	for line := range strings.Lines(out) {
		var c struct {
			Bucket, Key, Kind string
			Field, Kinds      []string
			Siblings          []struct{ Value, Stamp, Dot string }
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		var values []string
		for _, s := range c.Siblings {
			values = append(values, s.Value)
			if s.Stamp == "" || s.Dot == "" {
				t.Errorf("sibling without stamp or dot: %q", line)
			}
		}
		slices.Sort(values)
		lines = append(lines, fmt.Sprintf("%s/%s%v %s%v %s", c.Bucket, c.Key, c.Field, c.Kind, c.Kinds, strings.Join(values, "|")))
	}
	slices.Sort(lines)
	return lines
}

// until waits for what another goroutine or datacenter does.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// done runs a command whose answer is not what the test is about.
func (tm *terminal) done(args ...string) {
	tm.t.Helper()
	if r := tm.run(args...); r.code != 0 {
		tm.t.Fatalf("godwit %s: exit %d, %q", strings.Join(args, " "), r.code, r.err)
	}
}

// tail runs conflicts tail in one datacenter; end interrupts it and returns its
// exit code.
func (tm *terminal) tail(dc string, args ...string) (out *shared, end func() int) {
	tm.t.Helper()
	var errs shared
	out = &shared{}
	own := *tm
	own.session = func(s *session) { s.out, s.err = out, &errs }
	ctx, cancel := context.WithCancel(tm.t.Context())
	code := make(chan int, 1)
	go func() {
		code <- own.runContext(ctx, append([]string{"conflicts", "tail", "--dc", dc}, args...)...).code
	}()
	until(tm.t, "the tail has begun", func() bool { return strings.Contains(errs.String(), "waiting for conflicts") })
	return out, func() int { cancel(); return <-code }
}

// One conflict of every sort arises when a cut heals, is told and listed in
// both datacenters, and goes with the next write that saw it.
func TestConflictsArise(t *testing.T) {
	tm := startCluster(t)
	here, endHere := tm.tail("use1", "-o", "json")
	there, endThere := tm.tail("euw1", "-o", "json")
	people, endPeople := tm.tail("euw1")
	tm.want(0, "", "wan", "cut", "use1", "euw1")
	for _, c := range [][]string{
		{"put", "greeting", "hallo"},
		{"put", "draft", "two", "--kind", "mvregister"},
		{"hset", "cart", "note", "blue"},
		{"sadd", "clash", "x"},
		{"put", "same", "same"},
	} {
		tm.done(append(c, "--dc", "euw1")...)
	}
	for _, c := range [][]string{
		{"put", "greeting", "bonjour"},
		{"put", "draft", "one", "--kind", "mvregister"},
		{"hset", "cart", "note", "red"},
		{"put", "clash", "y"},
		{"put", "same", "same"},
	} {
		tm.done(append(c, "--dc", "use1")...)
	}
	tm.want(0, "", "conflicts", "list", "--dc", "use1")
	if here.String() != "" || there.String() != "" {
		t.Errorf("during the cut: %q, %q", here.String(), there.String())
	}
	if r := tm.run("wan", "heal"); r.code != 0 {
		t.Fatalf("heal: %+v", r)
	}
	want := []string{
		"default/cart[note] map[] blue|red",
		"default/clash[] register+set[register set] ",
		"default/draft[] mvregister[] one|two",
		"default/greeting[] register[] bonjour|hallo",
	}
	for dc, out := range map[string]*shared{"use1": here, "euw1": there} {
		until(t, dc+" tells of all", func() bool { return strings.Count(out.String(), "\n") >= 4 })
		list := tm.run("conflicts", "list", "--dc", dc, "-o", "json")
		if got := conflictLines(t, list.out); !slices.Equal(got, want) {
			t.Errorf("%s lists %q\nwant %q", dc, got, want)
		}
	}
	table := "BUCKET   KEY        KIND          SHOWN    CONFLICTS WITH\n" +
		"default  cart note  map           red      blue\n" +
		"default  clash      register+set  -        \n" +
		"default  draft      mvregister    one      two\n" +
		"default  greeting   register      bonjour  hallo\n"
	if r := tm.run("conflicts", "list", "--dc", "euw1"); trimmed(r.out) != trimmed(table) {
		t.Errorf("the table is\n%s\nwant\n%s", r.out, table)
	}
	if n := strings.Count(tm.run("conflicts", "list", "--dc", "euw1", "--limit", "2", "-o", "json").out, "\n"); n != 2 {
		t.Errorf("--limit 2 lists %d", n)
	}

	seen := tm.fields(0, "get", "draft", "--dc", "use1")["context"].(string)
	tm.want(0, "", "put", "draft", "both", "--context", seen, "--dc", "use1")
	tm.want(0, "", "put", "greeting", "hi", "--dc", "use1")
	tm.done("hset", "cart", "note", "green", "--dc", "use1")
	tm.want(0, "", "conflicts", "resolve", "clash", "--keep", "set", "--dc", "use1")
	for _, dc := range []string{"use1", "euw1"} {
		until(t, dc+" lists none", func() bool {
			r := tm.run("conflicts", "list", "--dc", dc, "-o", "json")
			return r.code == 0 && r.out == ""
		})
	}
	until(t, "people are told of all", func() bool { return strings.Count(people.String(), "\n") >= 4 })
	for _, end := range []func() int{endHere, endThere, endPeople} {
		if code := end(); code != 0 {
			t.Errorf("an interrupted tail exits with %d", code)
		}
	}
	for dc, out := range map[string]*shared{"use1": here, "euw1": there} {
		if got := conflictLines(t, out.String()); !slices.Equal(got, want) {
			t.Errorf("%s told %q\nwant %q", dc, got, want)
		}
	}
	lines := slices.Sorted(strings.Lines(people.String()))
	wantLines := []string{
		"default/cart note map: red is shown, conflicts with blue\n",
		"default/clash register+set: created under several kinds\n",
		"default/draft mvregister: one is shown, conflicts with two\n",
		"default/greeting register: bonjour is shown, conflicts with hallo\n",
	}
	if !slices.Equal(lines, wantLines) {
		t.Errorf("people read %q\nwant %q", lines, wantLines)
	}
}

// trimmed drops the spaces that end lines.
func trimmed(table string) string {
	var lines []string
	for line := range strings.Lines(table) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n")
}
