package topology_test

import (
	"strings"
	"testing"

	"github.com/godwitdb/godwit/topology"
)

// ruleTest breaks one thing in the file of a valid topology, by replacing old,
// which occurs once, and expects exactly the problems listed.
type ruleTest struct{ name, old, new, want string }

func (tt ruleTest) run(t *testing.T) {
	if n := strings.Count(shop, tt.old); n != 1 {
		t.Fatalf("%q occurs %d times", tt.old, n)
	}
	top, problems := topology.Parse("shop.yaml", []byte(strings.Replace(shop, tt.old, tt.new, 1)))
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimPrefix(p.Error(), "shop.yaml:"))
	}
	if got := strings.Join(got, "\n"); got != tt.want {
		t.Errorf("got\n%s\nwant\n%s", got, tt.want)
	}
	if (top == nil) != problems.HasErrors() {
		t.Errorf("topology %v with %d errors", top, problems.Errors())
	}
}

func TestRulesOfNodes(t *testing.T) {
	tests := []ruleTest{
		{
			name: `unknown field, near a known one`, old: `rack: b, weight`, new: `rack: b, wieght`,
			want: `10:31: error: unknown field "wieght" (did you mean "weight"?) [unknown-field]`,
		},
		{
			name: `unknown field, near none`, old: `clock: {max_skew`, new: `clock: {tolerance: 1s, max_skew`,
			want: `4:9: error: unknown field "tolerance" (known: max_skew) [unknown-field]`,
		},
		{
			name: `unknown field at the top`, old: `partitions: 512`, new: `partition_count: 512`,
			want: `3:1: error: unknown field "partition_count" (known: buckets, clock, cluster, datacenters, links, partitions, placements, security, version) [unknown-field]`,
		},
		{
			name: `a misspelt required field is reported once`, old: `name: eu-only`, new: `namee: eu-only`,
			want: `19:5: error: unknown field "namee" (did you mean "name"?) [unknown-field]`,
		},
		{
			name: `duplicate field`, old: `rack: b, weight`, new: `rack: b, rack: b, weight`,
			want: `10:31: error: field "rack" is already given on line 10 [duplicate-field]`,
		},
		{
			name: `duplicate field at the top`, old: `cluster: shop`, new: "cluster: shop\ncluster: shop",
			want: `3:1: error: field "cluster" is already given on line 2 [duplicate-field]`,
		},
		{
			name: `string for a number`, old: `weight: 0.5`, new: `weight: heavy`,
			want: `10:39: error: weight: expected a number, got the string "heavy" [wrong-type]`,
		},
		{
			name: `infinite weight`, old: `weight: 0.5`, new: `weight: .inf`,
			want: `10:39: error: weight: expected a number, got the number .inf [wrong-type]`,
		},
		{
			name: `number for a list`, old: `kinds_allowed: [set, counter]`, new: `kinds_allowed: 3`,
			want: `23:65: error: kinds_allowed: expected a list, got the number 3 [wrong-type]`,
		},
		{
			name: `list for a mapping`, old: `clock: {max_skew: 250ms}`, new: `clock: [250ms]`,
			want: `4:8: error: clock: expected a mapping, got a list [wrong-type]`,
		},
		{
			name: `list for a string`, old: `cluster: shop`, new: `cluster: [shop]`,
			want: `2:10: error: cluster: expected a string, got a list [wrong-type]`,
		},
		{
			name: `boolean for a string`, old: `rack: b`, new: `rack: true`,
			want: `10:28: error: rack: expected a string, got true (quote it if a string is meant) [wrong-type]`,
		},
		{
			name: `nothing for a list`, old: "placements:\n  - {name: global, replicas: {use1: 3, euw1: 2}}\n  - name: eu-only\n    replicas:\n      euw1: 2\n", new: "placements:\n",
			want: `17:12: error: placements: expected a list, got nothing [wrong-type]`,
		},
		{
			name: `fraction for a whole number`, old: `partitions: 512`, new: `partitions: 512.5`,
			want: `3:13: error: partitions: expected a whole number, got the number 512.5 [wrong-type]`,
		},
		{
			name: `number out of range`, old: `partitions: 512`, new: `partitions: 18446744073709551615`,
			want: `3:13: error: partitions: 18446744073709551615 is out of range [bad-value]`,
		},
		{
			name: `field name that is no string`, old: `clock: {max_skew`, new: `clock: {[a]: 1, max_skew`,
			want: `4:12: error: found an invalid key for this map [syntax]`,
		},
		{
			name: `version missing`, old: "version: 7\n", new: ``,
			want: `1:1: error: missing version: a number that grows with every change [missing-field]`,
		},
		{
			name: `version zero`, old: `version: 7`, new: `version: 0`,
			want: `1:10: error: version must be 1 or more, and grow with every change [bad-version]`,
		},
		{
			name: `version negative`, old: `version: 7`, new: `version: -7`,
			want: `1:10: error: version: -7 is negative [bad-value]`,
		},
		{
			name: `cluster missing`, old: "cluster: shop\n", new: ``,
			want: `1:1: error: cluster: missing field "cluster" [missing-field]`,
		},
		{
			name: `cluster empty`, old: `cluster: shop`, new: `cluster: ""`,
			want: `2:10: error: cluster "" does not match [a-z0-9-]{1,40} [bad-name]`,
		},
		{
			name: `cluster name`, old: `cluster: shop`, new: `cluster: Shop`,
			want: `2:10: error: cluster "Shop" does not match [a-z0-9-]{1,40} [bad-name]`,
		},
		{
			name: `cluster name too long`, old: `cluster: shop`, new: `cluster: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`,
			want: `2:10: error: cluster "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" does not match [a-z0-9-]{1,40} [bad-name]`,
		},
		{
			name: `partitions not a power of two`, old: `partitions: 512`, new: `partitions: 500`,
			want: `3:13: error: partitions must be a power of two from 16 to 65536, not 500 [bad-partitions]`,
		},
		{
			name: `partitions too few`, old: `partitions: 512`, new: `partitions: 8`,
			want: `3:13: error: partitions must be a power of two from 16 to 65536, not 8 [bad-partitions]`,
		},
		{
			name: `partitions too many`, old: `partitions: 512`, new: `partitions: 131072`,
			want: `3:13: error: partitions must be a power of two from 16 to 65536, not 131072 [bad-partitions]`,
		},
		{
			name: `clock skew zero`, old: `max_skew: 250ms`, new: `max_skew: 0`,
			want: `4:19: error: max_skew must be from 1ms to 1m, not 0 [bad-value]`,
		},
		{
			name: `clock skew without unit`, old: `max_skew: 250ms`, new: `max_skew: 250`,
			want: `4:19: error: max_skew: "250" is not a duration such as 500ms [bad-value]`,
		},
		{
			name: `datacenter name`, old: `name: euw1`, new: `name: EU`,
			want: `12:11: error: datacenter "EU" does not match [a-z][a-z0-9-]{0,15} [bad-name]
18:40: error: placement "global": datacenter "euw1" is not defined (defined: EU, use1) [unknown-datacenter]
21:7: error: placement "eu-only": datacenter "euw1" is not defined (defined: EU, use1) [unknown-datacenter]
27:32: error: between: datacenter "euw1" is not defined (defined: EU, use1) [unknown-datacenter]
28:30: error: between: datacenter "euw1" is not defined (defined: EU, use1) [unknown-datacenter]`,
		},
		{
			name: `datacenter name too long`, old: `name: euw1`, new: `name: euw1-with-a-long-name`,
			want: `12:11: error: datacenter "euw1-with-a-long-name" does not match [a-z][a-z0-9-]{0,15} [bad-name]
18:40: error: placement "global": datacenter "euw1" is not defined (defined: euw1-with-a-long-name, use1) [unknown-datacenter]
21:7: error: placement "eu-only": datacenter "euw1" is not defined (defined: euw1-with-a-long-name, use1) [unknown-datacenter]
27:32: error: between: datacenter "euw1" is not defined (defined: euw1-with-a-long-name, use1) [unknown-datacenter]
28:30: error: between: datacenter "euw1" is not defined (defined: euw1-with-a-long-name, use1) [unknown-datacenter]`,
		},
		{
			name: `duplicate datacenter`, old: `name: euw1`, new: `name: use1`,
			want: `12:11: error: datacenter "use1" is already defined [duplicate-name]
18:40: error: placement "global": datacenter "euw1" is not defined (defined: use1) [unknown-datacenter]
21:7: error: placement "eu-only": datacenter "euw1" is not defined (defined: use1) [unknown-datacenter]
27:32: error: between: datacenter "euw1" is not defined (defined: use1) [unknown-datacenter]
28:30: error: between: datacenter "euw1" is not defined (defined: use1) [unknown-datacenter]`,
		},
		{
			name: `node without id`, old: `id: use1-b, `, new: ``,
			want: `10:9: error: node: missing field "id" [missing-field]`,
		},
		{
			name: `node id`, old: `id: use1-b`, new: `id: use1_b`,
			want: `10:14: error: node "use1_b" does not match [a-z0-9][a-z0-9-]{0,31} [bad-name]`,
		},
		{
			name: `duplicate node id across datacenters`, old: `id: euw1-b`, new: `id: use1-b`,
			want: `16:14: error: node "use1-b" is already defined in datacenter "use1" [duplicate-name]`,
		},
		{
			name: `rack`, old: `rack: b`, new: `rack: b c`,
			want: `10:28: error: node "use1-b": rack "b c" does not match [a-zA-Z0-9._-]{0,64} [bad-name]`,
		},
		{
			name: `weight zero`, old: `weight: 0.5`, new: `weight: 0`,
			want: `10:39: error: node "use1-b": weight must be from 0.01 to 100, not 0 [bad-value]`,
		},
		{
			name: `weight negative`, old: `weight: 0.5`, new: `weight: -1`,
			want: `10:39: error: node "use1-b": weight must be from 0.01 to 100, not -1 [bad-value]`,
		},
		{
			name: `weight too large`, old: `weight: 0.5`, new: `weight: 1000`,
			want: `10:39: error: node "use1-b": weight must be from 0.01 to 100, not 1000 [bad-value]`,
		},
		{
			name: `advertise missing`, old: `, advertise: localhost`, new: ``,
			want: `11:9: error: node "use1-c": missing field "advertise", its address [missing-field]`,
		},
		{
			name: `advertise with port`, old: `advertise: localhost`, new: `advertise: localhost:7101`,
			want: `11:42: error: node "use1-c": advertise must be an IP address or host name without a port, not "localhost:7101" [bad-value]`,
		},
		{
			name: `advertise mistyped`, old: `advertise: localhost`, new: `advertise: 127.0.0.256`,
			want: `11:42: error: node "use1-c": advertise must be an IP address or host name without a port, not "127.0.0.256" [bad-value]`,
		},
		{
			name: `advertise everything`, old: `advertise: localhost`, new: `advertise: 0.0.0.0`,
			want: `11:42: error: node "use1-c": advertise must be an IP address or host name without a port, not "0.0.0.0" [bad-value]`,
		},
		{
			name: `off loopback without security, and kernel's ports`, old: `rack: c, advertise: localhost`, new: `rack: c, advertise: 10.0.0.13, ports: {grpc: 1, peer: 2, gossip: 3, nats: 4}`,
			want: `11:42: error: node "use1-c": advertises 10.0.0.13, which is not loopback, while security is off: use 127.0.0.1, this version has no TLS [open-network]
11:60: error: node "use1-c": port http must be given: 0, the kernel's choice, is only for loopback [bad-port]`,
		},
		{
			name: `host name off loopback`, old: `rack: c, advertise: localhost`, new: `rack: c, advertise: c.example, ports: {grpc: 1, peer: 2, gossip: 3, nats: 4, http: 5}`,
			want: `11:42: error: node "use1-c": advertises c.example, which is not loopback, while security is off: use 127.0.0.1, this version has no TLS [open-network]`,
		},
		{
			name: `port too large`, old: `http: 7105`, new: `http: 71050`,
			want: `9:128: error: node "use1-a": port http must be from 0 to 65535, not 71050 [bad-port]`,
		},
		{
			name: `port negative`, old: `http: 7105`, new: `http: -1`,
			want: `9:128: error: node "use1-a": port http must be from 0 to 65535, not -1 [bad-port]`,
		},
		{
			name: `duplicate port in a node`, old: `http: 7105`, new: `http: 7101`,
			want: `9:128: error: node "use1-a": port http: 127.0.0.1:7101 is already the grpc port of node "use1-a" [duplicate-port]`,
		},
		{
			name: `duplicate port under another name of the address`, old: `rack: c, advertise: localhost`, new: `rack: c, advertise: localhost, ports: {peer: 7103}`,
			want: `11:67: error: node "use1-c": port peer: 127.0.0.1:7103 is already the gossip port of node "use1-a" [duplicate-port]`,
		},
		{
			name: `data dir`, old: `data_dir: /var/lib/godwit`, new: `data_dir: "/var\nlib"`,
			want: `9:145: error: node "use1-a": data_dir must be 1 to 1024 printable characters, not "/var\nlib" [bad-value]`,
		},
		{
			name: `empty data dir`, old: `data_dir: /var/lib/godwit`, new: `data_dir: ""`,
			want: `9:145: error: node "use1-a": data_dir must be 1 to 1024 printable characters, not "" [bad-value]`,
		},
		{
			name: `broker mode`, old: `mode: external`, new: `mode: externl`,
			want: `13:18: error: datacenter "euw1": unknown mode "externl" (did you mean "external"?) [bad-value]`,
		},
		{
			name: `broker without urls`, old: `urls: ["nats://broker.example:4222"], `, new: ``,
			want: `13:11: error: datacenter "euw1": mode external needs urls of the broker [missing-field]`,
		},
		{
			name: `embedded broker with urls`, old: `mode: embedded`, new: `mode: embedded, urls: [], creds_file: x`,
			want: `7:50: error: datacenter "use1": creds_file belongs to mode external, the mode is embedded [bad-value]`,
		},
		{
			name: `broker url`, old: `nats://broker.example:4222`, new: `http://broker.example`,
			want: `13:35: error: datacenter "euw1": "http://broker.example" is not a URL such as nats://host:4222 [bad-value]`,
		},
		{
			name: `broker url with a password`, old: `nats://broker.example:4222`, new: `nats://u:p@broker.example`,
			want: `13:35: error: datacenter "euw1": a broker's url must not hold a user or password: use creds_file [bad-value]`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}
