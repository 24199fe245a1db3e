package web

import (
	"reflect"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/godwitdb/godwit/dc"
)

// counterHelp says what the fields of dc.Counters count. One that is missing
// here is exported all the same, and a test asks for its words.
func counterHelp() map[string]string {
	return map[string]string{
		"Reads":             "Keys that were read with this node as coordinator.",
		"ReadsForwarded":    "Reads that this node handed to an owner of the key.",
		"WritesForwarded":   "Writes that this node handed to an owner of the key.",
		"PeerReads":         "Questions that reads put to other nodes, hedges left out.",
		"Hedges":            "Questions put to a further node because the one asked first took long.",
		"HedgesWon":         "Hedges that were answered in time to count.",
		"HedgesDenied":      "Hedges that the budget did not allow.",
		"PassedOver":        "Questions put to a further node because the one asked first fell silent.",
		"DigestMismatches":  "Reads for which replicas did not agree.",
		"ReadsOfRecovering": "Questions of reads for which the answer of a recovering replica had to count, since too few others answered.",
		"ReadRepairs":       "Reads that found replicas behind.",
		"RepairedReplicas":  "Replicas that took over what a read found them to lack.",
		"StandIns":          "Writes that a node stood in for, as asked by this node.",
		"HandedOver":        "Replicas of others that this node gave up once their owners had all of it.",
		"PulledEvents":      "Events, or runs of them, taken from the log of a co-owner.",
		"PulledBytes":       "Bytes of events and of pages of joins taken from co-owners.",
		"Joins":             "Joins of a whole partition with a co-owner.",
		"TreeRepairs":       "Joins made because trees differed while clocks did not.",
		"ScrubbedReplicas":  "Replicas that were read again whole, in search of damage.",
		"ScrubbedBytes":     "Bytes read in search of damage.",
		"ScrubsWrong":       "Replicas that were found damaged.",
		"SkewRefusals":      "Writes that this node did not coordinate because its wall clock is wrong.",
		"IncrementsJoined":  "Increments of counters that were carried out in one commit with others.",
		"Reminted":          "Events that gave a dot of its own to what a lost event left.",
		"Conflicts":         "Conflicts that arose on the replicas of this node since it started.",
		"Swept":             "Expired keys that this node removed.",
		"AcksAsked":         "Questions to other datacenters whether a write has arrived there.",
		"AcksShort":         "Writes that fewer datacenters than asked for were known to hold in time.",
		"StaleRings":        "Requests of other nodes refused because their ring was out of date.",
		"SessionWaits":      "Requests whose session had seen more than this replica held.",
		"SessionPulls":      "Questions to co-owners for what a session had seen.",
		"SessionsBehind":    "Requests of sessions that this replica did not catch up with in time.",
		"Repeats":           "Writes with a request id that had been carried out before.",
		"RepeatLooks":       "Writes for which the other owners were asked whether they know the request id.",
		"RepeatsUnsettled":  "Writes not carried out because not all owners could tell of the request id.",
	}
}

// counterFamilies makes a family of every counter of a node.
func counterFamilies() []family {
	help := counterHelp()
	var out []family
	t := reflect.TypeFor[dc.Counters]()
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type != reflect.TypeFor[atomic.Uint64]() {
			continue
		}
		text := help[f.Name]
		if text == "" {
			text = "See " + f.Name + " in the source of godwit."
		}
		out = append(out, counter(snake(f.Name), text, func(x *dc.Figures) float64 {
			c, ok := reflect.TypeAssert[*atomic.Uint64](reflect.ValueOf(x.Counters).Elem().Field(i).Addr())
			if !ok {
				return 0
			}
			return float64(c.Load())
		}))
	}
	return out
}

// snake is the name of a metric for that of a field.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
