package replication

import (
	"fmt"
	"strconv"
	"strings"
)

// subjects names what travels: gw.<cluster>.u.<dc>.<node>.<placement>.<lane>
// for messages, gw.<cluster>.q.<dc>.<node> for requests.
type subjects struct{ cluster string }

func (s subjects) all(p Peer) string { return s.prefix(p) + ">" }

func (s subjects) prefix(p Peer) string { return "gw." + s.cluster + ".u." + p.DC + "." + p.Node + "." }

func (s subjects) update(p Peer, placement uint32, lane int) string {
	return s.prefix(p) + strconv.FormatUint(uint64(placement), 16) + "." + strconv.Itoa(lane)
}

func (s subjects) request(p Peer) string { return "gw." + s.cluster + ".q." + p.DC + "." + p.Node }

// stream is the name of the one stream of a datacenter whose broker an operator
// runs; others may have streams there as well.
func (s subjects) stream(dc string) string { return "godwit-" + s.cluster + "-" + dc }

// everyNode is the subject of all messages of a datacenter.
func (s subjects) everyNode(dc string) string { return "gw." + s.cluster + ".u." + dc + ".>" }

// parse takes the subject of a message of p apart.
func (s subjects) parse(p Peer, subject string) (placement uint32, lane int, err error) {
	rest, ok := strings.CutPrefix(subject, s.prefix(p))
	hex, number, cut := strings.Cut(rest, ".")
	if !ok || !cut {
		return 0, 0, fmt.Errorf("subject %q is not of node %s", subject, p)
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("placement in subject %q: %w", subject, err)
	}
	if lane, err = strconv.Atoi(number); err != nil || lane < 0 || lane >= Lanes {
		return 0, 0, fmt.Errorf("lane in subject %q is not one of %d", subject, Lanes)
	}
	return uint32(n), lane, nil
}

// durable is the name of the consumer by which a datacenter takes a lane.
func durable(dc string, lane int) string { return "to-" + dc + "-" + strconv.Itoa(lane) }

// durableShared is durable in a stream of all nodes of a datacenter. No name
// holds the sign between the parts.
func durableShared(dc, node string, lane int) string {
	return "to=" + dc + "=" + node + "=" + strconv.Itoa(lane)
}
