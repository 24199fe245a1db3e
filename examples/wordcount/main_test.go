package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBadArgumentsAreNamed(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.json")
	if err := os.WriteFile(empty, []byte(`{"dcs":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no such flag", []string{"--nonsense"}, "flag provided but not defined"},
		{"an argument", []string{"a.txt"}, `unexpected argument "a.txt": name texts with --texts`},
		{"no demo", []string{"--demo", filepath.Join(dir, "none.json")}, "no demo has left its addresses"},
		{"a demo without datacenters", []string{"--demo", empty}, "no datacenters"},
		{"an address without datacenter", []string{"--addrs", "127.0.0.1:1"}, `"127.0.0.1:1" is not dc=host:port`},
		{"an address that is none", []string{"--addrs", "use1=here"}, `address "here" is not host:port`},
		{"no such text", []string{"--addrs", "use1=127.0.0.1:1", "--texts", filepath.Join(dir, "none.txt")}, "open text"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), tt.args, &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("exit %d, %s, want 2 and %q", code, stderr.String(), tt.want)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // nobody listens there now
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("one two"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"--addrs", "use1=" + addr, "--texts", text, "--timeout", "100ms"}, &stdout, &stderr)
	if code != 4 || !strings.Contains(stdout.String(), "2 words failed, 0 may have been counted or not") {
		t.Errorf("exit %d, %s%s", code, stdout.String(), stderr.String())
	}
}

func TestTargets(t *testing.T) {
	got, err := parseAddrs("use1=a:1, euw1=b:2,use1=c:3")
	if err != nil || len(got) != 2 || got[0].dc != "use1" || strings.Join(got[0].addrs, " ") != "a:1 c:3" || got[1].addrs[0] != "b:2" {
		t.Errorf("parseAddrs() = %v, %v", got, err)
	}
	name := filepath.Join(t.TempDir(), "demo.json")
	demo := `{"dashboard":"http://127.0.0.1:7100","dcs":[{"name":"use1","grpc":["127.0.0.1:7101","127.0.0.1:7102"],"nodes":[]},{"name":"euw1","grpc":["127.0.0.1:7111"]}]}`
	if err := os.WriteFile(name, []byte(demo), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err = readDemo(name)
	if err != nil || len(got) != 2 || len(got[0].addrs) != 2 || got[1].dc != "euw1" {
		t.Errorf("readDemo() = %v, %v", got, err)
	}
	texts, err := readTexts("", got)
	if err != nil || len(texts) != 3 || texts[0].Name != "opticks.txt" || texts[2].DC != "use1" || len(texts[1].Words) != 10003 {
		t.Errorf("readTexts(): %d texts, %v", len(texts), err)
	}
}
