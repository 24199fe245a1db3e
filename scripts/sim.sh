#!/usr/bin/env bash
# Runs seeds of the simulation, two of three with one datacenter and the others
# with several, and those that fail 20 times more each: a seed fixes what goes
# wrong, not how goroutines interleave, so some fail at times.
# usage: scripts/sim.sh FIRST SEEDS
set -euo pipefail
go=${GO:-go}
first=$1 seeds=$2
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

"$go" test -c -o "$out/sim.test" ./internal/sim
cd internal/sim

# run KIND SEEDS: 0 when all of them passed; the seeds that did not are in $out/failed.
run() {
	local kind=$1 n=$2
	((n > 0)) || return 0
	if "$out/sim.test" -test.run "$kind\$" -test.timeout "$((n * 4 + 60))s" -from "$first" -seeds "$n" >"$out/log"; then
		echo "$kind: $n seeds from $first: $(tail -n 1 "$out/log")"
		return 0
	fi
	grep -v '^ *--- \|^FAIL$' "$out/log" || true
	if ! grep -o "$kind/seed=[0-9]*" "$out/log" | sort -u | sed 's|/seed=| |' >>"$out/failed"; then
		echo "the simulation itself failed"
	fi
	return 1
}

touch "$out/failed"
worlds=$((seeds / 3)) bad=0
run TestSwarm $((seeds - worlds)) || bad=1
run TestWorlds "$worlds" || bad=1
while read -r kind seed; do
	failures=0
	for _ in {1..20}; do
		"$out/sim.test" -test.run "$kind\$" -from "$seed" -seeds 1 -test.timeout 60s >/dev/null || failures=$((failures + 1))
	done
	echo "$kind: seed $seed failed, and $failures times of 20 more: go test ./internal/sim -run '$kind\$' -from $seed -seeds 1 -again 20"
done <"$out/failed"
exit "$bad"
