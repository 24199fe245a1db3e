package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/godwitdb/godwit/client"
)

// openSession is the session of --session: what the file holds, or a new one if
// there is no file yet; nil without the flag.
func (in *invocation) openSession() (*client.Session, error) {
	path := in.Path("session")
	if path == "" || in.session != nil {
		return in.session, nil
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		in.session = client.NewSession(0)
	case err != nil:
		return nil, usagef("--session: %s", err)
	default:
		if in.session, err = client.UnmarshalSession(b); err != nil {
			return nil, usagef("--session %s: %s; remove the file to begin a new session", path, err)
		}
	}
	return in.session, nil
}

// keepSession writes the session back, also after a command that failed: what it
// saw it has seen. The file is replaced as a whole.
func (in *invocation) keepSession() error {
	if in.session == nil {
		return nil
	}
	path := in.Path("session")
	part := path + ".part"
	err := os.WriteFile(part, in.session.Marshal(), 0o600)
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return fmt.Errorf("keep the session: %w", err)
	}
	if n := in.session.Dropped(); n > 0 {
		fmt.Fprintf(in.s.err, "godwit: the session has dropped %d parts of what it saw: for those its guarantees may not hold\n", n)
	}
	return nil
}
