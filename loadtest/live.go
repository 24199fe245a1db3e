package loadtest

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// plainEvery is the pause between lines where there is no terminal.
const plainEvery = 5 * time.Second

// liveWidth is how much of a line is written over on a terminal.
const liveWidth = 118

// Live returns a function for Options.Progress that shows how a run is doing: a
// line that changes on a terminal, a line now and then elsewhere. Errors of w
// are ignored: the run matters more.
func Live(w io.Writer, terminal bool, dcs []string) func(Progress) {
	last := time.Duration(-1 << 62)
	phase := ""
	show := func(text string) { _, _ = io.WriteString(w, text) }
	return func(p Progress) {
		line := lineOf(p, dcs)
		switch {
		case p.Fault != "":
			if terminal {
				line = "\r" + pad(line)
			}
			show(line + "\n")
		case terminal:
			show("\r" + pad(line))
			if p.Phase == "check" {
				show("\n")
			}
		case p.Phase != phase || p.T-last >= plainEvery:
			last, phase = p.T, p.Phase
			show(line + "\n")
		}
	}
}

func pad(line string) string {
	runes := []rune(line)
	if len(runes) > liveWidth {
		return string(runes[:liveWidth])
	}
	return line + strings.Repeat(" ", liveWidth-len(runes))
}

// lineOf is the state of a run on a line.
func lineOf(p Progress, dcs []string) string {
	at := fmt.Sprintf("%6.1fs", p.T.Seconds())
	switch {
	case p.Fault != "":
		return at + "  " + p.Fault
	case strings.HasPrefix(p.Phase, "preload"):
		return p.Phase
	case p.Phase == "check":
		return at + "  check: reading what is there in the end"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-7s %8.0f op/s", at, p.Phase, p.Rate)
	for i, rate := range p.Rates {
		if i < len(dcs) && len(dcs) > 1 {
			fmt.Fprintf(&b, "  %s %.0f", dcs[i], rate)
		}
	}
	fmt.Fprintf(&b, "  p50 %s p99 %s", shortMS(p.P50), shortMS(p.P99))
	if p.BehindPair != "" {
		fmt.Fprintf(&b, "  behind %s %s", p.BehindPair, shortMS(durationMS(p.Behind)))
	}
	if p.Errors > 0 {
		fmt.Fprintf(&b, "  %d errors", p.Errors)
	}
	return b.String()
}

// shortMS is a number of milliseconds for people, in three digits or so.
func shortMS(ms float64) string {
	switch {
	case ms == 0:
		return "-"
	case ms < 1:
		return fmt.Sprintf("%.2fms", ms)
	case ms < 10:
		return fmt.Sprintf("%.1fms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0fms", ms)
	}
	return fmt.Sprintf("%.1fs", ms/1000)
}
