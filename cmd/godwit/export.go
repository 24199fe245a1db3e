package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/crdt"
)

func (s *session) dcExport() *cli.Command {
	return s.leaf(spec{
		name: "export", usage: "write, as lines of JSON, the keys of which a datacenter holds something that no other has", args: "NAME", least: 1, most: 1, run: exportDC,
		flags: clusterFlags(
			&cli.StringFlag{Name: "prefix", Usage: "only keys that begin with `P`"},
			&cli.StringFlag{Name: "out", Usage: "`FILE` to make; standard output without it"},
		),
	})
}

// exportedJSON is a key of which only one datacenter holds something.
type exportedJSON struct {
	Key     any        `json:"key"`
	Bucket  string     `json:"bucket"`
	Kind    string     `json:"kind"`
	Value   any        `json:"value"`  // that the datacenter shows; null: absent
	Others  any        `json:"others"` // that the others show once they are level
	After   any        `json:"after"`  // that all would show with what the datacenter has
	Expires *time.Time `json:"expires,omitempty"`
}

// exportDC compares one datacenter with all others that answer.
func exportDC(in *invocation) error {
	name := in.args[0]
	dcs, err := in.everyDC()
	if err != nil {
		return err
	}
	is := func(d member) bool { return d.name == name }
	if !slices.ContainsFunc(dcs, is) {
		return &exitErr{exitNotFound, fmt.Sprintf("no datacenter %q: with --addr or --topology name nodes of it and of the others", name)}
	}
	if dcs, err = in.awake(dcs); err != nil {
		return err
	}
	if !slices.ContainsFunc(dcs, is) || len(dcs) < 2 {
		return &exitErr{exitUnavailable, fmt.Sprintf("%s and at least one other datacenter must answer, to tell what only %s holds", name, name)}
	}
	out := in.s.out
	if path := in.String("out"); path != "" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return usagef("--out: %s exists; an export replaces nothing", path)
		}
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // it was synced
		if err := in.export(f, dcs, name); err != nil {
			return err
		}
		return f.Sync()
	}
	return in.export(out, dcs, name)
}

func (in *invocation) export(out io.Writer, dcs []member, name string) error {
	keys, err := in.differing(dcs, name)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	n := 0
	for _, k := range keys {
		e, err := in.only(dcs, name, k)
		if err != nil {
			return err
		}
		if e == nil {
			continue
		}
		n++
		if err := lines.Encode(e); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(in.s.err, "%s holds something that no other datacenter has of %d keys\n", name, n)
	return err
}

// only compares what a merge of all copies of a key is with what it is without
// those of one datacenter: nil if they are the same.
func (in *invocation) only(dcs []member, name string, k keyRef) (*exportedJSON, error) {
	all, err := in.copies(dcs, k, actors{})
	if err != nil {
		return nil, err
	}
	var with, without []*crdt.Snapshot
	var shown reading
	now := in.s.now()
	for _, a := range all {
		switch {
		case a.err != nil && (a.dc == name || !outside(a.err)):
			return nil, fmt.Errorf("%s: %w", a.dc, a.err)
		case a.err != nil:
			continue // it does not hold the bucket
		case a.dc == name:
			shown = readingOf(a.answer.joined, now)
		default:
			without = append(without, a.answer.joined)
		}
		with = append(with, a.answer.joined)
	}
	merge, rest := crdt.Merge(with...), crdt.Merge(without...)
	if bytes.Equal(cellsOf(merge), cellsOf(rest)) {
		return nil, nil //nolint:nilnil // nothing is not an error here
	}
	after, others := readingOf(merge, now), readingOf(rest, now)
	e := &exportedJSON{
		Key: jsonBytes(k.key), Bucket: k.bucket, Kind: after.kindShown(map[string]reading{name: shown, "": others}),
		Value: shown.json(), Others: others.json(), After: after.json(),
	}
	if !after.expires.IsZero() {
		e.Expires = &after.expires
	}
	return e, nil
}

// cellsOf encodes the cells of a snapshot alone: what was heard of besides does
// not show.
func cellsOf(s *crdt.Snapshot) []byte {
	return crdt.AppendSnapshot(nil, &crdt.Snapshot{Cells: s.Cells})
}
