package main

import (
	"strings"
	"testing"
)

func TestWrongFlags(t *testing.T) {
	tests := []struct {
		name, args string
		code       int
		errs       string // a part
	}{
		{"an unknown flag", "-x", 2, "flag provided but not defined: -x"},
		{"a size that is no number", "-sizes 10,x", 2, "-sizes: strconv.Atoi: parsing \"x\""},
		{"no keys to grow to", "-binary none -sizes 0", 1, "numbers of keys, at least 1"},
		{"help is no error", "-h", 0, "Usage of bench"},
		{"too many nodes", "-binary none -nodes 10", 1, "1 to 9 nodes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			var out, errs strings.Builder
			if code := run(t.Context(), strings.Fields(tt.args), &out, &errs); code != tt.code || !strings.Contains(errs.String(), tt.errs) {
				t.Errorf("exit code %d, said %q; want %d and %q", code, errs.String(), tt.code, tt.errs)
			}
		})
	}
}
