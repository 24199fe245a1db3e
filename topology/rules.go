package topology

// Rules are the stable names that the problems carry in brackets.
const (
	ruleSyntax            = "syntax"              // not YAML, or not one document
	ruleTooLarge          = "too-large"           // the file, or one mapping in it
	ruleTooDeep           = "too-deep"            // nested beyond any real topology
	ruleAlias             = "no-alias"            // YAML that hides what a file says
	ruleUnknownField      = "unknown-field"       // a field that does not exist here
	ruleDuplicateField    = "duplicate-field"     // a field given twice
	ruleMissingField      = "missing-field"       // a field that has no default
	ruleWrongType         = "wrong-type"          // a list for a number, and so on
	ruleBadValue          = "bad-value"           // outside of the range or the choices
	ruleBadName           = "bad-name"            // not of the form that names have
	ruleDuplicateName     = "duplicate-name"      // two of one kind share a name
	ruleBadVersion        = "bad-version"         // below 1
	ruleBadPartitions     = "bad-partitions"      // not a power of two in range
	ruleBadPort           = "bad-port"            // not a port, or 0 off loopback
	ruleDuplicatePort     = "duplicate-port"      // two listeners on one address and port
	ruleOpenNetwork       = "open-network"        // off loopback without security
	ruleNoSecurity        = "unsupported"         // security that this version lacks
	ruleBadReplicas       = "bad-replicas"        // more replicas than nodes, or none
	ruleFewRacks          = "few-racks"           // warning: replicas will share a rack
	ruleCollision         = "placement-collision" // two placements share a PlacementID
	ruleUnlinked          = "unlinked-placement"  // its data would pass through others
	ruleUnknownDatacenter = "unknown-datacenter"
	ruleUnknownPlacement  = "unknown-placement"
	ruleUnknownKind       = "unknown-kind"
	ruleKindNotAllowed    = "kind-not-allowed" // the default kind is not among the allowed
	ruleWeakQuorum        = "weak-quorum"      // warning: a read may miss the latest write
)
