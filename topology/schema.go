package topology

// The fields of a topology file, object by object.

func (d *document) topology(t *Topology) decoder {
	return d.object(fields{
		"version":     d.unsigned(&t.Version),
		"cluster":     d.text(&t.Cluster),
		"partitions":  d.integer(&t.Partitions),
		"clock":       d.object(fields{"max_skew": d.duration(&t.Clock.MaxSkew)}),
		"datacenters": each(d, &t.Datacenters, d.datacenter),
		"placements":  each(d, &t.Placements, d.placement),
		"buckets":     each(d, &t.Buckets, d.bucket),
		"links":       d.links(&t.Links),
		"security":    d.security(&t.Security),
	})
}

func (d *document) datacenter(dc *Datacenter) decoder {
	return d.object(fields{
		"name":  d.text(&dc.Name),
		"state": d.text((*string)(&dc.State)),
		"nats": d.object(fields{
			"mode":       d.text(&dc.NATS.Mode),
			"urls":       each(d, &dc.NATS.URLs, d.text),
			"creds_file": d.text(&dc.NATS.CredsFile),
		}),
		"nodes": each(d, &dc.Nodes, d.node),
	})
}

func (d *document) node(n *Node) decoder {
	ports := fields{}
	for _, p := range n.Ports.named() {
		ports[p.name] = d.integer(p.number)
	}
	return d.object(fields{
		"id":        d.text(&n.ID),
		"rack":      d.text(&n.Rack),
		"weight":    d.number(&n.Weight),
		"advertise": d.text(&n.Advertise),
		"ports":     d.object(ports),
		"data_dir":  d.text(&n.DataDir),
	})
}

// port is one of the ports of a node under its name in the file.
type port struct {
	name   string
	number *int
}

func (p *Ports) named() []port {
	return []port{{"grpc", &p.GRPC}, {"peer", &p.Peer}, {"gossip", &p.Gossip}, {"nats", &p.NATS}, {"http", &p.HTTP}}
}

func (d *document) placement(p *Placement) decoder {
	return d.object(fields{
		"name":     d.text(&p.Name),
		"replicas": d.counts(&p.Replicas),
	})
}

func (d *document) bucket(b *Bucket) decoder {
	return d.object(fields{
		"name":          d.text(&b.Name),
		"placement":     d.text(&b.Placement),
		"kind":          d.text(&b.Kind),
		"kinds_allowed": each(d, &b.KindsAllowed, d.text),
		"read":          d.text(&b.Read),
		"write":         d.text(&b.Write),
		"durability":    d.text(&b.Durability),
		"ttl":           d.duration(&b.TTL),
		"max_value":     d.size(&b.MaxValue),
	})
}

func (d *document) links(l *Links) decoder {
	return d.object(fields{
		"mode":      d.text(&l.Mode),
		"hub":       d.text(&l.Hub),
		"defaults":  d.object(d.linkSettings(&l.Defaults)),
		"overrides": each(d, &l.Overrides, d.linkOverride),
		"emulate":   each(d, &l.Emulate, d.emulate),
	})
}

func (d *document) linkSettings(s *LinkSettings) fields {
	return fields{
		"compression": d.text(&s.Compression),
		"max_batch":   d.size(&s.MaxBatch),
		"max_delay":   d.duration(&s.MaxDelay),
		"rate_limit":  d.rate(&s.RateLimit),
	}
}

func (d *document) linkOverride(o *LinkOverride) decoder {
	known := d.linkSettings(&o.LinkSettings)
	known["between"] = d.pair(&o.Between)
	return d.object(known)
}

func (d *document) emulate(e *Emulate) decoder {
	return d.object(fields{
		"between":   d.pair(&e.Between),
		"latency":   d.duration(&e.Latency),
		"jitter":    d.duration(&e.Jitter),
		"bandwidth": d.rate(&e.Bandwidth),
	})
}

func (d *document) security(s *Security) decoder {
	known := fields{}
	for _, setting := range s.settings() {
		known[setting.key] = d.text(setting.value)
	}
	return d.object(known)
}
