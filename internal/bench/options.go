package bench

import (
	"cmp"
	"errors"
	"io"
	"time"
)

// Options configures Run. Zero fields take the default named beside them.
type Options struct {
	Binary  string        // required: godwit
	Against string        // another build of it, which takes turns with Binary; none
	Self    string        // required: a program that serves echoes when called with the one argument EchoArgument
	Dir     string        // required: for data and logs; it must not hold anything
	Nodes   int           // of the datacenter; 3
	Keys    int           // put before anything is measured; 100,000
	Rounds  int           // of which the median counts; 3
	For     time.Duration // that each load lasts in a round; 5 s
	Only    []string      // loads with one of these in their names; all
	Profile string        // directory for profiles of the first node, one a load, of the last round; none
	Out     io.Writer     // what is being done; discarded
}

// EchoArgument makes Options.Self serve echoes; see ServeEcho.
const EchoArgument = "serve-echoes"

// ValueBytes is how long values are.
const ValueBytes = 128

func (o Options) withDefaults() (Options, error) {
	o.Nodes = cmp.Or(o.Nodes, 3)
	o.Keys = cmp.Or(o.Keys, 100_000)
	o.Rounds = cmp.Or(o.Rounds, 3)
	o.For = cmp.Or(o.For, 5*time.Second)
	if o.Out == nil {
		o.Out = io.Discard
	}
	switch {
	case o.Binary == "" || o.Self == "" || o.Dir == "":
		return o, errors.New("bench: Binary, Self and Dir are required")
	case o.Nodes < 1 || o.Nodes > 9 || o.Keys < 1 || o.Rounds < 1 || o.For < 0:
		return o, errors.New("bench: there are 1 to 9 nodes, and at least one key and one round")
	}
	return o, nil
}
