package dc

import (
	"encoding/binary"
	"fmt"
	"strings"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/topology"
)

// Notices of how far datacenters are, see levelling.
const (
	noticeWhole = "whole/" // and the name of a datacenter: the hash of the topology that its nodes act under, and which
	noticeLevel = "level/" // and the name of a datacenter, and of the one it is about: the hash, how many partitions, and of how many

	wholeLive = "0" // all that are alive
	wholeAll  = "1" // every one
)

// wholeNotice tells that all nodes of this datacenter act under the topology that
// this node does; false while one does not, or has not told.
func (l *levelling) wholeNotice() (replication.Notice, bool) {
	n := l.n
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.present()
	which := wholeAll
	for _, node := range n.layout().nodes {
		if node == n.id || l.peers[node] == w.hash {
			continue
		}
		if which = wholeLive; n.alive(node) {
			return replication.Notice{}, false
		}
	}
	return replication.Notice{Name: noticeWhole + n.dc, Version: w.topology.Version, Content: []byte(w.hash + which)}, true
}

func levelNotice(w *world, self, about string, done, all uint32) replication.Notice {
	b := binary.BigEndian.AppendUint32([]byte(w.hash), done)
	return replication.Notice{
		Name: noticeLevel + self + "/" + about, Version: w.topology.Version<<32 | uint64(done), Content: binary.BigEndian.AppendUint32(b, all),
	}
}

// keep keeps a notice if it is the later one. The caller holds the lock.
func (l *levelling) keep(of [2]string, notice replication.Notice) {
	if have, ok := l.told[of]; !ok || notice.Compare(have) > 0 {
		l.told[of] = notice
	}
}

// take takes up a notice of another datacenter.
func (l *levelling) take(notice replication.Notice) error {
	w := l.n.world()
	dcName, whole := notice.Of(noticeWhole)
	rest, _ := notice.Of(noticeLevel)
	by, about, ok := strings.Cut(rest, "/")
	if whole {
		by, ok = dcName, true
	}
	size := hashBytes + 1
	if !whole {
		size = hashBytes + 8
	}
	if by == l.n.dc {
		return nil // it comes back
	}
	if w.docs[by] == nil || !ok || len(notice.Content) != size {
		return fmt.Errorf("%w: %.80q", errNotice, notice.Name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if have := l.whole[by]; whole {
		if notice.Compare(have) > 0 {
			l.whole[by] = notice
		}
		return nil
	}
	if _, known := w.topology.DC(about); !known {
		return fmt.Errorf("%w: %.80q", errNotice, notice.Name)
	}
	l.keep([2]string{by, about}, notice)
	return nil
}

// caughtOf lists how far datacenters are about one of them, under the present topology.
func (l *levelling) caughtOf(about string) []*v1.Caught {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.present()
	var out []*v1.Caught
	for _, d := range w.topology.Datacenters {
		notice, ok := l.told[[2]string{d.Name, about}]
		if !ok || string(notice.Content[:hashBytes]) != w.hash || (d.Name == about) != (w.topology.State(about) == topology.DCJoining) {
			continue
		}
		count := notice.Content[hashBytes:]
		out = append(out, &v1.Caught{Dc: d.Name, PartitionsDone: binary.BigEndian.Uint32(count), Partitions: binary.BigEndian.Uint32(count[4:])})
	}
	return out
}
