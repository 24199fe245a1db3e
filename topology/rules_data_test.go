package topology_test

import "testing"

func TestRulesOfData(t *testing.T) {
	tests := []ruleTest{
		{
			name: `duplicate placement`, old: `name: eu-only`, new: `name: global`,
			want: `19:11: error: placement "global" is already defined [duplicate-name]
23:30: error: bucket "carts": placement "eu-only" is not defined (defined: global) [unknown-placement]`,
		},
		{
			name: `placement name`, old: `name: eu-only`, new: `name: EU only`,
			want: `19:11: error: placement "EU only" does not match [a-z0-9][a-z0-9-]{0,31} [bad-name]
23:30: error: bucket "carts": placement "eu-only" is not defined (defined: EU only, global) [unknown-placement]`,
		},
		{
			name: `placement without replicas`, old: `replicas: {use1: 3, euw1: 2}`, new: `replicas: {}`,
			want: `18:30: error: placement "global": it needs replicas in at least one datacenter [missing-field]`,
		},
		{
			name: `placement in an unknown datacenter`, old: `replicas: {use1: 3, euw1: 2}`, new: `replicas: {use1: 3, euw2: 2}`,
			want: `18:40: error: placement "global": datacenter "euw2" is not defined (defined: euw1, use1) [unknown-datacenter]`,
		},
		{
			name: `more replicas than nodes`, old: `replicas: {use1: 3, euw1: 2}`, new: `replicas: {use1: 4, euw1: 2}`,
			want: `18:37: error: placement "global": replicas in use1 must be from 1 to 3, its number of nodes, not 4 [bad-replicas]`,
		},
		{
			name: `no replicas`, old: `replicas: {use1: 3, euw1: 2}`, new: `replicas: {use1: 0, euw1: 2}`,
			want: `18:37: error: placement "global": replicas in use1 must be from 1 to 3, its number of nodes, not 0 [bad-replicas]`,
		},
		{
			name: `replicas are a number`, old: `replicas: {use1: 3, euw1: 2}`, new: `replicas: {use1: three, euw1: 2}`,
			want: `18:37: error: use1: expected a whole number, got the string "three" [wrong-type]`,
		},
		{
			name: `more replicas than racks`, old: `rack: c`, new: `rack: b`,
			want: `18:37: warning: placement "global": 3 replicas in use1, which has 2 racks: some will share a rack [few-racks]`,
		},
		{
			name: `bucket name`, old: `name: carts`, new: `name: "my carts"`,
			want: `23:12: error: bucket "my carts" does not match [a-zA-Z0-9._-]{1,64} [bad-name]`,
		},
		{
			name: `bucket name too long`, old: `name: carts`, new: `name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`,
			want: `23:12: error: bucket "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..." does not match [a-zA-Z0-9._-]{1,64} [bad-name]`,
		},
		{
			name: `bucket name missing`, old: `name: carts, `, new: ``,
			want: `23:5: error: bucket: missing field "name" [missing-field]`,
		},
		{
			name: `unknown placement`, old: `placement: eu-only`, new: `placement: eu`,
			want: `23:30: error: bucket "carts": placement "eu" is not defined (defined: eu-only, global) [unknown-placement]`,
		},
		{
			name: `unknown kind`, old: `kind: set`, new: `kind: sett`,
			want: `23:45: error: bucket "carts": unknown kind "sett" (did you mean "set"?) [unknown-kind]`,
		},
		{
			name: `unknown kind, near none`, old: `kind: set`, new: `kind: tree`,
			want: `23:45: error: bucket "carts": unknown kind "tree" (one of: bcounter, counter, dwflag, flag, gcounter, gset, hll, map, mvregister, register, rwset, set, zset) [unknown-kind]`,
		},
		{
			name: `unknown allowed kind`, old: `kinds_allowed: [set, counter]`, new: `kinds_allowed: [set, conter]`,
			want: `23:71: error: bucket "carts": unknown kind "conter" (did you mean "counter"?) [unknown-kind]`,
		},
		{
			name: `allowed kind twice`, old: `kinds_allowed: [set, counter]`, new: `kinds_allowed: [set, set]`,
			want: `23:71: error: bucket "carts": kind "set" is already listed [duplicate-name]`,
		},
		{
			name: `kind not allowed`, old: `kind: set`, new: `kind: map`,
			want: `23:45: error: bucket "carts": its kind map is not in kinds_allowed (counter, set) [kind-not-allowed]`,
		},
		{
			name: `default kind not allowed`, old: `kind: set, `, new: ``,
			want: `23:5: error: bucket "carts": its kind register is not in kinds_allowed (counter, set) [kind-not-allowed]`,
		},
		{
			name: `consistency`, old: `read: quorum`, new: `read: two`,
			want: `23:87: error: bucket "carts": unknown read "two" (one of: all, one, quorum) [bad-value]`,
		},
		{
			name: `durability`, old: `durability: async`, new: `durability: fsync`,
			want: `23:119: error: bucket "carts": unknown durability "fsync" (did you mean "async"?) [bad-value]`,
		},
		{
			name: `weak quorum`, old: `read: quorum, write: all`, new: `read: one, write: one`,
			want: `23:87: warning: read + write = 2 does not exceed 2 replicas: a read may miss the latest write [weak-quorum]`,
		},
		{
			name: `ttl negative`, old: `ttl: 48h`, new: `ttl: -1s`,
			want: `23:131: error: bucket "carts": ttl must be 0 (no expiry) or more, not -1s [bad-value]`,
		},
		{
			name: `ttl without unit`, old: `ttl: 48h`, new: `ttl: 48`,
			want: `23:131: error: ttl: "48" is not a duration such as 500ms [bad-value]`,
		},
		{
			name: `max value too large`, old: `max_value: 64KiB`, new: `max_value: 2MiB`,
			want: `23:147: error: bucket "carts": max_value must be from 1B to 1MiB, not 2MiB [bad-value]`,
		},
		{
			name: `max value zero`, old: `max_value: 64KiB`, new: `max_value: 0`,
			want: `23:147: error: bucket "carts": max_value must be from 1B to 1MiB, not 0B [bad-value]`,
		},
		{
			name: `size that is none`, old: `max_value: 64KiB`, new: `max_value: 64 kilos`,
			want: `23:147: error: max_value: "64 kilos" is not a size such as 256KiB [bad-value]`,
		},
		{
			name: `size beyond 64 bits`, old: `max_value: 64KiB`, new: `max_value: 99999999TiB`,
			want: `23:147: error: max_value: "99999999TiB" is not a size such as 256KiB [bad-value]`,
		},
		{
			name: `link mode`, old: `mode: mesh`, new: `mode: star`,
			want: `25:9: error: links: unknown mode "star" (one of: explicit, hub, mesh) [bad-value]`,
		},
		{
			name: `hub missing`, old: `mode: mesh`, new: `mode: hub`,
			want: `25:3: error: links: mode hub needs the name of the hub [missing-field]`,
		},
		{
			name: `hub unknown`, old: `mode: mesh`, new: "mode: hub\n  hub: use2",
			want: `26:8: error: links: datacenter "use2" is not defined (defined: euw1, use1) [unknown-datacenter]`,
		},
		{
			name: `hub in a mesh`, old: `mode: mesh`, new: "mode: mesh\n  hub: use1",
			want: `26:8: error: links: hub belongs to mode hub, the mode is "mesh" [bad-value]`,
		},
		{
			name: `compression`, old: `compression: s2`, new: `compression: s3`,
			want: `26:27: error: links: unknown compression "s3" (did you mean "s2"?) [bad-value]`,
		},
		{
			name: `batch too large`, old: `max_batch: 512KiB`, new: `max_batch: 8MiB`,
			want: `26:42: error: max_batch must be from 4KiB to 2MiB, not 8MiB [bad-value]`,
		},
		{
			name: `delay too long`, old: `max_delay: 5ms`, new: `max_delay: 1h`,
			want: `26:61: error: max_delay must be from 0 to 10s, not 1h [bad-value]`,
		},
		{
			name: `rate that is none`, old: `rate_limit: 50MiB/s`, new: `rate_limit: fast`,
			want: `27:51: error: rate_limit: "fast" is not a rate such as 50MiB/s or 1Gbit [bad-value]`,
		},
		{
			name: `override of an unknown datacenter`, old: `between: [use1, euw1], rate_limit`, new: `between: [use1, euw2], rate_limit`,
			want: `27:32: error: between: datacenter "euw2" is not defined (defined: euw1, use1) [unknown-datacenter]`,
		},
		{
			name: `override of a datacenter with itself`, old: `between: [use1, euw1], rate_limit`, new: `between: [use1, use1], rate_limit`,
			want: `27:25: error: between: a link needs two different datacenters, not "use1" twice [bad-value]`,
		},
		{
			name: `override without a pair`, old: `between: [use1, euw1], rate_limit`, new: `rate_limit`,
			want: `27:15: error: missing between: two datacenters, [a, b] [missing-field]`,
		},
		{
			name: `override of three`, old: `between: [use1, euw1], rate_limit`, new: `between: [use1, euw1, use1], rate_limit`,
			want: `27:25: error: expected two datacenters, [a, b], got 3 [wrong-type]`,
		},
		{
			name: `override twice`, old: `rate_limit: 50MiB/s}`, new: `rate_limit: 50MiB/s}, {between: [euw1, use1]}`,
			want: `27:71: error: between: the link of "euw1" and "use1" is already listed [duplicate-name]`,
		},
		{
			name: `emulation twice`, old: `bandwidth: 1Gbit}`, new: `bandwidth: 1Gbit}, {between: [euw1, use1]}`,
			want: `28:94: error: between: the link of "euw1" and "use1" is already listed [duplicate-name]`,
		},
		{
			name: `latency negative`, old: `latency: 38ms`, new: `latency: -38ms`,
			want: `28:46: error: latency must be from 0 to 1m, not -38ms [bad-value]`,
		},
		{
			name: `jitter too long`, old: `jitter: 3ms`, new: `jitter: 3h`,
			want: `28:60: error: jitter must be from 0 to 1m, not 3h [bad-value]`,
		},
		{
			name: `explicit links that leave a placement apart`, old: "mode: mesh\n  defaults: {compression: s2, max_batch: 512KiB, max_delay: 5ms, rate_limit: 0}\n  overrides: [{between: [use1, euw1], rate_limit: 50MiB/s}]", new: `mode: explicit`,
			want: `18:30: error: placement "global": no links join euw1 to use1 within the placement, and its data may not pass through others [unlinked-placement]`,
		},
		{
			name: `security that does not exist yet`, old: `client_tls: off`, new: `client_tls: on`,
			want: `29:24: error: client_tls: this version knows only off, got "on" [unsupported]`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}
