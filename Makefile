# Everything a person or a machine does with this tree, by name: `make` lists it.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

GO      ?= go
TOOLS   := $(CURDIR)/.tools
BIN     := $(CURDIR)/bin/godwit
MODULE  := github.com/godwitdb/godwit

# A tree without .git (a release archive) says so instead of failing.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

# With a C compiler that can link statically, Pebble keeps blocks and memtables outside Go's heap.
CGO_BUILD = $(shell echo 'int main(void) { return 0; }' | $(CC) -static -x c -o /dev/null - 2>/dev/null && echo 1 || echo 0)

TEST_PROCS   ?= 2#   packages tested at once
TEST_TIMEOUT ?= 10m# per package
TESTFLAGS    ?=#     more flags for go test, such as -json or -run
FUZZTIME     ?= 10s# per fuzz target
BENCH        ?= .#   which benchmarks
SEEDS        ?= 1000# of the simulation
FROM         ?= 1#   the first of them
SEED         ?= 1#   of chaos
ACKED        ?= 200000# writes that chaos goes on for
KEYS         ?= 100000# of bench-elastic, bench-speed and bench-node
SIZES        ?= 10000,1000000# that bench-node fills a node up to
BENCHFLAGS   ?=#     more flags of bench-speed and bench-node, such as -against FILE
NAME         ?=#     which mutants, a regular expression
ARGS         ?=#     more arguments for the demo, or for bench-peers

# The race detector pays where goroutines meet; elsewhere it only slows down.
RACE_PKGS ?= $(shell $(GO) list ./... | grep -vE '/(api|internal/archtest|internal/mutants|scripts)(/|$$)')

.PHONY: help
help: ## list the targets
	@bold=; plain=; if [[ -t 1 && -z "$${NO_COLOR:-}" ]]; then bold=$$'\e[1m'; plain=$$'\e[0m'; fi; \
	echo "usage: make TARGET [VARIABLE=value]"; echo; \
	awk -F ':.*## ' -v bold="$$bold" -v plain="$$plain" \
		'/^[a-z-]+:.*## / { printf "  %s%-16s%s %s\n", bold, $$1, plain, $$2 }' Makefile

.PHONY: build
build: ## build bin/godwit, static
	@cgo=$(CGO_BUILD); [[ $$cgo = 1 ]] || echo "$(CC) cannot link statically: blocks read from disk will lie in Go's heap" >&2; \
	link=(-s -w -X main.version=$(VERSION)); [[ $$cgo = 0 ]] || link+=(-linkmode external -extldflags -static); \
	set -x; CGO_ENABLED=$$cgo CC=$(CC) $(GO) build -trimpath -tags netgo,osusergo -ldflags "$${link[*]}" -o $(BIN) ./cmd/godwit

.PHONY: test
test: tools ## run every test (TESTFLAGS, TEST_TIMEOUT)
	$(GO) test -timeout $(TEST_TIMEOUT) -p $(TEST_PROCS) $(TESTFLAGS) ./...

.PHONY: test-peers
test-peers: ## run the tests of the comparison with other systems, a module of its own
	cd loadtest/peers && $(GO) test -timeout $(TEST_TIMEOUT) $(TESTFLAGS) ./...

.PHONY: race
race: ## run the tests under the race detector (RACE_PKGS)
	CGO_ENABLED=1 $(GO) test -race -short -timeout $(TEST_TIMEOUT) -p $(TEST_PROCS) $(TESTFLAGS) $(RACE_PKGS)

.PHONY: sim
sim: ## run datacenters in virtual time, one and several, with faults (SEEDS=1000, FROM=1); seeds that fail are run 20 times more
	GO=$(GO) scripts/sim.sh $(FROM) $(SEEDS)

.PHONY: chaos-dc
chaos-dc: ## hurt a datacenter of real processes for minutes, then with planted bugs, which must be noticed (SEED=1, ACKED=200000)
	GO=$(GO) scripts/chaos.sh $(SEED) $(ACKED)

.PHONY: chaos-wan
chaos-wan: ## hurt three datacenters of real processes and the links between them, then with planted bugs (SEED=1, ACKED=200000)
	GO=$(GO) scripts/chaos-wan.sh $(SEED) $(ACKED)

.PHONY: bench-elastic
bench-elastic: ## grow a datacenter from 3 nodes to 6 and back under load, and measure (KEYS=100000)
	$(GO) run ./internal/chaos/cmd -elastic -keys $(KEYS)

.PHONY: bench-overload
bench-overload: ## ask a datacenter for ten times what it can do for a minute, and look at its memory and at what it refuses
	$(GO) run ./internal/chaos/cmd -overload

.PHONY: fuzz
fuzz: ## run every fuzz target for a while (FUZZTIME=10s)
	GO=$(GO) scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: bench-speed bench-node ## run the benchmarks (BENCH=regexp), those of bench-speed and bench-node first
	$(GO) test -run xxx -bench '$(BENCH)' -benchmem -p 1 ./...

.PHONY: bench-speed
bench-speed: build ## how fast a datacenter of processes is beside gRPC itself (KEYS=100000, BENCHFLAGS)
	$(GO) run ./internal/bench/cmd -binary $(BIN) -keys $(KEYS) $(BENCHFLAGS)

.PHONY: bench-node
bench-node: build ## one node with one replica: its speed, and puts, memory and disk as it fills (SIZES=10000,1000000)
	$(GO) run ./internal/bench/cmd -binary $(BIN) -nodes 1 -keys $(KEYS) -only put/,get/ $(BENCHFLAGS)
	$(GO) run ./internal/bench/cmd -binary $(BIN) -nodes 1 -sizes $(SIZES)

.PHONY: bench-peers
bench-peers: build ## measure godwit beside etcd, NATS JetStream and Redis, which it installs (ARGS='-rounds 5 -markdown')
	GO=$(GO) scripts/bench-peers.sh $(TOOLS) $(BIN) $(ARGS)

.PHONY: bench-agree
bench-agree: tools ## ask ghz, a client of others, whether the load tester's p50 is right
	GO=$(GO) scripts/agree.sh $(TOOLS)

.PHONY: page
page: ## make a short load test and look at its page in headless Chromium, installed if need be; pictures in bin/page
	GO=$(GO) scripts/page.sh $(CURDIR)/bin/page

.PHONY: bench-wan
bench-wan: ## measure repair, lag, cuts and shipping between datacenters, at full length (12 minutes)
	$(GO) test -run xxx -bench 'Repair$$' -benchtime 1x -timeout 30m ./dc -repair-keys 1000000
	$(GO) test -run xxx -bench 'BenchmarkLag|AfterCut|ShippingCPU' -benchtime 1x -timeout 30m ./internal/e2e -wan-full

.PHONY: mutants
mutants: ## plant known bugs one by one; the tests must catch them (NAME=regexp)
	$(GO) test -timeout 3h -count=1 -run Mutants -v ./crdt -mutants
	$(GO) run ./internal/mutants/cmd -root . -name '$(NAME)'

.PHONY: lint
lint: tools ## run golangci-lint
	$(TOOLS)/golangci-lint run ./...
	cd loadtest/peers && $(TOOLS)/golangci-lint run ./...

.PHONY: fmt
fmt: tools ## format the sources
	$(TOOLS)/golangci-lint fmt ./...

.PHONY: generate
generate: tools ## regenerate the code under api/ from the .proto files
	scripts/generate.sh $(TOOLS) .

.PHONY: check
check: check-format check-vet lint check-generated check-tidy check-units ## all that can be said without running tests

.PHONY: check-format
check-format: tools
	$(TOOLS)/golangci-lint fmt --diff ./...

.PHONY: check-vet
check-vet:
	$(GO) vet ./...

.PHONY: check-generated
check-generated: tools
	scripts/check-generated.sh $(TOOLS)

.PHONY: check-tidy
check-tidy:
	$(GO) mod tidy -diff
	cd loadtest/peers && $(GO) mod tidy -diff

.PHONY: check-units
check-units:
	scripts/check-units.sh

.PHONY: demo
demo: build ## start several datacenters in one process (ARGS='--dcs use1,euw1')
	$(BIN) demo $(ARGS)

.PHONY: tools
tools: ## install the pinned tools into .tools
	@GO=$(GO) scripts/tools.sh $(TOOLS)

.PHONY: clean
clean: ## remove what was built; .tools stays
	rm -rf bin coverage.out
	rm -f *.test *.prof
