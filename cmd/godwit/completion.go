package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/shlex"
	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/crdt"
)

// Scripts that ask the binary itself what may come next. They call the hidden
// command __complete with the words typed so far, the last one unfinished.
const (
	bashScript = `_godwit() {
    local IFS=$'\n'
    COMPREPLY=($(godwit __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o filenames -F _godwit godwit
`
	zshScript = `#compdef godwit
_godwit() {
    local -a found
    found=("${(@f)$(godwit __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _godwit godwit
`
	fishScript = `function __godwit_complete
    set -l words (commandline -opc)[2..-1]
    godwit __complete -- $words (commandline -ct) 2>/dev/null
end
complete -c godwit -a '(__godwit_complete)'
`
)

func (s *session) completionCommand() *cli.Command {
	script := func(shell, text string) *cli.Command {
		return s.leaf(spec{name: shell, usage: "print the script for " + shell, run: func(in *invocation) error {
			return in.s.line(strings.TrimSuffix(text, "\n"))
		}})
	}
	return &cli.Command{Name: "completion", Usage: "print a script that completes commands: source <(godwit completion bash)", Subcommands: []*cli.Command{
		script("bash", bashScript), script("zsh", zshScript), script("fish", fishScript),
	}}
}

func (s *session) completeCommand() *cli.Command {
	c := s.leaf(spec{name: "__complete", most: -1, run: func(in *invocation) error { return in.lines(s.complete(in.args)) }})
	c.Hidden = true
	return c
}

// complete lists what may stand in place of the last word.
func (s *session) complete(words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last, top := words[len(words)-1], s.app().Commands
	at, waiting := follow(top, words[:len(words)-1])
	var out []string
	switch {
	case waiting != "":
		out = s.valuesOf(waiting)
	case strings.HasPrefix(last, "-"):
		for name := range everyFlag(at) {
			out = append(out, strings.Repeat("-", min(len(name), 2))+name)
		}
	case len(at) == 1 && len(at[0].Subcommands) == 0 && len(words) > 1:
		return nil // positionals are the user's own
	default:
		for _, c := range at {
			if !c.Hidden {
				out = append(out, c.Name)
			}
		}
		if s.demo != nil && len(words) == 1 {
			out = append(out, "help", "exit", "quit")
		}
	}
	out = slices.DeleteFunc(out, func(w string) bool { return !strings.HasPrefix(w, last) })
	slices.Sort(out)
	return out
}

// follow walks down the command tree along the words of a line. It returns the
// commands that may come next, or the leaf that was reached, and the name of a
// flag whose value comes next.
func follow(commands []*cli.Command, words []string) (at []*cli.Command, waiting string) {
	known := everyFlag(commands)
	for _, w := range words {
		name := strings.TrimLeft(w, "-")
		switch f := known[name]; {
		case waiting != "":
			waiting = ""
		case isFlag(w) && f != nil && takesValue(f):
			waiting = name
		case !isFlag(w):
			i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(w) })
			if i >= 0 && len(commands[i].Subcommands) > 0 {
				commands = commands[i].Subcommands
			} else if i >= 0 {
				commands = commands[i : i+1]
			}
		}
	}
	return commands, waiting
}

// valuesOf lists values of a flag, where they are few.
func (s *session) valuesOf(flag string) []string {
	switch flag {
	case outputFlag, "o":
		return []string{"json", "table"}
	case "consistency":
		return []string{"all", "one", "quorum"}
	case "kind", "keep":
		return kindNames()
	case "dc", "dcs", "to":
		info := s.demo
		if info == nil {
			var err error
			if info, err = readDemo(cmp.Or(s.getenv("GODWIT_DEMO"), defaultDemo)); err != nil {
				return nil
			}
		}
		var names []string
		for _, d := range info.DCs {
			names = append(names, d.Name)
		}
		return names
	}
	return nil
}

func kindNames() []string {
	var names []string
	for _, k := range crdt.SupportedKinds() {
		names = append(names, k.String())
	}
	return names
}

// completer completes the lines of the prompt.
type completer struct{ s *session }

// Do is a method of readline.AutoCompleter: it returns what may be appended.
func (c completer) Do(line []rune, pos int) ([][]rune, int) {
	text := string(line[:pos])
	if i := strings.LastIndex(text, " ; "); i >= 0 {
		text = text[i+3:]
	}
	words, err := shlex.Split(text)
	if err != nil {
		return nil, 0
	}
	if len(words) == 0 || strings.HasSuffix(text, " ") {
		words = append(words, "")
	}
	last := words[len(words)-1]
	var out [][]rune
	for _, w := range c.s.complete(words) {
		out = append(out, []rune(strings.TrimPrefix(w, last)+" "))
	}
	return out, len([]rune(last))
}
