package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/crdt/scenario"
)

// fileCommands work on files and need no cluster.
func (s *session) fileCommands() []*cli.Command {
	return []*cli.Command{
		s.topologyCommand(),
		{Name: "scenario", Category: categoryFiles, Usage: "replay histories on the replicated types", Subcommands: []*cli.Command{
			s.leaf(spec{
				name: "run", usage: "replay the vectors of a file; exit 7 if any fails", args: "FILE", least: 1, most: 1,
				flags: append(outputFlags(),
					&cli.StringFlag{Name: "name", Usage: "only vectors whose name matches `GLOB`"},
					&cli.StringFlag{Name: "type", Usage: "only vectors of these types: `T`[,T]"},
					&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print every step and what it left behind"},
				),
				run: runScenarios,
			}),
		}},
	}
}

// outcome is one vector and why it failed, if it did.
type outcome struct {
	name, kind string
	vector     *scenario.Vector // nil if its notation is wrong
	err        error
}

func runScenarios(in *invocation) error {
	outcomes, err := loadVectors(in.args[0])
	if err != nil {
		return err
	}
	if outcomes, err = in.chosen(outcomes); err != nil {
		return err
	}
	passed, failed := 0, 0
	for _, o := range outcomes {
		if o.vector != nil {
			if in.Bool("verbose") && !in.json() {
				o.vector.Trace = in.s.out
			}
			o.err = o.vector.Run()
		}
		if o.err != nil {
			failed++
		} else {
			passed++
		}
		if err := in.printOutcome(o); err != nil {
			return err
		}
	}
	if err := in.printCounts(passed, failed); err != nil {
		return err
	}
	switch {
	case failed > 0:
		return checkFailed()
	case passed == 0:
		return usagef("no vector of %s was chosen", in.args[0])
	}
	return nil
}

// chosen are the vectors that --name and --type ask for.
func (in *invocation) chosen(outcomes []outcome) ([]outcome, error) {
	glob, types := in.String("name"), strings.Split(in.String("type"), ",")
	if _, err := path.Match(glob, ""); err != nil {
		return nil, usagef("--name %q is not a pattern: %s", glob, err)
	}
	return slices.DeleteFunc(outcomes, func(o outcome) bool {
		match, _ := path.Match(glob, o.name)
		return glob != "" && !match || in.String("type") != "" && !slices.Contains(types, o.kind)
	}), nil
}

func (in *invocation) printOutcome(o outcome) error {
	if in.json() {
		line := map[string]any{"name": o.name, "type": o.kind, "passed": o.err == nil}
		if o.err != nil {
			line["error"] = o.err.Error()
		}
		return in.s.json(line)
	}
	if o.err != nil {
		return in.s.line(fmt.Sprintf("FAIL  %s (%s): %s", o.name, o.kind, o.err))
	}
	return in.s.line(fmt.Sprintf("ok    %s (%s)", o.name, o.kind))
}

func (in *invocation) printCounts(passed, failed int) error {
	if in.json() {
		return in.s.json(map[string]int{"passed": passed, "failed": failed})
	}
	return in.s.line(fmt.Sprintf("%d passed, %d failed", passed, failed))
}

// loadVectors reads a file of vectors. One whose notation is wrong, such as an
// unknown step, is an outcome that failed and does not hide the others.
func loadVectors(file string) ([]outcome, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("read vectors: %s", err)
	}
	vectors, err := scenario.Load(bytes.NewReader(text))
	if err == nil {
		var out []outcome
		for i := range vectors {
			out = append(out, outcome{name: vectors[i].Name, kind: vectors[i].TypeName, vector: &vectors[i]})
		}
		return out, nil
	}
	var raws []json.RawMessage
	if len(text) > scenario.MaxFileBytes || json.Unmarshal(text, &raws) != nil || len(raws) > scenario.MaxVectors {
		return nil, usagef("%s: %s", file, err)
	}
	return loadEach(raws), nil
}

// loadEach loads vectors on their own.
func loadEach(raws []json.RawMessage) []outcome {
	var out []outcome
	for i, raw := range raws {
		var head struct{ Name, Type string }
		err := json.Unmarshal(raw, &head)
		o := outcome{name: head.Name, kind: head.Type}
		if o.name == "" {
			o.name = fmt.Sprintf("vector %d", i+1)
		}
		twice := slices.ContainsFunc(out, func(other outcome) bool { return other.name == o.name })
		switch one, loadErr := scenario.Load(bytes.NewReader(slices.Concat([]byte("["), raw, []byte("]")))); {
		case err != nil:
			o.err = err
		case loadErr != nil:
			o.err = loadErr
		case twice:
			o.err = errors.New("there is another vector of that name")
		default:
			o.vector = &one[0]
		}
		out = append(out, o)
	}
	return out
}
