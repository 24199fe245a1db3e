package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/topology"
)

// wanCommands change the emulated links of a demo or a load test.
func (s *session) wanCommands() []*cli.Command {
	oneWay := &cli.BoolFlag{Name: "one-way", Usage: "only from the first to the second"}
	return []*cli.Command{{
		Name: "wan", Category: categoryCluster, Usage: "cut, heal and shape emulated links between datacenters",
		Subcommands: []*cli.Command{
			s.leaf(spec{
				name: "cut", usage: "lose what travels between two datacenters, or to and from one", args: "A B | DC", least: 1, most: 2,
				flags: clusterFlags(oneWay, &cli.BoolFlag{Name: "freeze", Usage: "hold bytes back until heal instead of losing them"}), run: cut,
			}),
			s.leaf(spec{
				name: "heal", usage: "bring links up again and wait until all is equal", args: "[A B | DC]", most: 2,
				flags: clusterFlags(&cli.DurationFlag{Name: "wait", Value: 20 * time.Second, Usage: "longest wait for equality"}), run: heal,
			}),
			s.leaf(spec{
				name: "set", usage: "change latency, jitter and bandwidth of a link", args: "A B", least: 2, most: 2,
				flags: clusterFlags(oneWay,
					&cli.DurationFlag{Name: "latency", Usage: "one way"},
					&cli.DurationFlag{Name: "jitter", Usage: "at most this much more or less"},
					&cli.StringFlag{Name: "bandwidth", Usage: "`RATE` such as 1Gbit, 50MiB/s; 0 is unlimited"},
				),
				run: setLink,
			}),
			s.leaf(spec{name: "show", usage: "show all links", flags: clusterFlags(), run: showLinks}),
		},
	}}
}

// link is the question that names what the positionals name.
func (in *invocation) link() (*pb.SetLinkRequest, error) {
	req := &pb.SetLinkRequest{BothWays: !in.Bool("one-way")}
	if len(in.args) > 0 {
		req.From = in.args[0]
	}
	if len(in.args) > 1 {
		req.To = in.args[1]
	}
	if slices.Contains(in.args, "") {
		return nil, usagef("the name of a datacenter is not empty")
	}
	if req.GetFrom() != "" && req.GetFrom() == req.GetTo() {
		return nil, usagef("%s has no link to itself", req.GetFrom())
	}
	return req, nil
}

func (in *invocation) changeLink(req *pb.SetLinkRequest) (*pb.LinksResponse, error) {
	c, opts, err := in.call()
	if err != nil {
		return nil, err
	}
	return c.SetLink(in.ctx(), req, opts...)
}

func cut(in *invocation) error {
	req, err := in.link()
	if err != nil {
		return err
	}
	req.State = pb.LinkState_LINK_STATE_CUT
	if in.Bool("freeze") {
		req.State = pb.LinkState_LINK_STATE_FROZEN
	}
	resp, err := in.changeLink(req)
	if err != nil || !in.json() {
		return err
	}
	return in.s.json(linksOf(resp))
}

func setLink(in *invocation) error {
	req, err := in.link()
	if err != nil {
		return err
	}
	for flag, field := range map[string]**uint64{"latency": &req.LatencyUs, "jitter": &req.JitterUs} {
		if !in.IsSet(flag) {
			continue
		}
		d := in.Duration(flag)
		if d < 0 {
			return usagef("--%s %v is negative", flag, d)
		}
		us := uint64(d.Microseconds())
		*field = &us
	}
	if text := in.String("bandwidth"); text != "" {
		n, err := topology.ParseRate(text)
		if err != nil {
			return usagef("--bandwidth %q is no rate: a whole number with a unit, as in 1Gbit or 50MiB/s", text)
		}
		rate := uint64(n)
		req.BandwidthBytes = &rate
	}
	if req.LatencyUs == nil && req.JitterUs == nil && req.BandwidthBytes == nil {
		return usagef("wan set needs --latency, --jitter or --bandwidth")
	}
	resp, err := in.changeLink(req)
	if err != nil || !in.json() {
		return err
	}
	return in.s.json(linksOf(resp))
}

// healed is the JSON of wan heal.
type healed struct {
	Healed   bool     `json:"healed"`
	Replayed uint64   `json:"events_replayed"`
	Equal    bool     `json:"equal"`
	AfterMS  float64  `json:"after_ms"`
	StillCut []string `json:"still_cut"`
}

func heal(in *invocation) error {
	req, err := in.link()
	if err != nil {
		return err
	}
	req.BothWays, req.State = true, pb.LinkState_LINK_STATE_UP
	wait := in.Duration("wait")
	if wait < 0 {
		return usagef("--wait %v is negative", wait)
	}
	dcs, err := in.everyDC()
	if err != nil {
		return err
	}
	before, err := in.survey(dcs, nil, 0)
	if err != nil {
		return err
	}
	resp, err := in.changeLink(req)
	if err != nil {
		return err
	}
	began := in.s.now()
	h := healed{Healed: true, Replayed: unseen(before), StillCut: []string{}}
	for _, l := range resp.GetLinks() {
		if l.GetState() != pb.LinkState_LINK_STATE_UP {
			h.StillCut = append(h.StillCut, l.GetFrom()+"->"+l.GetTo())
		}
	}
	differ := 0
	if len(h.StillCut) == 0 {
		result, err := in.settled(dcs, union(before), wait)
		if err != nil {
			return err
		}
		h.Equal, differ = result.Equal, len(result.Differing)
	}
	took := in.s.now().Sub(began)
	h.AfterMS = float64(took) / float64(time.Millisecond)
	switch {
	case in.json():
		return in.s.json(h)
	case len(h.StillCut) > 0:
		return in.s.line("healed; still cut: " + strings.Join(h.StillCut, ", "))
	case !h.Equal:
		return in.s.line(fmt.Sprintf("healed; %d events were to be replayed; NOT equal after %s: %d differences (see verify, lag)", h.Replayed, duration(took), differ))
	}
	return in.s.line(fmt.Sprintf("healed; %d events replayed; all datacenters equal after %s", h.Replayed, duration(took)))
}

func showLinks(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	resp, err := c.Links(in.ctx(), opts...)
	if err != nil {
		return err
	}
	links := linksOf(resp)
	if in.json() {
		return in.s.json(links)
	}
	if !links.Emulated {
		return fmt.Errorf("the links of this cluster are real: %w", errNotEmulated())
	}
	var rows [][]string
	for _, l := range links.Links {
		bandwidth := "unlimited"
		if l.Bandwidth > 0 {
			bandwidth = bytesShown(l.Bandwidth) + "/s"
		}
		rows = append(rows, []string{l.From, l.To, l.State, msShown(l.LatencyMS), msShown(l.JitterMS), bandwidth, bytesShown(l.Bytes)})
	}
	return in.s.table([]string{"FROM", "TO", "STATE", "LATENCY", "JITTER", "BANDWIDTH", "CARRIED"}, rows)
}

func errNotEmulated() error {
	return &exitErr{exitPrecondition, "only a demo or a load test emulates them"}
}

type linksJSON struct {
	Emulated bool       `json:"emulated"`
	Links    []linkJSON `json:"links"`
}

type linkJSON struct {
	From      string  `json:"from"`
	To        string  `json:"to"`
	State     string  `json:"state"`
	LatencyMS float64 `json:"latency_ms"`
	JitterMS  float64 `json:"jitter_ms"`
	Bandwidth uint64  `json:"bandwidth_bytes"`
	Bytes     uint64  `json:"bytes"`
}

func linksOf(r *pb.LinksResponse) linksJSON {
	out := linksJSON{Emulated: r.GetEmulated(), Links: []linkJSON{}}
	for _, l := range r.GetLinks() {
		out.Links = append(out.Links, linkJSON{
			From: l.GetFrom(), To: l.GetTo(), State: strings.ToLower(strings.TrimPrefix(l.GetState().String(), "LINK_STATE_")),
			LatencyMS: float64(l.GetLatencyUs()) / 1000, JitterMS: float64(l.GetJitterUs()) / 1000,
			Bandwidth: l.GetBandwidthBytes(), Bytes: l.GetBytes(),
		})
	}
	return out
}

func msShown(ms float64) string { return strconv.FormatFloat(ms, 'f', -1, 64) + "ms" }
