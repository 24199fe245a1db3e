package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestArrange(t *testing.T) {
	tests := []struct {
		name string
		args string
		want string // or, after "error: ", a part of the error
	}{
		{"flags after positionals", "put k v --kind mvregister", "put --kind mvregister -- k v"},
		{"flags before the command", "--dc use1 incr hits 7", "incr --dc use1 -- hits 7"},
		{"flags between positionals", "incr hits --dc use1 7", "incr --dc use1 -- hits 7"},
		{"a value in the same word", "incr --dc=use1 hits", "incr --dc=use1 -- hits"},
		{"a flag without value takes none", "get --raw k", "get --raw -- k"},
		{"a short flag", "get k -o json -b carts", "get -o json -b carts -- k"},
		{"a negative number is a positional", "incr k -3", "incr -- k -3"},
		{"a negative number after --", "incr k -- -3", "incr -- k -3"},
		{"-- ends flags", "put k -- --kind", "put -- k --kind"},
		{"flags before --", "put --raw k -- -v", "put --raw -- k -v"},
		{"- is a positional", "put k -", "put -- k -"},
		{"a flag may take a negative value", "keys --limit -1", "keys --limit -1 --"},
		{"commands below commands", "wan --one-way cut use1 euw1", "wan cut --one-way -- use1 euw1"},
		{"a positional named like a command", "get wan", "get -- wan"},
		{"a positional named help", "get help", "get -- help"},
		{"help of a command", "help wan cut", "wan cut --help"},
		{"help anywhere", "get k --help", "get --help"},
		{"nothing at all", "", "--help"},
		{"--version", "--version", "version"},
		{"-v is the scenario's", "scenario run f -v", "scenario run -v -- f"},
		{"unknown command", "gte k", `error: unknown command "gte" (did you mean get?)`},
		{"unknown command far from all", "zzzzzz", `error: unknown command "zzzzzz"`},
		{"unknown subcommand", "wan heel", `error: unknown command wan "heel" (did you mean heal?)`},
		{"a group alone", "wan", "error: godwit wan needs a command: cut, heal, set, show"},
		{"unknown flag", "get k --bukcet b", "error: unknown flag --bukcet of get (did you mean --bucket?)"},
		{"another command's flag", "get k --kind set", "error: unknown flag --kind of get"},
		{"another command's flag in front", "--kind set get k", "error: unknown flag --kind of get"},
		{"a value that looks like a flag", "put k -hello", "error: put -- before values that begin with a dash"},
		{"a missing value", "get k --dc", "error: flag --dc needs a value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := arrange((&session{}).app(), strings.Fields(tt.args))
			part, fails := strings.CutPrefix(tt.want, "error: ")
			switch {
			case fails && (err == nil || !strings.Contains(err.Error(), part) || exitCode(err) != exitUsage):
				t.Errorf("error %v, want one with %q and exit 2", err, part)
			case !fails && (err != nil || strings.Join(got, " ") != tt.want):
				t.Errorf("got %q, %v, want %q", strings.Join(got, " "), err, tt.want)
			}
		})
	}
}

// A flag that stands before its command is read without knowing the command.
func TestFlagsAgreeOnTakingValues(t *testing.T) {
	takes := map[string]bool{}
	var walk func([]*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, c := range commands {
			for _, f := range c.Flags {
				for _, name := range f.Names() {
					if before, seen := takes[name]; seen && before != takesValue(f) {
						t.Errorf("--%s takes a value in some commands only, also in %s", name, c.Name)
					}
					takes[name] = takesValue(f)
				}
			}
			walk(c.Subcommands)
		}
	}
	walk((&session{}).app().Commands)
}

func TestGuarded(t *testing.T) {
	tests := []struct{ line, want string }{
		{"a ; b", "a \x00; b"},
		{"put k 'x ; y'", "put k 'x ; y'"},
		{`put k "x ; y" ; get k`, "put k \"x ; y\" \x00; get k"},
		{"put k a;b", "put k a;b"},
		{`put k \; `, `put k \; `},
		{"a ;", "a \x00;"},
	}
	for _, tt := range tests {
		if got := guarded(tt.line); got != tt.want {
			t.Errorf("guarded(%q) = %q, want %q", tt.line, got, tt.want)
		}
	}
}

func TestComplete(t *testing.T) {
	demoFile := file(t, "demo.json", `{"dcs":[{"name":"use1","grpc":["127.0.0.1:1"]},{"name":"usw2","grpc":["127.0.0.1:2"]}]}`)
	s := &session{getenv: func(string) string { return demoFile }}
	tests := []struct {
		name  string
		words []string
		want  []string
	}{
		{"commands", []string{"sm"}, []string{"smembers"}},
		{"subcommands", []string{"wan", ""}, []string{"cut", "heal", "set", "show"}},
		{"flags of a command", []string{"get", "k", "--a"}, []string{"--addr", "--all"}},
		{"datacenters of the demo", []string{"get", "--dc", "us"}, []string{"use1", "usw2"}},
		{"outputs", []string{"get", "-o", ""}, []string{"json", "table"}},
		{"positionals are the user's", []string{"get", ""}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.complete(tt.words); !slices.Equal(got, tt.want) {
				t.Errorf("complete(%q) = %q, want %q", tt.words, got, tt.want)
			}
		})
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		tm := &terminal{t: t}
		if r := tm.run("completion", shell); r.code != 0 || !strings.Contains(r.out, "godwit __complete -- ") {
			t.Errorf("completion %s: exit %d, %q", shell, r.code, r.out)
		}
	}
}
