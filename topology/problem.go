package topology

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Severity tells a problem that must be mended from one that should be known.
type Severity string

// The severities. A topology with errors is not usable; one with warnings is.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is one thing that is wrong with a topology.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`   // from 1; 0 if the topology came from no file
	Column   int      `json:"column"` // in characters, from 1; 0 likewise
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule"` // stable name of what is violated, such as "unknown-field"
	Message  string   `json:"message"`

	source string // the line of the file
}

// Error returns the problem on one line: file:line:col: error: message [rule].
func (p Problem) Error() string {
	place := p.File
	if p.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
	return fmt.Sprintf("%s: %s: %s [%s]", place, p.Severity, p.Message, p.Rule)
}

// Problems holds all that is wrong with a topology, sorted by place.
type Problems []Problem

// HasErrors reports whether any of the problems is more than a warning.
func (ps Problems) HasErrors() bool { return ps.Errors() > 0 }

// Errors counts the errors.
func (ps Problems) Errors() int { return ps.count(Error) }

// Warnings counts the warnings.
func (ps Problems) Warnings() int { return ps.count(Warning) }

func (ps Problems) count(s Severity) (n int) {
	for _, p := range ps {
		if p.Severity == s {
			n++
		}
	}
	return n
}

// Render writes every problem with the line it is about and a caret below the
// place, and last how many there are. It writes nothing if there are none.
func (ps Problems) Render(w io.Writer) error {
	if len(ps) == 0 {
		return nil
	}
	out := bufio.NewWriter(w)
	for _, p := range ps {
		fmt.Fprintln(out, p.Error())
		if p.Line > 0 {
			line, caret := excerpt(p.source, p.Column)
			fmt.Fprintf(out, "%5d | %s\n      | %s^\n", p.Line, line, strings.Repeat(" ", caret))
		}
	}
	fmt.Fprintf(out, "%s, %s\n", plural(ps.Errors(), "error"), plural(ps.Warnings(), "warning"))
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write problems: %w", err)
	}
	return nil
}

// sorted returns the problems by place, errors before warnings at one place.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Severity, b.Severity))
	})
	return ps
}

// excerptWidth is how many characters of a long line are shown.
const excerptWidth = 160

// excerpt cuts a window around the column out of a line and returns it with the
// number of characters before the caret. Tabs become spaces and what a terminal
// might obey becomes a question mark, so that the caret stands where it should.
func excerpt(line string, column int) (text string, caret int) {
	runes := []rune(line)
	caret = min(max(column-1, 0), len(runes))
	start := 0
	if len(runes) > excerptWidth && caret > excerptWidth*3/4 {
		start = min(caret-excerptWidth/2, len(runes)-excerptWidth)
	}
	shown := runes[start:min(start+excerptWidth, len(runes))]
	return strings.TrimRight(strings.Map(printable, string(shown)), " "), caret - start
}

func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case unicode.IsPrint(r) && r != utf8.RuneError:
		return r
	}
	return '?'
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
