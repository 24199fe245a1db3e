package main

import (
	_ "embed" // what is run in the page
	"fmt"
	"slices"
	"strings"
)

//go:embed look.js
var lookJS string

// looks is what look.js finds in a page, and what its report says should be there.
type looks struct {
	Ready        bool
	Title        string
	Headings     []string
	Charts       []chart
	CaughtUp     int        // bands of catching up
	Heat         [][]string // for each matrix the pairs that have a number and a colour
	WantLines    struct{ Behind, Sites int }
	WantMarks    []string
	WantCaughtUp int
	WantPairs    []string
	Overlaps     []string // texts of charts that lie over each other
	TooWide      int      // pixels
	Loaded       []string // addresses beside the page
	Background   string
	Ink          string
}

// chart is one drawing.
type chart struct {
	Label  string
	Lines  []line
	Titles []string // of its axes
	Legend []string
	Marks  []string // faults
}

type line struct {
	Name  string
	Drawn bool
}

func (l *looks) lines() int {
	n := 0
	for _, c := range l.Charts {
		n += len(c.Lines)
	}
	return n
}

// problems tells what is not as it should be.
func (l *looks) problems(scheme string) []string {
	var out []string
	bad := func(when bool, format string, args ...any) {
		if when {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	bad(!l.Ready, "its script did not come to its end")
	bad(!strings.HasPrefix(l.Title, "godwit load test: "), "its title is %q", l.Title)
	bad(len(l.Loaded) > 0, "it loads %v", l.Loaded)
	bad(l.TooWide > 0, "it is %d pixels wider than the window", l.TooWide)
	for _, o := range l.Overlaps {
		bad(true, "text over text: %s", o)
	}
	for _, want := range []string{"how far behind", "operations a second", "p99 latency"} {
		bad(!slices.ContainsFunc(l.Charts, func(c chart) bool { return c.Label == want }), "it has no chart of %s", want)
	}
	for _, c := range l.Charts {
		out = append(out, l.chartProblems(&c)...)
	}
	bad(l.CaughtUp != l.WantCaughtUp, "%d heals show how long catching up took, %d did", l.CaughtUp, l.WantCaughtUp)
	bad(len(l.Heat) == 0 && len(l.WantPairs) > 0, "it has no matrix of pairs")
	for _, pairs := range l.Heat {
		for _, want := range l.WantPairs {
			bad(!slices.Contains(pairs, want), "a matrix has no number for %s", want)
		}
	}
	light, err := bright(l.Background)
	dark, inkErr := bright(l.Ink)
	bad(err != nil || inkErr != nil || light != (scheme == "light") || dark == light, "it is %s on %s", l.Ink, l.Background)
	return out
}

func (l *looks) chartProblems(c *chart) []string {
	var out []string
	for _, line := range c.Lines {
		if !line.Drawn {
			out = append(out, fmt.Sprintf("chart of %s: line %s is not drawn", c.Label, line.Name))
		}
		if !slices.Contains(c.Legend, line.Name) {
			out = append(out, fmt.Sprintf("chart of %s: line %s has no name in the legend", c.Label, line.Name))
		}
	}
	want, timed := map[string]int{"how far behind": l.WantLines.Behind, "operations a second": l.WantLines.Sites, "p99 latency": l.WantLines.Sites}[c.Label]
	if timed && len(c.Lines) != want || len(c.Lines) == 0 {
		out = append(out, fmt.Sprintf("chart of %s: %d lines, want %d", c.Label, len(c.Lines), want))
	}
	if len(c.Titles) != 2 {
		out = append(out, fmt.Sprintf("chart of %s: its axes are named %v", c.Label, c.Titles))
	}
	if timed && !slices.Equal(c.Marks, l.WantMarks) {
		out = append(out, fmt.Sprintf("chart of %s: it marks %v, want %v", c.Label, c.Marks, l.WantMarks))
	}
	return out
}

// bright tells whether a colour, such as rgb(1, 2, 3), is nearer to white.
func bright(colour string) (bool, error) {
	var r, g, b int
	if _, err := fmt.Sscanf(colour, "rgb(%d, %d, %d)", &r, &g, &b); err != nil {
		return false, fmt.Errorf("colour %q: %w", colour, err)
	}
	return r+g+b > 3*128, nil
}
