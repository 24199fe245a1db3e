package main

import (
	"strings"
	"testing"

	"github.com/godwitdb/godwit/internal/mutants"
)

func TestRun(t *testing.T) {
	catalog := []mutants.Mutant{{Name: "rules/a"}, {Name: "rules/b"}, {Name: "codec/a"}}
	tests := []struct {
		name, args string
		code       int
		out, errs  string // parts
	}{
		{"names are listed", "-list", 0, "rules/a\nrules/b\ncodec/a\n", ""},
		{"names are filtered", "-list -name ^rules/", 0, "rules/a\nrules/b\n", ""},
		{"a name that nothing has", "-name storage", 2, "", `no mutant matches "storage"`},
		{"a name that is no expression", "-name (", 2, "", "missing closing )"},
		{"an unknown flag", "-x", 2, "", "flag provided but not defined: -x"},
		{"help is no error", "-h", 0, "", "Usage of mutants"},
		{"each is told as it is judged", "-name codec", 1, "", "1 of 1: codec/a INVALID after 0.0 s"},
		{"mutants that cannot be judged", "-name codec", 1, "codec/a  INVALID", "1 of 1 mutants are invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs strings.Builder
			if code := run(t.Context(), strings.Fields(tt.args), catalog, &out, &errs); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(out.String(), tt.out) {
				t.Errorf("printed %q, want %q", out.String(), tt.out)
			}
			if !strings.Contains(errs.String(), tt.errs) {
				t.Errorf("said %q, want %q", errs.String(), tt.errs)
			}
		})
	}
}
