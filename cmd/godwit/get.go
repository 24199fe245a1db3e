package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

func (s *session) getCommand() *cli.Command {
	return s.leaf(spec{
		category: categoryData, name: "get", usage: "print the value of a key", args: "KEY", least: 1, most: 1,
		flags: clusterFlags(
			&cli.BoolFlag{Name: "meta", Usage: "print also the kind, the context, siblings and who answered"},
			&cli.BoolFlag{Name: "all", Usage: "ask every datacenter"},
		),
		run: func(in *invocation) error {
			if in.Bool("all") {
				return in.getAll(in.args[0])
			}
			return in.getOne(in.args[0])
		},
	})
}

// answer is the JSON of get.
type answer struct {
	Key      any           `json:"key"`
	Bucket   string        `json:"bucket"`
	Kind     string        `json:"kind,omitempty"`
	Value    any           `json:"value"`
	Found    bool          `json:"found"`
	Conflict bool          `json:"conflict"`
	Siblings []siblingJSON `json:"siblings"`
	Bound    *int64        `json:"bound,omitempty"`      // of a bcounter
	Expires  string        `json:"expires_at,omitempty"` // if it does
	Context  string        `json:"context,omitempty"`
	DC       string        `json:"dc"`
	Node     string        `json:"node,omitempty"`
	Copies   int           `json:"copies,omitempty"`
	Replicas int           `json:"replicas,omitempty"`
	Error    string        `json:"error,omitempty"`
}

type siblingJSON struct {
	Value any    `json:"value"`
	Stamp string `json:"stamp"`
	Dot   string `json:"dot"`
}

// answerOf makes the JSON of a value; v is nil for an absent key.
func answerOf(key, bucket, dcName string, v *client.Value) *answer {
	a := &answer{Key: jsonBytes(key), Bucket: bucket, DC: dcName, Siblings: []siblingJSON{}}
	if v == nil {
		return a
	}
	a.Kind, a.Value, a.Found, a.Conflict = v.Kind.String(), jsonValue(v), true, v.Conflict
	a.Siblings, a.Context = siblingsJSON(v.Siblings), token(v.Context)
	if v.Kind == client.BCounter {
		a.Bound = &v.Bound
	}
	if !v.ExpiresAt.IsZero() {
		a.Expires = since(v.ExpiresAt)
	}
	a.DC, a.Node, a.Copies, a.Replicas = v.Answer.DC, v.Answer.Node, v.Answer.Copies, v.Answer.Replicas
	return a
}

func siblingsJSON(siblings []client.Sibling) []siblingJSON {
	out := []siblingJSON{}
	for _, s := range siblings {
		out = append(out, siblingJSON{jsonBytes(s.Value), s.Stamp.UTC().Format(time.RFC3339Nano), s.Dot.String()})
	}
	return out
}

// read gets a key, and all of a collection.
func read(in *invocation, c *client.Client, key string) (*client.Value, error) {
	opts, err := in.options()
	if err != nil {
		return nil, err
	}
	v, err := c.Get(in.ctx(), key, opts...)
	if err != nil || len(v.NextPage) == 0 {
		return v, err
	}
	if v.Kind == client.Map {
		v.Fields, err = c.HGetAll(in.ctx(), key, opts...)
		return v, err
	}
	if v.Kind == client.ZSet {
		v.Members, err = c.ZRange(in.ctx(), key, client.Range{Stop: -1}, opts...)
		return v, err
	}
	v.Elements, err = c.SMembers(in.ctx(), key, opts...)
	return v, err
}

func (in *invocation) getOne(key string) error {
	c, err := in.client()
	if err != nil {
		return err
	}
	began := in.s.now()
	v, err := read(in, c, key)
	took := in.s.now().Sub(began)
	if client.IsNotFound(err) && in.json() {
		if err := in.s.json(answerOf(key, in.bucket(), c.DC(), nil)); err != nil {
			return err
		}
		return absent()
	}
	if err != nil {
		return err
	}
	switch {
	case in.json():
		return in.s.json(answerOf(key, in.bucket(), c.DC(), v))
	case in.Bool("meta"):
		return in.meta(v)
	case !in.bare():
		return in.friendly(v.Answer, took, shown(key)+" = "+shownValue(v), conflictNote(v))
	}
	return in.printBare(v)
}

func (in *invocation) lines(elements []string) error {
	for _, e := range elements {
		if err := in.s.line(e); err != nil {
			return err
		}
	}
	return nil
}

// friendly is the line that a person reads: use1  hits = 7   (2 of 3 copies, 0.8ms).
func (in *invocation) friendly(a client.Answer, took time.Duration, what, note string) error {
	line := fmt.Sprintf("%s  %s   (%d of %d copies, %s)", a.DC, what, a.Copies, a.Replicas, duration(took))
	if note != "" {
		line += "   " + note
	}
	return in.s.line(line)
}

func conflictNote(v *client.Value) string {
	if !v.Conflict {
		return ""
	}
	var others []string
	for _, s := range v.Siblings[min(1, len(v.Siblings)):] {
		others = append(others, shown(s.Value))
	}
	return "conflicts with " + strings.Join(others, ", ")
}

// meta prints what is known of a key besides its value.
func (in *invocation) meta(v *client.Value) error {
	lines := [][]string{
		{"kind", v.Kind.String()},
		{"value", shownValue(v)},
		{"conflict", strconv.FormatBool(v.Conflict)},
		{"context", token(v.Context)},
		{"copies", fmt.Sprintf("%d of %d", v.Answer.Copies, v.Answer.Replicas)},
		{"dc", v.Answer.DC},
		{"node", v.Answer.Node},
	}
	if isSet(v.Kind) || v.Kind == client.ZSet {
		lines = append(lines, []string{"elements", strconv.FormatUint(v.Total, 10)})
	}
	if v.Kind == client.BCounter {
		lines = append(lines, []string{"bound", strconv.FormatInt(v.Bound, 10)})
	}
	if !v.ExpiresAt.IsZero() {
		lines = append(lines, []string{"expires", since(v.ExpiresAt)})
	}
	for _, s := range v.Siblings {
		lines = append(lines, []string{"sibling", shown(s.Value), s.Stamp.UTC().Format(time.RFC3339Nano), s.Dot.String()})
	}
	for _, l := range lines {
		if !in.bare() {
			l = []string{fmt.Sprintf("%-9s %s", l[0], strings.Join(l[1:], "  "))}
		}
		if err := in.s.line(l...); err != nil {
			return err
		}
	}
	return nil
}

// told is what one datacenter says of a key.
type told struct {
	value *client.Value
	err   error
	took  time.Duration
}

// getAll asks every datacenter for a key and prints what each says.
func (in *invocation) getAll(key string) error {
	if _, err := in.options(); err != nil {
		return err
	}
	dcs, err := in.everyDC()
	if err != nil {
		return err
	}
	answers := make([]told, len(dcs))
	var wg sync.WaitGroup
	for i, d := range dcs {
		wg.Go(func() {
			began := in.s.now()
			v, err := read(in, d.Client, key)
			answers[i] = told{v, err, in.s.now().Sub(began)}
		})
	}
	wg.Wait()
	if err := in.printAll(key, dcs, answers); err != nil {
		return err
	}
	return verdict(answers)
}

// verdict is the error of asking everywhere: none if one datacenter has the key.
func verdict(answers []told) error {
	var missing, failed error
	for _, a := range answers {
		switch {
		case a.err == nil:
			return nil
		case client.IsNotFound(a.err):
			missing = absent()
		default:
			failed = a.err
		}
	}
	if missing != nil {
		return missing
	}
	return failed
}

func (in *invocation) printAll(key string, dcs []member, answers []told) error {
	if in.json() {
		out := struct {
			Key    any       `json:"key"`
			Bucket string    `json:"bucket"`
			DCs    []*answer `json:"dcs"`
		}{Key: jsonBytes(key), Bucket: in.bucket()}
		for i, d := range dcs {
			a := answerOf(key, in.bucket(), d.name, answers[i].value)
			if err := answers[i].err; err != nil && !client.IsNotFound(err) {
				a.Error = err.Error()
			}
			out.DCs = append(out.DCs, a)
		}
		return in.s.json(out)
	}
	for i, d := range dcs {
		if err := in.printTold(key, d.name, answers[i]); err != nil {
			return err
		}
	}
	return nil
}

func (in *invocation) printTold(key, dcName string, a told) error {
	var value string
	switch {
	case client.IsNotFound(a.err):
		value = "(absent)"
	case a.err != nil:
		value = "(" + client.CodeOf(a.err).String() + ")"
		if !in.bare() {
			value = "no answer: " + a.err.Error()
		}
	case in.bare():
		value = bareText(a.value)
	default:
		return in.friendly(a.value.Answer, a.took, shown(key)+" = "+shownValue(a.value), conflictNote(a.value))
	}
	if in.bare() {
		return in.s.line(dcName, value)
	}
	return in.s.line(fmt.Sprintf("%s  %s: %s", dcName, shown(key), value))
}
