package topology

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// nodeChecker checks nodes and remembers what must be unique in the whole file.
type nodeChecker struct {
	checker
	ids       map[string]string // node id -> its datacenter
	listeners map[string]string // address:port -> who listens there
}

func (c checker) datacenters() {
	if len(c.t.Datacenters) == 0 {
		c.missing("datacenters", "datacenters: a cluster needs at least one")
	}
	if n := len(c.t.Datacenters); n > MaxDatacenters {
		c.errorf("datacenters", ruleTooLarge, "datacenters: at most %d, not %d", MaxDatacenters, n)
	}
	nodes := nodeChecker{checker: c, ids: map[string]string{}, listeners: map[string]string{}}
	names := map[string]bool{}
	for i, dc := range c.t.Datacenters {
		path := fmt.Sprintf("datacenters[%d]", i)
		c.form(path+".name", "datacenter", dc.Name, dcForm)
		if names[dc.Name] && dc.Name != "" {
			c.errorf(path+".name", ruleDuplicateName, "datacenter %s is already defined", quote(dc.Name))
		}
		names[dc.Name] = true
		c.broker(path+".nats", dc)
		c.choice(path+".state", ruleBadValue, "datacenter "+quote(dc.Name), dc.State.String(), joinedWord, string(DCJoining), string(DCFenced), string(DCRemoved))
		if len(dc.Nodes) == 0 && dc.State != DCRemoved {
			c.errorf(path+".nodes", ruleMissingField, "datacenter %s: it needs at least one node", quote(dc.Name))
		}
		for j := range dc.Nodes {
			nodes.node(fmt.Sprintf("%s.nodes[%d]", path, j), dc.Name, &dc.Nodes[j])
		}
	}
}

func (c checker) broker(path string, dc Datacenter) {
	subject, n := "datacenter "+quote(dc.Name), dc.NATS
	c.choice(path+".mode", ruleBadValue, subject, n.Mode, ModeEmbedded, ModeExternal)
	if n.Mode == ModeExternal && len(n.URLs) == 0 {
		c.errorf(path+".urls", ruleMissingField, "%s: mode external needs urls of the broker", subject)
	}
	if n.Mode == ModeEmbedded && len(n.URLs) > 0 {
		c.errorf(path+".urls", ruleBadValue, "%s: urls belong to mode external, the mode is embedded", subject)
	}
	if n.Mode == ModeEmbedded && n.CredsFile != "" {
		c.errorf(path+".creds_file", ruleBadValue, "%s: creds_file belongs to mode external, the mode is embedded", subject)
	}
	if n.CredsFile != "" || c.given(path+".creds_file") {
		c.printed(path+".creds_file", subject, n.CredsFile)
	}
	for i, u := range n.URLs {
		c.brokerURL(fmt.Sprintf("%s.urls[%d]", path, i), subject, u)
	}
}

// brokerURL reports what is not the URL of a NATS server. A password in it is an
// error because a topology is shown, compared and sent around.
func (c checker) brokerURL(path, subject, raw string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
		c.errorf(path, ruleBadValue, "%s: %s is not a URL such as nats://host:4222", subject, quote(raw))
	case u.User != nil:
		c.errorf(path, ruleBadValue, "%s: a broker's url must not hold a user or password: use creds_file", subject)
	}
}

func (c nodeChecker) node(path, dc string, n *Node) {
	c.form(path+".id", "node", n.ID, idForm)
	if other, ok := c.ids[n.ID]; ok && n.ID != "" {
		c.errorf(path+".id", ruleDuplicateName, "node %s is already defined in datacenter %s", quote(n.ID), quote(other))
	}
	c.ids[n.ID] = dc
	subject := "node " + quote(n.ID)
	if !rackForm.pattern.MatchString(n.Rack) {
		c.errorf(path+".rack", ruleBadName, "%s: rack %s does not match %s", subject, quote(n.Rack), rackForm.words)
	}
	if !(n.Weight >= MinWeight && n.Weight <= MaxWeight) { // also refuses what is not a number
		c.errorf(path+".weight", ruleBadValue, "%s: weight must be from %g to %d, not %g", subject, MinWeight, MaxWeight, n.Weight)
	}
	if n.DataDir != "" || c.given(path+".data_dir") {
		c.printed(path+".data_dir", subject, n.DataDir)
	}
	c.address(path+".advertise", subject, n.Advertise)
	c.ports(path+".ports", n)
}

func (c nodeChecker) address(path, subject, advertise string) {
	switch {
	case advertise == "" && !c.given(path):
		c.errorf(path, ruleMissingField, "%s: missing field \"advertise\", its address", subject)
	case !validHost(advertise):
		c.errorf(path, ruleBadValue, "%s: advertise must be an IP address or host name without a port, not %s", subject, quote(advertise))
	case !isLoopback(advertise):
		c.errorf(path, ruleOpenNetwork, "%s: advertises %s, which is not loopback, while security is off: use 127.0.0.1, this version has no TLS", subject, advertise)
	}
}

func (c nodeChecker) ports(path string, n *Node) {
	ports := n.Ports
	for _, p := range ports.named() {
		at := join(path, p.name)
		if *p.number < 0 || *p.number > 65535 {
			c.errorf(at, ruleBadPort, "node %s: port %s must be from 0 to 65535, not %d", quote(n.ID), p.name, *p.number)
			continue
		}
		if *p.number == 0 {
			if validHost(n.Advertise) && !isLoopback(n.Advertise) {
				c.errorf(at, ruleBadPort, "node %s: port %s must be given: 0, the kernel's choice, is only for loopback", quote(n.ID), p.name)
			}
			continue
		}
		listener := fmt.Sprintf("%s:%d", canonicalHost(n.Advertise), *p.number)
		if other, taken := c.listeners[listener]; taken {
			c.errorf(at, ruleDuplicatePort, "node %s: port %s: %s is already the %s", quote(n.ID), p.name, listener, other)
			continue
		}
		c.listeners[listener] = fmt.Sprintf("%s port of node %s", p.name, quote(n.ID))
	}
}

// validHost reports whether s is an IP address without zone or a host name as of
// RFC 1123.
func validHost(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Zone() == "" && !ip.IsUnspecified() && !ip.IsMulticast()
	}
	digits := strings.Trim(s, "0123456789.") == "" // a mistyped IP address, not a name
	return len(s) <= 253 && !digits && hostForm.pattern.MatchString(s)
}

// isLoopback reports whether only this machine can reach the host.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(canonicalHost(host))
	return err == nil && ip.IsLoopback()
}

// canonicalHost returns one spelling for an address, so that equal ones compare
// equal: localhost is 127.0.0.1.
func canonicalHost(host string) string {
	if strings.EqualFold(host, "localhost") {
		return "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(host)
}
