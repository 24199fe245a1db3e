package archtest

// module is the path that godwit's own packages begin with.
const module = "github.com/godwitdb/godwit"

// tableFile is where a finding sends its reader.
const tableFile = "internal/archtest/table.go"

// row is what one package may import. Packages are named by their folder.
type row struct {
	imports []string // packages of this module
	any     bool     // any package of this module, except those below
	except  []string // with any: these, and what lies under them with a final /...
	pure    bool     // no clock, disk, network, goroutine, logger or chance
}

// library is a third-party module or package and who may import it.
type library struct {
	prefix    string
	importers []string // folders, or with a final /... everything under them; empty: anyone who is not pure
	pure      bool     // pure packages may import it as well
	tests     bool     // the rule holds for tests as well
}

// rules is a whole table.
type rules struct {
	module    string
	packages  map[string]row
	libraries []library
}

// godwit is the architecture. Imports go one way:
// crdt <- storage <- dc <- dc/rpc <- cmd, and ring <- dc, client.
func godwit() rules {
	api := []string{"api/godwit/v1", "api/godwit/peer/v1"}
	with := func(more ...string) []string { return append(more, api...) }
	return rules{
		module: module,
		packages: map[string]row{
			"crdt":           {pure: true},
			"ring":           {pure: true},
			"storage/merkle": {pure: true},

			"api/godwit/v1":      {},
			"api/godwit/peer/v1": {imports: []string{"api/godwit/v1"}},

			"crdt/scenario": {imports: []string{"crdt"}}, // stories as text, replayed on the real kinds

			"topology":               {},
			"ring/gossip":            {imports: []string{"ring"}},
			"ring/gossip/gossiptest": {}, // a network in memory, for tests
			"storage":                {imports: []string{"crdt", "storage/merkle"}},
			"replication":            {imports: with("crdt")},
			"replication/linktest":   {imports: []string{"replication"}}, // what every Link must do
			"dc":                     {imports: with("crdt", "ring", "storage", "storage/merkle", "replication", "topology")},
			"dc/rpc":                 {imports: with("dc", "internal/frame")},
			"dc/web":                 {imports: []string{"dc"}},

			"client":            {imports: with("ring", "internal/frame")},
			"client/clienttest": {imports: with("client")}, // servers without data, for tests
			"loadtest":          {imports: with("client", "topology", "internal/history")},
			"loadtest/plan":     {imports: []string{"ring"}}, // how much of everything a cluster of a size needs
			"cmd/godwit":        {any: true, except: []string{"storage/...", "internal/sim", "internal/testcluster", "internal/mutants"}},

			"internal/frame":          {}, // many messages on one stream, for dc/rpc and client
			"internal/wan":            {},
			"internal/node":           {imports: []string{"dc", "dc/rpc", "dc/web", "replication", "ring", "ring/gossip", "storage", "topology"}},
			"internal/emulated":       {imports: []string{"dc", "internal/node", "internal/wan", "replication", "topology"}},
			"internal/history":        {},
			"internal/history/driver": {imports: []string{"client", "internal/history"}},

			// These stand in for what they test, so they may import anything.
			"internal/sim":         {any: true, except: []string{"cmd/..."}},
			"internal/testcluster": {any: true, except: []string{"cmd/..."}},

			"internal/e2e":         {any: true}, // tests from the outside
			"internal/chaos":       {imports: with("client", "crdt", "internal/history", "internal/freeport", "internal/history/driver", "internal/mutants", "internal/wan", "topology")},
			"internal/chaos/cmd":   {imports: []string{"internal/chaos"}},
			"internal/archtest":    {},
			"internal/bench":       {imports: with("client", "internal/freeport", "topology")},
			"internal/freeport":    {},
			"internal/bench/cmd":   {imports: []string{"internal/bench"}},
			"internal/mutants":     {},
			"internal/mutants/cmd": {imports: []string{"internal/mutants"}},
			"scripts/checkpage":    {},
			"scripts/testreport":   {},
		},
		libraries: libraries(),
	}
}

// libraries says which packages may use which of other people's modules.
func libraries() []library {
	return []library{
		{prefix: "github.com/cockroachdb/pebble", importers: []string{"storage", "internal/sim", "internal/testcluster"}, tests: true},
		{prefix: "github.com/hashicorp/memberlist", importers: []string{"ring/gossip/...", "internal/sim"}},
		{prefix: "github.com/nats-io", importers: []string{"replication/..."}},
		{prefix: "google.golang.org/grpc", importers: []string{
			"api/...", "client/...", "cmd/godwit", "dc/rpc", "internal/bench", "internal/chaos", "internal/emulated", "internal/frame", "internal/testcluster", "loadtest",
		}},
		{prefix: "google.golang.org/genproto", importers: []string{"api/...", "client/...", "cmd/godwit", "dc/rpc", "loadtest"}},
		{prefix: "github.com/urfave/cli", importers: []string{"cmd/godwit"}},
		{prefix: "github.com/chzyer/readline", importers: []string{"cmd/godwit"}},
		{prefix: "github.com/google/shlex", importers: []string{"cmd/godwit"}},
		{prefix: "github.com/schollz/progressbar", importers: []string{"cmd/godwit", "loadtest"}},
		{prefix: "github.com/jedib0t/go-pretty", importers: []string{"cmd/godwit", "loadtest"}},
		{prefix: "github.com/goccy/go-yaml", importers: []string{"cmd/godwit", "loadtest", "topology"}},

		{prefix: "github.com/zeebo/xxh3", pure: true},
		{prefix: "google.golang.org/protobuf"},
		{prefix: "github.com/klauspost/compress"},
		{prefix: "github.com/oklog/ulid"},
		{prefix: "github.com/maypok86/otter"},
		{prefix: "github.com/cenkalti/backoff"},
		{prefix: "github.com/prometheus"},
		{prefix: "github.com/HdrHistogram/hdrhistogram-go"},
		{prefix: "github.com/anishathalye/porcupine"},
		{prefix: "golang.org/x/sync"},
		{prefix: "golang.org/x/time"},
	}
}
