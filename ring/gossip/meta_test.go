package gossip

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"testing"
)

func TestMetaEncodingIsPinned(t *testing.T) {
	got := hex.EncodeToString(encodeMeta(map[string]string{"peer": "h:1", "grpc": "h:2"}))
	if want := "01" + "0467727063" + "03683a32" + "0470656572" + "03683a31"; got != want {
		t.Errorf("encoded %s, want %s", got, want)
	}
}

func TestDecodeMetaRefuses(t *testing.T) {
	for name, b := range map[string]string{
		"nothing": "", "another format": "\x02", "a name without value": "\x01\x01a", "cut short": "\x01\x05a",
		"a padded length": "\x01\x81\x00a\x00", "names out of order": "\x01\x01b\x00\x01a\x00", "a name twice": "\x01\x01a\x00\x01a\x00",
		"too long": "\x01" + string(make([]byte, 600)),
	} {
		if m, err := decodeMeta([]byte(b)); err == nil {
			t.Errorf("%s: decoded %q, want an error", name, m)
		}
	}
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add(encodeMeta(nil))
	f.Add(encodeMeta(map[string]string{"peer": "h:1", "grpc": ""}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err == nil && !bytes.Equal(encodeMeta(m), b) {
			t.Fatalf("decoded %x, encoded %x", b, encodeMeta(m))
		}
	})
}

func TestLogLinesAreTakenApart(t *testing.T) {
	tests := []struct {
		line  string
		level slog.Level
		text  string
	}{
		{line: "2026/01/02 03:04:05 [DEBUG] memberlist: hello\n", level: slog.LevelDebug, text: "hello"},
		{line: "2026/01/02 03:04:05 [ERR] memberlist: no [x] y\n", level: slog.LevelWarn, text: "no [x] y"},
		{line: "2026/01/02 03:04:05 [INFO] memberlist: Suspect a has failed, no acks received\n", level: slog.LevelInfo, text: "Suspect a has failed, no acks received"},
		{line: "2026/01/02 03:04:05 Err: odd\n", level: slog.LevelInfo, text: "2026/01/02 03:04:05 Err: odd"},
		{line: "", level: slog.LevelInfo, text: ""},
	}
	for _, tt := range tests {
		if level, text := splitLine(tt.line); level != tt.level || text != tt.text {
			t.Errorf("splitLine(%q) = %v, %q; want %v, %q", tt.line, level, text, tt.level, tt.text)
		}
	}
}
