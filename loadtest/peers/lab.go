package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// versionTime is how long a program may take to tell its version.
const versionTime = 10 * time.Second

// lab is the directory of one run and the systems in it.
type lab struct {
	opts options
	dir  string // of data and logs; removed by close
}

// tmpfsMagic is what statfs(2) calls a file system in memory.
const tmpfsMagic = 0x01021994

func newLab(o options) (*lab, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(o.dir, &fs); err != nil {
		return nil, fmt.Errorf("look at %s: %w", o.dir, err)
	}
	if fs.Type == tmpfsMagic {
		return nil, fmt.Errorf("%s is in memory, where syncing costs nothing: name a directory on a disk with -dir", o.dir)
	}
	dir, err := os.MkdirTemp(o.dir, "godwit-peers-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for data: %w", err)
	}
	return &lab{opts: o, dir: dir}, nil
}

func (l *lab) close() error {
	if l.opts.keep {
		return nil
	}
	if err := os.RemoveAll(l.dir); err != nil {
		return fmt.Errorf("remove data: %w", err)
	}
	return nil
}

// server returns a server that is not started, with a directory of its own for
// data, which exists.
func (l *lab) server(name, binary string) (s *server, data string, err error) {
	data = filepath.Join(l.dir, name)
	if err := os.MkdirAll(data, 0o750); err != nil {
		return nil, "", fmt.Errorf("directory of %s: %w", name, err)
	}
	return &server{name: name, binary: binary, log: filepath.Join(l.dir, name+".log")}, data, nil
}

// binaryName is what the server of a system is called in a PATH.
func binaryName(system string) string {
	switch system {
	case natsName:
		return "nats-server"
	case redisName:
		return "redis-server"
	default:
		return system
	}
}

// binary finds the server of a system and its version: the first line that it
// prints when asked.
func (l *lab) binary(ctx context.Context, system string, version ...string) (file, says string, err error) {
	file = l.opts.binaries[system]
	if file == "" {
		if file, err = exec.LookPath(binaryName(system)); err != nil {
			return "", "", fmt.Errorf("%s: %w: name it with -%s, or run make bench-peers, which installs it", system, err, system)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, file, version...).CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("ask %s for its version: %w\n%s", file, err, indent(out))
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	line, _, _ = strings.Cut(line, " sha=") // Redis goes on with what its build was
	return file, line, nil
}

// freePorts returns ports of the kernel's choice at which nobody listens now.
func freePorts(ctx context.Context, n int) (ports []int, err error) {
	var lc net.ListenConfig
	for range n {
		l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a port: %w", err)
		}
		defer func() { err = errors.Join(err, l.Close()) }() // all are held until all are found
		tcp, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, fmt.Errorf("find a port: %v is none", l.Addr())
		}
		ports = append(ports, tcp.Port)
	}
	return ports, nil
}

// loopback is the address of a port.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
