package main

import (
	"strings"
	"testing"
)

// good is a page with nothing wrong.
func good() *looks {
	over := func(label string, names ...string) chart {
		c := chart{Label: label, Legend: names, Titles: []string{"time", label}, Marks: []string{"cut b", "heal all links"}}
		for _, n := range names {
			c.Lines = append(c.Lines, line{n, true})
		}
		return c
	}
	l := &looks{
		Ready: true, Title: "godwit load test: counters", Background: "rgb(247, 247, 245)", Ink: "rgb(29, 35, 41)",
		Charts:    []chart{over("how far behind", "a → b", "b → a"), over("operations a second", "a", "b"), over("p99 latency", "a", "b")},
		WantMarks: []string{"cut b", "heal all links"}, WantCaughtUp: 1, CaughtUp: 1,
		WantPairs: []string{"a b", "b a"}, Heat: [][]string{{"a b", "b a"}},
	}
	l.WantLines.Behind, l.WantLines.Sites = 2, 2
	return l
}

func TestProblems(t *testing.T) {
	tests := []struct {
		name   string
		change func(*looks)
		want   string // "": none
	}{
		{"nothing", func(*looks) {}, ""},
		{"the script fails", func(l *looks) { l.Ready = false }, "did not come to its end"},
		{"a chart is missing", func(l *looks) { l.Charts = l.Charts[:2] }, "no chart of p99 latency"},
		{"a line is missing", func(l *looks) { l.Charts[0].Lines = l.Charts[0].Lines[:1] }, "how far behind: 1 lines, want 2"},
		{"a line is not drawn", func(l *looks) { l.Charts[1].Lines[0].Drawn = false }, "line a is not drawn"},
		{"a line has no name", func(l *looks) { l.Charts[1].Legend = nil }, "no name in the legend"},
		{"an axis has no name", func(l *looks) { l.Charts[1].Titles = nil }, "axes are named"},
		{"a fault is not marked", func(l *looks) { l.Charts[2].Marks = l.Charts[2].Marks[1:] }, "want [cut b heal all links]"},
		{"no catch-up", func(l *looks) { l.CaughtUp = 0 }, "0 heals show"},
		{"no matrix", func(l *looks) { l.Heat = nil }, "no matrix"},
		{"a pair is missing", func(l *looks) { l.Heat[0] = l.Heat[0][:1] }, "no number for b a"},
		{"text over text", func(l *looks) { l.Overlaps = []string{"p0 and p50"} }, "p0 and p50"},
		{"it loads something", func(l *looks) { l.Loaded = []string{"https://example.org/x.js"} }, "example.org"},
		{"it is too wide", func(l *looks) { l.TooWide = 7 }, "7 pixels wider"},
		{"light stays dark", func(l *looks) { l.Background, l.Ink = l.Ink, l.Background }, "it is rgb(247"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := good()
			tt.change(l)
			got := strings.Join(l.problems("light"), "; ")
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
		})
	}
}

func TestBadArguments(t *testing.T) {
	var errs strings.Builder
	if code := run(nil, &errs, &errs); code != 2 || !strings.Contains(errs.String(), "usage: checkpage") {
		t.Errorf("exit %d, %q", code, errs.String())
	}
	errs.Reset()
	if code := run([]string{"-browser", "/no/such/browser", "looks.go"}, &errs, &errs); code != 1 || !strings.Contains(errs.String(), "start /no/such/browser") {
		t.Errorf("exit %d, %q", code, errs.String())
	}
}
