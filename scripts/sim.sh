#!/usr/bin/env bash
# Runs seeds of the simulation, and those that fail 20 times more each: a seed
# fixes what goes wrong, not how goroutines interleave, so some fail at times.
# usage: scripts/sim.sh FIRST SEEDS
set -euo pipefail
go=${GO:-go}
first=$1 seeds=$2
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

"$go" test -c -o "$out/sim.test" ./internal/sim
cd internal/sim
if "$out/sim.test" -test.run 'TestSwarm$' -test.timeout "$((seeds * 2 + 60))s" -from "$first" -seeds "$seeds" >"$out/log"; then
	tail -n 1 "$out/log"
	exit 0
fi
grep -v '^ *--- \|^FAIL$' "$out/log" || true
grep -o 'TestSwarm/seed=[0-9]*' "$out/log" | sort -u | cut -d= -f2 >"$out/failed" || true
if [[ ! -s $out/failed ]]; then
	echo "the simulation itself failed"
	exit 1
fi
while read -r seed; do
	failures=0
	for _ in {1..20}; do
		"$out/sim.test" -test.run 'TestSwarm$' -from "$seed" -seeds 1 -test.timeout 60s >/dev/null || failures=$((failures + 1))
	done
	echo "seed $seed failed, and $failures times of 20 more: go test ./internal/sim -run 'TestSwarm\$' -from $seed -seeds 1 -again 20"
done <"$out/failed"
exit 1
