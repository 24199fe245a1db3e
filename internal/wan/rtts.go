package wan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// defaultRTT is the round trip between datacenters of which nothing is known.
const defaultRTT = 80 * time.Millisecond

// RTTs tells the round-trip time between datacenters. The zero RTTs knows
// well-known cloud regions by their usual short names (use1, euw1, apne1, ...),
// with rounded figures of the public internet, and takes 80 ms for all other
// pairs. RTTs is immutable.
type RTTs struct{ given map[pair]time.Duration }

// ParseRTTs reads a list such as "use1-euw1=76ms,eu-west-apne1=210ms" and returns
// RTTs in which it stands before what is well known. Names may contain '-': a
// pair is read as two of the names in dcs. An error names the entry and what is
// wrong with it; unknown names wrap ErrUnknownDC. An empty text is an empty list.
func ParseRTTs(text string, dcs []string) (RTTs, error) {
	given := make(map[pair]time.Duration)
	if strings.TrimSpace(text) == "" {
		return RTTs{given: given}, nil
	}
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		p, rtt, err := parseRTT(entry, dcs)
		if err != nil {
			return RTTs{}, fmt.Errorf("round trip %q: %w", entry, err)
		}
		if earlier, twice := given[p]; twice {
			return RTTs{}, fmt.Errorf("round trip %q: the pair was given before, as %s", entry, earlier)
		}
		given[p] = rtt
	}
	return RTTs{given: given}, nil
}

// Between returns the round-trip time between two datacenters, in either order.
func (r RTTs) Between(a, b string) time.Duration {
	if a == b {
		return 0
	}
	p := unordered(a, b)
	if rtt, ok := r.given[p]; ok {
		return rtt
	}
	return wellKnown(p)
}

// Profile returns a Profile with half the round trip as latency.
func (r RTTs) Profile(a, b string) Profile {
	return Profile{Latency: r.Between(a, b) / 2}
}

func parseRTT(entry string, dcs []string) (pair, time.Duration, error) {
	names, value, found := strings.Cut(entry, "=")
	if !found {
		return pair{}, 0, errors.New("want FROM-TO=TIME, as in use1-euw1=76ms")
	}
	p, err := parsePair(strings.TrimSpace(names), dcs)
	if err != nil {
		return pair{}, 0, err
	}
	rtt, err := time.ParseDuration(strings.TrimSpace(value))
	if err != nil {
		return pair{}, 0, fmt.Errorf("%q is no time; give a number and a unit, as in 76ms", value)
	}
	if rtt < 0 || rtt > 2*maxLatency {
		return pair{}, 0, fmt.Errorf("%s is not between 0s and %s", rtt, 2*maxLatency)
	}
	return p, rtt, nil
}

// parsePair splits "a-b" into two names of dcs, either of which may contain '-'.
func parsePair(text string, dcs []string) (pair, error) {
	var readings []pair
	for at := range len(text) {
		if text[at] != '-' {
			continue
		}
		a, b := text[:at], text[at+1:]
		if slices.Contains(dcs, a) && slices.Contains(dcs, b) {
			readings = append(readings, pair{a, b})
		}
	}
	switch {
	case len(readings) > 1:
		return pair{}, fmt.Errorf("may be read as %s and %s or as %s and %s; rename a datacenter",
			readings[0].from, readings[0].to, readings[1].from, readings[1].to)
	case len(readings) == 1 && readings[0].from == readings[0].to:
		return pair{}, fmt.Errorf("%q is paired with itself", readings[0].from)
	case len(readings) == 1:
		return unordered(readings[0].from, readings[0].to), nil
	}
	known := slices.Sorted(slices.Values(dcs))
	if a, b, two := strings.Cut(text, "-"); two && strings.Count(text, "-") == 1 {
		if slices.Contains(dcs, a) {
			a = b
		}
		return pair{}, unknownDC(a, known)
	}
	return pair{}, unknownDC(text, known)
}

// unordered names the pair in the order that wellKnown uses.
func unordered(a, b string) pair { return pair{min(a, b), max(a, b)} }

// wellKnown returns the round trip between regions, rounded from what the
// public latency monitors of the large clouds show.
func wellKnown(p pair) time.Duration {
	const ms = time.Millisecond
	known := map[pair]time.Duration{
		{"use1", "usw2"}:   66 * ms,
		{"euw1", "use1"}:   76 * ms,
		{"euc1", "use1"}:   92 * ms,
		{"apne1", "use1"}:  146 * ms,
		{"apse1", "use1"}:  218 * ms,
		{"aps1", "use1"}:   190 * ms,
		{"sae1", "use1"}:   114 * ms,
		{"euw1", "usw2"}:   124 * ms,
		{"euc1", "usw2"}:   142 * ms,
		{"apne1", "usw2"}:  98 * ms,
		{"apse1", "usw2"}:  162 * ms,
		{"aps1", "usw2"}:   218 * ms,
		{"sae1", "usw2"}:   174 * ms,
		{"euc1", "euw1"}:   26 * ms,
		{"apne1", "euw1"}:  210 * ms,
		{"apse1", "euw1"}:  174 * ms,
		{"aps1", "euw1"}:   122 * ms,
		{"euw1", "sae1"}:   178 * ms,
		{"apne1", "euc1"}:  224 * ms,
		{"apse1", "euc1"}:  158 * ms,
		{"aps1", "euc1"}:   112 * ms,
		{"euc1", "sae1"}:   204 * ms,
		{"apne1", "apse1"}: 70 * ms,
		{"apne1", "aps1"}:  128 * ms,
		{"apne1", "sae1"}:  256 * ms,
		{"aps1", "apse1"}:  56 * ms,
		{"apse1", "sae1"}:  322 * ms,
		{"aps1", "sae1"}:   298 * ms,
	}
	if rtt, ok := known[p]; ok {
		return rtt
	}
	return defaultRTT
}
