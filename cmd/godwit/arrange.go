package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange puts the flags of a command line between the command and its
// positionals, behind which urfave/cli would silently ignore them, and ends the
// flags with "--", so that positionals may begin with a dash. Flags may stand
// anywhere, also before the command. It reports unknown commands and flags.
func arrange(app *cli.App, args []string) ([]string, error) {
	a := &arranger{commands: app.Commands, known: everyFlag(app.Commands)}
	if len(args) > 0 && args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			for _, rest := range args[i+1:] {
				if err := a.word(rest); err != nil {
					return nil, err
				}
			}
			return a.finish(app)
		case isFlag(arg):
			used, err := a.flag(args[i:])
			if err != nil {
				return nil, err
			}
			i += used - 1
		default:
			if err := a.word(arg); err != nil {
				return nil, err
			}
		}
	}
	return a.finish(app)
}

// arranger sorts the words of one command line.
type arranger struct {
	commands []*cli.Command // below what has been named so far; empty at a leaf
	known    map[string]cli.Flag
	leaf     *cli.Command
	path     []string
	flags    []string
	names    []string // of the flags, as written
	words    []string
	help     bool
}

// isFlag tells a flag from a positional; negative numbers and "-" are the latter.
func isFlag(arg string) bool {
	if len(arg) < 2 || arg[0] != '-' {
		return false
	}
	return (arg[1] < '0' || arg[1] > '9') && arg[1] != '.'
}

// word takes the name of a command or a positional.
func (a *arranger) word(arg string) error {
	if a.leaf != nil && len(a.commands) == 0 {
		a.words = append(a.words, arg)
		return nil
	}
	i := slices.IndexFunc(a.commands, func(c *cli.Command) bool { return c.HasName(arg) })
	if i < 0 {
		var names []string
		for _, c := range a.commands {
			if !c.Hidden {
				names = append(names, c.Name)
			}
		}
		what := strings.TrimSpace(strings.Join(append([]string{"unknown command"}, a.path...), " "))
		return usagef("%s %q%s", what, arg, didYouMean(arg, names))
	}
	a.leaf = a.commands[i]
	a.commands = a.leaf.Subcommands
	a.path = append(a.path, a.leaf.Name)
	return nil
}

// flag takes a flag, and its value if that is a word of its own. It returns how
// many words it used.
func (a *arranger) flag(args []string) (int, error) {
	name, _, inline := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(args[0], "-"), "-"), "=")
	if name == "help" || name == "h" {
		a.help = true
		return 1, nil
	}
	f := a.known[name]
	if a.leaf != nil && len(a.commands) == 0 {
		f = a.own(name)
	}
	if f == nil {
		return 0, a.unknown(args[0], name)
	}
	a.names = append(a.names, name)
	if inline || !takesValue(f) {
		a.flags = append(a.flags, args[0])
		return 1, nil
	}
	if len(args) < 2 {
		return 0, usagef("flag %s needs a value", args[0])
	}
	a.flags = append(a.flags, args[0], args[1])
	return 2, nil
}

// own returns the leaf's flag of that name.
func (a *arranger) own(name string) cli.Flag {
	if i := slices.IndexFunc(a.leaf.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) }); i >= 0 {
		return a.leaf.Flags[i]
	}
	return nil
}

func (a *arranger) unknown(arg, name string) error {
	var names []string
	flags := a.known
	if a.leaf != nil && len(a.commands) == 0 {
		flags = everyFlag([]*cli.Command{a.leaf})
	}
	for n := range flags {
		if len(n) > 1 {
			names = append(names, "--"+n)
		}
	}
	where := ""
	if len(a.path) > 0 {
		where = " of " + strings.Join(a.path, " ")
	}
	hint := didYouMean("--"+name, names)
	if hint == "" {
		hint = "; put -- before values that begin with a dash"
	}
	return usagef("unknown flag %s%s%s", arg, where, hint)
}

// finish gives the command line in the order that urfave/cli wants.
func (a *arranger) finish(app *cli.App) ([]string, error) {
	if a.help || a.leaf == nil {
		if a.leaf == nil && slices.Contains(a.names, "version") {
			return []string{"version"}, nil
		}
		return append(a.path, "--help"), nil
	}
	if len(a.commands) > 0 {
		var names []string
		for _, c := range a.commands {
			names = append(names, c.Name)
		}
		return nil, usagef("%s %s needs a command: %s", app.Name, strings.Join(a.path, " "), strings.Join(names, ", "))
	}
	for i, name := range a.names { // those that stood before the command
		if a.own(name) == nil {
			return nil, a.unknown("--"+a.names[i], name)
		}
	}
	return slices.Concat(a.path, a.flags, []string{"--"}, a.words), nil
}

// everyFlag maps the names of all flags of the leaves below to one such flag.
// Flags of one name agree on whether they take a value.
func everyFlag(commands []*cli.Command) map[string]cli.Flag {
	out := map[string]cli.Flag{"version": &cli.BoolFlag{Name: "version"}}
	for _, c := range commands {
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				out[name] = f
			}
		}
		maps.Copy(out, everyFlag(c.Subcommands))
	}
	return out
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return !ok || d.TakesValue()
}

// didYouMean suggests the nearest of some names, if one is near.
func didYouMean(word string, names []string) string {
	best, least := "", min(max(2, len(word)/3), len(strings.TrimLeft(word, "-"))-1)+1
	slices.Sort(names)
	for _, name := range names {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// distance is the least number of letters to insert, remove, replace or swap
// with their neighbour to make b of a. Source: the optimal string alignment
// distance, after Damerau, CACM 7(3), 1964.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
