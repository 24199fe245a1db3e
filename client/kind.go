package client

import (
	"fmt"
	"slices"
	"strings"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Kind is the data type of a key's value, chosen by its first write.
type Kind int32

// The kinds of docs/kinds.md. NoKind leaves the choice to the key, the
// operation or the bucket.
const (
	NoKind     = Kind(pb.Kind_KIND_UNSPECIFIED)
	Register   = Kind(pb.Kind_KIND_REGISTER)
	MVRegister = Kind(pb.Kind_KIND_MVREGISTER)
	Counter    = Kind(pb.Kind_KIND_COUNTER)
	GCounter   = Kind(pb.Kind_KIND_GCOUNTER)
	BCounter   = Kind(pb.Kind_KIND_BCOUNTER)
	Set        = Kind(pb.Kind_KIND_SET)
	GSet       = Kind(pb.Kind_KIND_GSET)
	RWSet      = Kind(pb.Kind_KIND_RWSET)
	Flag       = Kind(pb.Kind_KIND_FLAG)
	DWFlag     = Kind(pb.Kind_KIND_DWFLAG)
	Map        = Kind(pb.Kind_KIND_MAP)
	ZSet       = Kind(pb.Kind_KIND_ZSET)
	HLL        = Kind(pb.Kind_KIND_HLL)
)

// String names the kind as commands do: "register", "counter", "set", ...
func (k Kind) String() string {
	name, ok := pb.Kind_name[int32(k)]
	if !ok {
		return fmt.Sprintf("kind(%d)", int32(k))
	}
	if k == NoKind {
		return "none"
	}
	return strings.ToLower(strings.TrimPrefix(name, "KIND_"))
}

// ParseKind reads a name that String gives, or "" for NoKind.
func ParseKind(name string) (Kind, error) {
	if name == "" {
		return NoKind, nil
	}
	if v, ok := pb.Kind_value["KIND_"+strings.ToUpper(name)]; ok && v != 0 {
		return Kind(v), nil
	}
	var names []string
	for v := range pb.Kind_name {
		if v != 0 {
			names = append(names, Kind(v).String())
		}
	}
	slices.Sort(names)
	return NoKind, fmt.Errorf("unknown kind %.40q (kinds: %s)", name, strings.Join(names, ", "))
}

// Consistency says how many replicas of the datacenter must answer.
type Consistency int32

// The levels of consistency. BucketDefault is the bucket's own setting.
const (
	BucketDefault = Consistency(pb.Consistency_CONSISTENCY_UNSPECIFIED)
	One           = Consistency(pb.Consistency_CONSISTENCY_ONE)
	Quorum        = Consistency(pb.Consistency_CONSISTENCY_QUORUM)
	All           = Consistency(pb.Consistency_CONSISTENCY_ALL)
)

// String names the level as commands do.
func (c Consistency) String() string {
	switch c {
	case BucketDefault:
		return "default"
	case One:
		return "one"
	case Quorum:
		return "quorum"
	case All:
		return "all"
	}
	return fmt.Sprintf("consistency(%d)", int32(c))
}

// ParseConsistency reads "one", "quorum" or "all", or "" for BucketDefault.
func ParseConsistency(name string) (Consistency, error) {
	switch strings.ToLower(name) {
	case "", "default":
		return BucketDefault, nil
	case "one":
		return One, nil
	case "quorum":
		return Quorum, nil
	case "all":
		return All, nil
	}
	return BucketDefault, fmt.Errorf("unknown consistency %.40q (one, quorum or all)", name)
}
