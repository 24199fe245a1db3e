package chaos

import "fmt"

// proxies are the arguments by which a node of a datacenter reaches the brokers
// of all others: through the emulated links.
func (c *cluster) proxies(from string) ([]string, error) {
	if c.net == nil {
		return nil, nil
	}
	for _, d := range c.top.Datacenters {
		if err := c.net.AddDC(d.Name); err != nil {
			return nil, err
		}
	}
	if err := c.distances(); err != nil {
		return nil, err
	}
	var out []string
	for _, d := range c.top.Datacenters {
		if d.Name == from {
			continue
		}
		for _, n := range d.Nodes {
			at, err := c.net.Proxy(from, d.Name, addr(n.Ports.NATS))
			if err != nil {
				return nil, err
			}
			out = append(out, "--test-broker", fmt.Sprintf("%s/%s=%s", d.Name, n.ID, at))
		}
	}
	return out, nil
}
