package main

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

func (s *session) rightsCommand() *cli.Command {
	return s.leaf(spec{
		category: categoryData, name: "rights", usage: "show who may take how much from a bcounter, or move some of it", args: "KEY", least: 1, most: 1,
		flags: writeFlags(
			&cli.Int64Flag{Name: "transfer", Usage: "move `N` from the datacenter that is asked to another"},
			&cli.StringFlag{Name: "to", Usage: "`DC` that gets them"},
		),
		run: rights,
	})
}

func rights(in *invocation) error {
	if in.IsSet("transfer") != in.IsSet("to") {
		return usagef("--transfer and --to go together")
	}
	if in.IsSet("transfer") {
		n, to := in.Int64("transfer"), in.String("to")
		if n <= 0 {
			return usagef("--transfer %d is not positive", n)
		}
		return in.write(client.TransferOp(in.args[0], n, to), func(*client.Result) string { return fmt.Sprintf(": %d moved to %s", n, to) }, nil)
	}
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	v, err := c.Get(in.ctx(), in.args[0], opts...)
	if err != nil {
		return err
	}
	if v.Kind != client.BCounter {
		return &exitErr{exitPrecondition, fmt.Sprintf("%s holds a %s, which has no rights: only a bcounter does", shown(in.args[0]), v.Kind)}
	}
	if in.json() {
		return in.s.json(rightsOf(in, v))
	}
	var rows [][]string
	for _, r := range v.Rights {
		where, amount := r.DC+"/"+r.Node, strconv.FormatInt(r.Amount, 10)
		if r.DC == "" {
			where = "?"
		}
		if in.bare() {
			if err := in.s.line(where, amount); err != nil {
				return err
			}
		}
		rows = append(rows, []string{where, fmt.Sprintf("%016x", r.Actor), amount})
	}
	if in.bare() {
		return nil
	}
	if err := in.s.line(fmt.Sprintf("%s = %d, at least %d", shown(in.args[0]), v.Integer, v.Bound)); err != nil {
		return err
	}
	return in.s.table([]string{"REPLICA", "ACTOR", "RIGHTS"}, rows)
}

// rightsOf makes the JSON of rights.
func rightsOf(in *invocation, v *client.Value) any {
	type rightJSON struct {
		Actor  string `json:"actor"`
		DC     string `json:"dc"`
		Node   string `json:"node"`
		Amount int64  `json:"amount"`
	}
	out := struct {
		Key    any         `json:"key"`
		Bucket string      `json:"bucket"`
		Value  int64       `json:"value"`
		Bound  int64       `json:"bound"`
		Rights []rightJSON `json:"rights"`
	}{jsonBytes(in.args[0]), in.bucket(), v.Integer, v.Bound, []rightJSON{}}
	for _, r := range v.Rights {
		out.Rights = append(out.Rights, rightJSON{fmt.Sprintf("%016x", r.Actor), r.DC, r.Node, r.Amount})
	}
	return out
}
