package dc

import (
	"fmt"
	"math"

	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/topology"
)

const metaDocument = "ring" // the ring document that the node acts under

// firstLayout takes up the ring document that this node acted under last, or
// else the one that the topology makes.
func (n *Node) firstLayout() error {
	doc, err := n.keptDocument()
	if err == nil && doc == nil {
		doc, err = topologyDocument(n.opts.Topology, n.dc)
	}
	if err != nil {
		return err
	}
	l, err := n.lay(doc)
	if err != nil {
		return err
	}
	n.laid.Store(l)
	return nil
}

// topologyDocument is the ring document of epoch 1.
func topologyDocument(t *topology.Topology, dcName string) (*ring.Document, error) {
	d, _ := t.DC(dcName)
	var entries []ring.Entry
	for _, node := range d.Nodes {
		entries = append(entries, ring.Entry{
			ID: node.ID, Rack: node.Rack, WeightMilli: uint32(math.Round(max(node.Weight, ring.MinWeight) * 1000)), Status: ring.StatusActive,
		})
	}
	entries, err := ring.ChooseSeeds(nil, entries, seedOptions(t, dcName))
	if err != nil {
		return nil, err
	}
	return ring.First(entries)
}

// seedOptions is for what ring the seeds of nodes are chosen: that of the
// placement with most replicas in the datacenter.
func seedOptions(t *topology.Topology, dcName string) ring.Options {
	o := ring.Options{Partitions: t.Partitions}
	for _, p := range t.Placements {
		o.Replicas = max(o.Replicas, p.Replicas[dcName])
	}
	return o
}

func (n *Node) keptDocument() (*ring.Document, error) {
	b, err := n.store.Meta(metaDocument)
	if err != nil || b == nil {
		return nil, err
	}
	doc, err := ring.DecodeDocument(b)
	if err != nil {
		return nil, fmt.Errorf("ring document on disk: %w", err)
	}
	return doc, nil
}

func (n *Node) keepDocument(doc *ring.Document) error {
	return n.store.SetMeta(metaDocument, ring.AppendDocument(nil, doc))
}

// adoptEncoded adopts a document that another node sent.
func (n *Node) adoptEncoded(b []byte) error {
	doc, err := ring.DecodeDocument(b)
	if err != nil {
		return fmt.Errorf("ring document of another node: %w", err)
	}
	return n.adopt(doc)
}
