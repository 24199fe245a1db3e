package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

// zsetCommands read and change zsets.
func (s *session) zsetCommands() []*cli.Command {
	reverse := &cli.BoolFlag{Name: "reverse", Usage: "begin with the greatest score"}
	return []*cli.Command{
		s.leaf(spec{
			category: categoryData, name: "zadd", usage: "set the scores of members of a zset and print how many were new",
			args: "KEY SCORE MEMBER [SCORE MEMBER]...", least: 3, most: -1, flags: writeFlags(fieldFlag()), run: zadd,
		}),
		s.leaf(spec{
			category: categoryData, name: "zincr", usage: "add N to the score of a member of a zset and print the score",
			args: "KEY N MEMBER", least: 3, most: 3, flags: writeFlags(fieldFlag()), run: zincr,
		}),
		s.leaf(spec{
			category: categoryData, name: "zrange", usage: "print members by rank; negative ranks count from the end", args: "KEY START STOP", least: 3, most: 3,
			flags: clusterFlags(
				&cli.BoolFlag{Name: "by-score", Usage: "START and STOP are the least and the greatest score"},
				&cli.BoolFlag{Name: "with-scores", Usage: "print also the scores, as on a terminal"}, reverse,
			),
			run: zrange,
		}),
		s.leaf(spec{
			category: categoryData, name: "zrank", usage: "print the rank of a member of a zset", args: "KEY MEMBER", least: 2, most: 2,
			flags: clusterFlags(reverse), run: zrank,
		}),
		s.leaf(spec{
			category: categoryData, name: "zscore", usage: "print the score of a member of a zset", args: "KEY MEMBER", least: 2, most: 2,
			flags: clusterFlags(), run: zscore,
		}),
		s.leaf(spec{
			category: categoryData, name: "zrem", usage: "remove members from a zset and print how many were there", args: "KEY MEMBER...", least: 2, most: -1,
			flags: writeFlags(fieldFlag()),
			run: func(in *invocation) error {
				members, err := in.valuesFrom(1)
				if err != nil {
					return err
				}
				return in.write(client.ZRemOp(in.args[0], members...), func(r *client.Result) string { return fmt.Sprintf(": %d removed", r.Changed) }, changed)
			},
		}),
	}
}

// valuesFrom resolves all positionals from one on; see value.
func (in *invocation) valuesFrom(at int) ([]string, error) {
	var out []string
	for _, arg := range in.args[at:] {
		v, err := in.value(arg)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// score reads a finite number.
func score(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, usagef("%s is not a finite number", shown(text))
	}
	return f, nil
}

func zadd(in *invocation) error {
	pairs := in.args[1:]
	if len(pairs)%2 != 0 {
		return usagef("usage: zadd KEY SCORE MEMBER [SCORE MEMBER]...: score %s has no member", shown(pairs[len(pairs)-1]))
	}
	var members []client.Member
	for i := 0; i < len(pairs); i += 2 {
		f, err := score(pairs[i])
		if err != nil {
			return err
		}
		name, err := in.value(pairs[i+1])
		if err != nil {
			return err
		}
		members = append(members, client.Member{Member: name, Score: f})
	}
	return in.write(client.ZAddOp(in.args[0], members...), func(r *client.Result) string { return fmt.Sprintf(": %d new", r.Changed) }, changed)
}

func zincr(in *invocation) error {
	by, err := score(in.args[1])
	if err != nil {
		return err
	}
	member, err := in.value(in.args[2])
	if err != nil {
		return err
	}
	told := func(r *client.Result) string {
		if !r.Told {
			return changed(r)
		}
		return scoreText(r.Score)
	}
	return in.write(client.ZIncrOp(in.args[0], member, by), func(r *client.Result) string { return " " + shown(member) + " = " + told(r) }, told)
}

// part is what the positionals and flags of zrange select.
func (in *invocation) part() (client.Range, error) {
	part := client.Range{Reverse: in.Bool("reverse"), ByScore: in.Bool("by-score")}
	if part.ByScore {
		for i, to := range []*float64{&part.Min, &part.Max} {
			f, err := strconv.ParseFloat(in.args[1+i], 64)
			if err != nil || math.IsNaN(f) {
				return part, usagef("%s is not a number (inf and, behind --, -inf are)", shown(in.args[1+i]))
			}
			*to = f
		}
		return part, nil
	}
	for i, to := range []*int64{&part.Start, &part.Stop} {
		n, err := strconv.ParseInt(in.args[1+i], 10, 64)
		if err != nil {
			return part, usagef("rank %s is not a whole number", shown(in.args[1+i]))
		}
		*to = n
	}
	return part, nil
}

func zrange(in *invocation) error {
	part, err := in.part()
	if err != nil {
		return err
	}
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	members, err := c.ZRange(in.ctx(), in.args[0], part, opts...)
	if err != nil {
		return err
	}
	var rows [][]string
	list := jsonMembers(members)
	for i, m := range members {
		list[i].Rank = &members[i].Rank
		switch {
		case in.json():
		case in.bare() && in.Bool("with-scores"):
			err = in.s.line(m.Member, scoreText(m.Score))
		case in.bare():
			err = in.s.line(m.Member)
		default:
			rows = append(rows, []string{strconv.FormatUint(m.Rank, 10), shown(m.Member), scoreText(m.Score)})
		}
		if err != nil {
			return err
		}
	}
	switch {
	case in.json():
		return in.s.json(map[string]any{"key": jsonBytes(in.args[0]), "bucket": in.bucket(), "members": list})
	case in.bare():
		return nil
	}
	return in.s.table([]string{"RANK", "MEMBER", "SCORE"}, rows)
}

func zrank(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	member, err := in.value(in.args[1])
	if err != nil {
		return err
	}
	rank, found, err := c.ZRank(in.ctx(), in.args[0], member, in.Bool("reverse"), opts...)
	if err != nil {
		return err
	}
	return in.printMember(member, found, "rank", rank, strconv.FormatUint(rank, 10))
}

func zscore(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	member, err := in.value(in.args[1])
	if err != nil {
		return err
	}
	f, found, err := c.ZScore(in.ctx(), in.args[0], member, opts...)
	if err != nil {
		return err
	}
	return in.printMember(member, found, "score", f, scoreText(f))
}

// printMember prints what is known of a member, nothing if it is absent.
func (in *invocation) printMember(member string, found bool, name string, value any, text string) error {
	switch {
	case !found:
		return absent()
	case in.json():
		return in.s.json(map[string]any{"key": jsonBytes(in.args[0]), "bucket": in.bucket(), "member": jsonBytes(member), name: value})
	}
	return in.s.line(text)
}
