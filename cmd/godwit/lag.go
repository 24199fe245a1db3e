package main

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

func (s *session) lagCommand() *cli.Command {
	return s.leaf(spec{
		category: categoryCluster, name: "lag", usage: "show how far each datacenter is behind each other",
		flags: clusterFlags(
			&cli.BoolFlag{Name: "watch", Usage: "show it again every second"},
			&cli.DurationFlag{Name: "fail-above", Usage: "exit 7 if a beacon is older than `D`, or none arrived"},
		),
		run: func(in *invocation) error {
			for {
				over, err := in.lagOnce()
				if err != nil {
					return err
				}
				if over {
					return checkFailed()
				}
				if !in.Bool("watch") || !pause(in.ctx(), watchEvery) {
					return nil
				}
			}
		},
	})
}

// watchEvery is the pause between two looks of a watch.
const watchEvery = time.Second

// lagPair is how far one datacenter is behind another; null where the
// datacenter that knows did not answer.
type lagPair struct {
	From          string   `json:"from"`
	To            string   `json:"to"`
	BeaconAgeMS   *float64 `json:"beacon_age_ms"` // as `to` heard `from`; -1 before the first
	PendingEvents *uint64  `json:"pending_events"`
	PendingBytes  *uint64  `json:"pending_bytes"`
	RepairDebt    *uint64  `json:"repair_debt"`
}

// lagOnce prints the lag of every ordered pair and tells whether it is above the limit.
func (in *invocation) lagOnce() (bool, error) {
	opts, err := in.options()
	if err != nil {
		return false, err
	}
	dcs, err := in.everyDC()
	if err != nil {
		return false, err
	}
	all := askAll(dcs, func(d member) (*pb.LagResponse, error) { return d.Lag(in.ctx(), opts...) })
	if err := noneAnswered(in.s, all); err != nil {
		return false, err
	}
	pairs := lagPairs(all)
	over := false
	if limit := in.Duration("fail-above"); in.IsSet("fail-above") {
		for _, p := range pairs {
			over = over || p.BeaconAgeMS == nil || *p.BeaconAgeMS < 0 || *p.BeaconAgeMS > float64(limit)/float64(time.Millisecond)
		}
	}
	if in.json() {
		return over, in.s.json(map[string]any{"pairs": pairs})
	}
	var rows [][]string
	for _, p := range pairs {
		rows = append(rows, []string{p.From, p.To, ageShown(p.BeaconAgeMS), count(p.PendingEvents), sizeShown(p.PendingBytes), count(p.RepairDebt)})
	}
	if in.Bool("watch") && in.s.outTerminal {
		if _, err := fmt.Fprint(in.s.out, "\x1b[H\x1b[2J"); err != nil {
			return over, fmt.Errorf("clear the terminal: %w", err)
		}
	}
	return over, in.s.table([]string{"FROM", "TO", "BEACON AGE", "PENDING EVENTS", "PENDING BYTES", "REPAIR DEBT"}, rows)
}

func lagPairs(all []said[*pb.LagResponse]) []lagPair {
	name := func(a said[*pb.LagResponse]) string { return cmp.Or(a.answer.GetDc(), a.dc) }
	pairs := []lagPair{}
	for _, from := range all {
		for _, to := range all {
			if name(from) == name(to) {
				continue
			}
			p := lagPair{From: name(from), To: name(to)}
			for _, i := range to.answer.GetInbound() {
				if i.GetFrom() == p.From {
					p.BeaconAgeMS = &i.BeaconAgeMs
				}
			}
			for _, o := range from.answer.GetOutbound() {
				if o.GetTo() == p.To {
					p.PendingEvents, p.PendingBytes, p.RepairDebt = &o.PendingEvents, &o.PendingBytes, &o.RepairDebt
				}
			}
			pairs = append(pairs, p)
		}
	}
	return pairs
}

func ageShown(ms *float64) string {
	switch {
	case ms == nil:
		return "?"
	case *ms < 0:
		return "none yet"
	}
	return duration(time.Duration(*ms * float64(time.Millisecond)))
}

func count(n *uint64) string {
	if n == nil {
		return "?"
	}
	return strconv.FormatUint(*n, 10)
}

func sizeShown(n *uint64) string {
	if n == nil {
		return "?"
	}
	return bytesShown(*n)
}
