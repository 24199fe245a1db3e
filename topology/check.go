package topology

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Limits of the values in a topology.
const (
	MaxDatacenters = 64
	MinPartitions  = 16
	MaxPartitions  = 65536
	MinWeight      = 0.01
	MaxWeight      = 100
	MaxValue       = 1 << 20 // bytes of a value; also the default of Bucket.MaxValue
	MaxClockSkew   = time.Minute
)

// checker judges a topology, whether it came from a file or was built in code.
type checker struct {
	*document
	t          *Topology
	dcs        index
	placed     index
	overridden map[[2]string]bool // the sorted pairs of Links.Overrides
}

// index finds the parts of one sort by their names.
type index struct {
	at      map[string]int
	defined string // the names, for messages
}

func indexed[T any](parts []T, name func(T) string) index {
	x := index{at: make(map[string]int, len(parts))}
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = name(p)
		if _, twice := x.at[names[i]]; !twice {
			x.at[names[i]] = i
		}
	}
	x.defined = list(names)
	return x
}

// complete reports whether every part has a name and there is any: while one is
// missing, a reference to what is not defined may mean that one.
func (x index) complete() bool {
	_, nameless := x.at[""]
	return len(x.at) > 0 && !nameless
}

// check reports everything that is wrong with the topology to the document.
func (t *Topology) check(doc *document) {
	c := checker{
		document:   doc,
		t:          t,
		dcs:        indexed(t.Datacenters, func(dc Datacenter) string { return dc.Name }),
		placed:     indexed(t.Placements, func(p Placement) string { return p.Name }),
		overridden: make(map[[2]string]bool, len(t.Links.Overrides)),
	}
	for _, o := range t.Links.Overrides {
		c.overridden[sortedPair(o.Between)] = true
	}
	c.cluster()
	c.datacenters()
	c.placements()
	c.buckets()
	c.links()
	c.security()
}

func (c checker) cluster() {
	t := c.t
	switch {
	case t.Version == 0 && !c.given("version"):
		c.missing("version", "version: a number that grows with every change")
	case t.Version == 0:
		c.errorf("version", ruleBadVersion, "version must be 1 or more, and grow with every change")
	}
	c.form("cluster", "cluster", t.Cluster, clusterForm)
	if n := t.Partitions; n < MinPartitions || n > MaxPartitions || n&(n-1) != 0 {
		c.errorf("partitions", ruleBadPartitions, "partitions must be a power of two from %d to %d, not %d", MinPartitions, MaxPartitions, n)
	}
	if d := t.Clock.MaxSkew; d < time.Millisecond || d > MaxClockSkew {
		c.errorf("clock.max_skew", ruleBadValue, "max_skew must be from 1ms to %s, not %s", formatDuration(MaxClockSkew), formatDuration(d))
	}
}

func (c checker) security() {
	for _, s := range c.t.Security.settings() {
		if *s.value != off {
			c.errorf("security."+s.key, ruleNoSecurity, "%s: this version knows only off, got %s", s.key, quote(*s.value))
		}
	}
}

// nameForm is what a name may look like, for the machine and for people.
type nameForm struct {
	pattern *regexp.Regexp
	words   string
}

// The forms of names; never changed.
var (
	clusterForm = form(`[a-z0-9-]{1,40}`)
	dcForm      = form(`[a-z][a-z0-9-]{0,15}`)
	idForm      = form(`[a-z0-9][a-z0-9-]{0,31}`)
	rackForm    = form(`[a-zA-Z0-9._-]{0,64}`)
	bucketForm  = form(`[a-zA-Z0-9._-]{1,64}`)
	hostForm    = form(`[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*`) // RFC 1123
	plainForm   = form(`[A-Za-z0-9/][A-Za-z0-9._/-]*`)                                                                // may need no quotes in YAML
)

func form(pattern string) nameForm {
	return nameForm{pattern: regexp.MustCompile(`\A` + pattern + `\z`), words: pattern}
}

// form reports a name that is missing or not of the form.
func (c checker) form(path, what, name string, f nameForm) {
	switch {
	case f.pattern.MatchString(name):
	case name == "" && !c.given(path):
		c.errorf(path, ruleMissingField, "%s: missing field %q", what, lastStep(path))
	default:
		c.errorf(path, ruleBadName, "%s %s does not match %s", what, quote(name), f.words)
	}
}

func (c checker) missing(path, what string) {
	c.errorf(path, ruleMissingField, "missing %s", what)
}

// choice reports a word that is none of the choices.
func (c checker) choice(path, rule, subject, word string, choices ...string) {
	if !slices.Contains(choices, word) {
		c.errorf(path, rule, "%s: unknown %s %s %s", subject, lastStep(path), quote(word), suggest(word, "one of", choices))
	}
}

// printed reports a string that is empty or holds what cannot be printed.
func (c checker) printed(path, subject, s string) {
	const limit = 1024
	unprintable := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0
	if s == "" || len(s) > limit || unprintable {
		c.errorf(path, ruleBadValue, "%s: %s must be 1 to %d printable characters, not %s", subject, lastStep(path), limit, quote(s))
	}
}

// between reports a pair that is not two different datacenters of the topology,
// or one that was there before.
func (c checker) between(path string, pair [2]string, before map[[2]string]bool) {
	path = join(path, "between")
	if pair == ([2]string{}) && !c.given(path) {
		c.missing(path, "between: two datacenters, [a, b]")
		return
	}
	for i, name := range pair {
		c.knownDC(c.errorf, fmt.Sprintf("%s[%d]", path, i), "between", name)
	}
	if pair[0] == pair[1] {
		c.errorf(path, ruleBadValue, "between: a link needs two different datacenters, not %s twice", quote(pair[0]))
	}
	if before[sortedPair(pair)] {
		c.errorf(path, ruleDuplicateName, "between: the link of %s and %s is already listed", quote(pair[0]), quote(pair[1]))
	}
	before[sortedPair(pair)] = true
}

// knownDC reports a reference to a datacenter that is not defined.
func (c checker) knownDC(report func(path, rule, format string, args ...any), path, subject, name string) bool {
	_, known := c.dcs.at[name]
	if !known && c.dcs.complete() {
		report(path, ruleUnknownDatacenter, "%s: datacenter %s is not defined (defined: %s)", subject, quote(name), c.dcs.defined)
	}
	return known
}
