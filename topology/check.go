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
	MinPartitions = 16
	MaxPartitions = 65536
	MinWeight     = 0.01
	MaxWeight     = 100
	MaxValue      = 1 << 20 // bytes of a value; also the default of Bucket.MaxValue
	MaxClockSkew  = time.Minute
)

// checker judges a topology, whether it came from a file or was built in code.
type checker struct {
	*document
	t *Topology
}

// check reports everything that is wrong with the topology to the document.
func (t *Topology) check(doc *document) {
	c := checker{document: doc, t: t}
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
	c.form("cluster", "cluster", t.Cluster, clusterForm())
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

func clusterForm() nameForm { return form(`[a-z0-9-]{1,40}`) }
func dcForm() nameForm      { return form(`[a-z][a-z0-9-]{0,15}`) }
func idForm() nameForm      { return form(`[a-z0-9][a-z0-9-]{0,31}`) }
func rackForm() nameForm    { return form(`[a-zA-Z0-9._-]{0,64}`) }
func bucketForm() nameForm  { return form(`[a-zA-Z0-9._-]{1,64}`) }

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
func (c checker) between(path string, pair [2]string, before [][2]string) {
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
	if slices.ContainsFunc(before, func(b [2]string) bool { return samePair(b, pair) }) {
		c.errorf(path, ruleDuplicateName, "between: the link of %s and %s is already listed", quote(pair[0]), quote(pair[1]))
	}
}

// knownDC reports a reference to a datacenter that is not defined. It says
// nothing while a name of a datacenter could not be read: that may be the one.
func (c checker) knownDC(report func(path, rule, format string, args ...any), path, subject, name string) bool {
	names := make([]string, len(c.t.Datacenters))
	for i, dc := range c.t.Datacenters {
		names[i] = dc.Name
	}
	known := slices.Contains(names, name)
	if !known && len(names) > 0 && !slices.Contains(names, "") {
		report(path, ruleUnknownDatacenter, "%s: datacenter %s is not defined (defined: %s)", subject, quote(name), list(names))
	}
	return known
}
