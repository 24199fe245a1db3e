package rpc

import "testing"

func TestClip(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"short", "short"},
		{"0123456789", "0123456789"},
		{"0123456789a", "0123456..."},
		{"012345é9abc", "012345..."}, // no rune is cut in two
		{"a\xffb", "a\uFFFDb"},
	} {
		if got := clip(tt.in, 10); got != tt.want {
			t.Errorf("clip(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
