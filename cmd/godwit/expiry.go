package main

import (
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

// expiryCommands read and change when keys expire.
func (s *session) expiryCommands() []*cli.Command {
	return []*cli.Command{
		s.leaf(spec{
			category: categoryData, name: "expire", usage: "let a key expire after D, such as 90s or 2h; a number is seconds", args: "KEY D", least: 2, most: 2,
			flags: writeFlags(),
			run: func(in *invocation) error {
				d, err := life(in.args[1])
				if err != nil {
					return err
				}
				at := in.s.now().Add(d)
				return in.expireAt(at, ": expires at "+since(at.Truncate(time.Millisecond)))
			},
		}),
		s.leaf(spec{
			category: categoryData, name: "persist", usage: "let a key live for ever", args: "KEY", least: 1, most: 1, flags: writeFlags(),
			run: func(in *invocation) error { return in.expireAt(time.Time{}, ": lives for ever") },
		}),
		s.leaf(spec{
			category: categoryData, name: "ttl", usage: "print how long a key has to live, or none if it never expires", args: "KEY", least: 1, most: 1,
			flags: clusterFlags(), run: ttl,
		}),
	}
}

// life reads a positive duration; a bare number is seconds.
func life(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if n, e := strconv.ParseUint(text, 10, 32); e == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil {
		return 0, usagef("%s is not a duration such as 90s, 15m or 2h", shown(text))
	}
	if d < time.Millisecond {
		return 0, usagef("%s is less than a millisecond: use del to remove the key", shown(text))
	}
	return d, nil
}

// expireAt changes when a key expires. An absent key is exit code 3.
func (in *invocation) expireAt(at time.Time, said string) error {
	return in.write(client.ExpireOp(in.args[0], at), func(*client.Result) string { return said }, nil)
}

func ttl(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	left, expires, err := c.TTL(in.ctx(), in.args[0], opts...)
	if err != nil {
		return err
	}
	left = left.Round(time.Millisecond)
	switch {
	case in.json():
		out := struct {
			Key     any     `json:"key"`
			Bucket  string  `json:"bucket"`
			TTL     *int64  `json:"ttl_ms"`     // null: never
			Expires *string `json:"expires_at"` // null: never
		}{Key: jsonBytes(in.args[0]), Bucket: in.bucket()}
		if expires {
			ms, at := left.Milliseconds(), since(in.s.now().Add(left).Truncate(time.Millisecond))
			out.TTL, out.Expires = &ms, &at
		}
		return in.s.json(out)
	case !expires:
		return in.s.line("none")
	}
	return in.s.line(left.String())
}
