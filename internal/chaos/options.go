package chaos

import (
	"cmp"
	"errors"
	"io"
	"time"
)

// Options configures Run. Zero fields take the default named beside them.
type Options struct {
	Binary   string        // required: godwit, or a planted one
	Dir      string        // required: of data and logs; what is in it is lost
	Seed     uint64        // of the faults, their order and their victims
	Rounds   int           // how often every fault comes at the least; 1
	Acked    int           // faults go on until as many operations are acknowledged; no matter
	Least    time.Duration // faults go on for as long; 0
	Limit    time.Duration // after the rounds no fault begins later, however few are acknowledged; 10 minutes
	Only     []string      // names of faults; all
	Workers  int           // closed-loop clients; 12
	Freeze   time.Duration // how long a frozen node stands still; 30 s
	Down     time.Duration // how long a killed node is away; 3 s
	Calm     time.Duration // between two faults, and thrice before the first; 1 s
	Hasty    bool          // leave out slow faults, and wait until nodes are level only before one loses its disk
	Across   bool          // several datacenters, whose links are hurt as well
	Cut      time.Duration // with Across: how long links are hurt; 10 s
	Skew     time.Duration // by which a clock is wrong; 1 h
	Progress io.Writer     // what goes on, a line at a time; nobody
}

func (o Options) withDefaults() (Options, error) {
	if o.Binary == "" || o.Dir == "" {
		return o, errors.New("chaos: Binary and Dir are required")
	}
	o.Rounds = cmp.Or(o.Rounds, 1)
	o.Limit = cmp.Or(o.Limit, 10*time.Minute)
	o.Workers = cmp.Or(o.Workers, 12)
	o.Freeze = cmp.Or(o.Freeze, 30*time.Second)
	o.Down = cmp.Or(o.Down, 3*time.Second)
	o.Calm = cmp.Or(o.Calm, time.Second)
	o.Cut = cmp.Or(o.Cut, 10*time.Second)
	o.Skew = cmp.Or(o.Skew, time.Hour)
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o, nil
}
