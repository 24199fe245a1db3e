package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

// watchCommand tells what changes.
func (s *session) watchCommand() *cli.Command {
	return s.leaf(spec{
		category: categoryData, name: "watch", usage: "print the keys that change, until interrupted", args: "[PREFIX]", most: 1,
		flags: clusterFlags(
			&cli.StringFlag{Name: "from", Usage: "go on behind `CURSOR`, which an earlier watch of the prefix gave"},
			&cli.PathFlag{Name: "cursor-file", Usage: "`FILE` that keeps the cursor: go on behind it, if it is there, and write it at the end"},
			&cli.BoolFlag{Name: "values", Usage: "print values as well"},
			&cli.BoolFlag{Name: "initial", Usage: "print all keys first, where there is no cursor"},
			&cli.IntFlag{Name: "count", Usage: "end after `N` changes (default: never)"},
		),
		run: watchKeys,
	})
}

func watchKeys(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	cursor, err := in.firstCursor()
	if err != nil {
		return err
	}
	prefix, left := "", in.Int("count")
	if len(in.args) > 0 {
		prefix = in.args[0]
	}
	w, err := c.Watch(in.ctx(), prefix, client.WatchOptions{Cursor: cursor, Values: in.Bool("values"), Initial: in.Bool("initial")}, opts...)
	if err != nil {
		return err
	}
	defer w.Close()
	for e, err := range w.Events() {
		if err != nil {
			if errors.Is(in.ctx().Err(), context.Canceled) { // that is how a watch ends
				err = nil
			}
			return errors.Join(err, in.keepCursor(w.Cursor()))
		}
		if err := in.printEvent(e); err != nil {
			return err
		}
		if e.Type != client.EventChange {
			if in.IsSet("count") && left <= 0 && e.Type == client.EventProgress { // the cursor is behind all that was printed
				break
			}
			continue
		}
		left--
	}
	return in.keepCursor(w.Cursor())
}

// firstCursor is what --from or --cursor-file say.
func (in *invocation) firstCursor() ([]byte, error) {
	if in.IsSet("from") {
		return tokenBytes("from", in.String("from"))
	}
	file := in.Path("cursor-file")
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, usagef("--cursor-file: %s", err)
	}
	return tokenBytes("cursor-file", strings.TrimSpace(string(text)))
}

// keepCursor leaves the cursor where the next watch finds it.
func (in *invocation) keepCursor(cursor []byte) error {
	file := in.Path("cursor-file")
	switch {
	case len(cursor) == 0:
		return nil
	case file == "":
		_, err := fmt.Fprintln(in.s.err, "go on with --from "+token(cursor))
		return err
	}
	if err := os.WriteFile(file, []byte(token(cursor)+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep the cursor: %w", err)
	}
	return nil
}

func (in *invocation) printEvent(e *client.Event) error {
	switch e.Type {
	case client.EventProgress:
		return nil
	case client.EventResync, client.EventResynced:
		if in.json() {
			return in.s.json(map[string]any{"resync": e.Reason, "partition": e.Partition, "over": e.Type == client.EventResynced})
		}
		if e.Type == client.EventResync && e.Reason != "initial" {
			_, err := fmt.Fprintf(in.s.err, "partition %d is listed again (%s): deletes before that are not told\n", e.Partition, e.Reason)
			return err
		}
		return nil
	case client.EventChange:
	}
	if in.json() {
		return in.s.json(changeOf(e))
	}
	what, value := e.Kind.String(), ""
	switch {
	case e.Deleted:
		what = "deleted"
	case e.KindConflict:
		what = "conflict"
	case e.Value != nil:
		value = shownValue(e.Value)
		if in.bare() {
			value = bareText(e.Value)
		}
	}
	if in.bare() {
		if value == "" {
			return in.s.line(what, e.Key)
		}
		return in.s.line(what, e.Key, value)
	}
	return in.s.line(strings.TrimRight(fmt.Sprintf("%-10s  %s  %s", what, shown(e.Key), value), " "))
}

// changeOf is a change as it stands in JSON.
func changeOf(e *client.Event) any {
	out := struct {
		Key      any    `json:"key"`
		Kind     string `json:"kind,omitempty"`
		Value    any    `json:"value,omitempty"`
		Deleted  bool   `json:"deleted,omitempty"`
		Conflict bool   `json:"kind_conflict,omitempty"`
		DC       string `json:"dc,omitempty"`
		Node     string `json:"node,omitempty"`
	}{Key: jsonBytes(e.Key), Deleted: e.Deleted, Conflict: e.KindConflict, DC: e.DC, Node: e.Node}
	if e.Kind != client.NoKind {
		out.Kind = e.Kind.String()
	}
	if e.Value != nil {
		out.Value = jsonValue(e.Value)
	}
	return out
}
