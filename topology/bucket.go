package topology

import "strings"

// systemPrefix begins the names of the buckets that a cluster keeps for itself.
const systemPrefix = "."

// SystemBucket reports whether a bucket of that name is the cluster's own: no
// topology and no operator defines one.
func SystemBucket(name string) bool { return strings.HasPrefix(name, systemPrefix) }

// CheckBucket judges a bucket that is to stand beside those of the topology, by
// the rules that the file has for its own. It returns the bucket with the
// defaults in place of what is zero. The topology must be complete; that the
// bucket has a name of its own is for the caller to check.
func (t *Topology) CheckBucket(b Bucket) (Bucket, Problems) {
	doc := &document{name: "bucket"}
	b.fill(doc, "bucket")
	c := checker{
		document: doc, t: t,
		dcs:    indexed(t.Datacenters, func(dc Datacenter) string { return dc.Name }),
		placed: indexed(t.Placements, func(p Placement) string { return p.Name }),
	}
	c.named("bucket", b)
	c.bucket("bucket", b)
	return b, doc.problems.sorted()
}

// named checks the name of a bucket.
func (c checker) named(path string, b Bucket) {
	c.form(path+".name", "bucket", b.Name, bucketForm)
	if SystemBucket(b.Name) {
		c.errorf(path+".name", ruleBadName, "bucket %s: names that begin with %q are the cluster's own", quote(b.Name), systemPrefix)
	}
}
