#!/usr/bin/env bash
# Hurts datacenters of real processes and the links between them in every way until
# enough writes are acknowledged, and then once more with each planted bug, which
# must be noticed.
set -euo pipefail

seed=${1:?usage: scripts/chaos-wan.sh SEED ACKED}
acked=${2:?usage: scripts/chaos-wan.sh SEED ACKED}
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${GO:-go}" build -o "$scratch/chaos" ./internal/chaos/cmd
"$scratch/chaos" -across -seed "$seed" -acked "$acked" -limit 12m -workers 42

planted() { # BUG FAULT
	echo
	echo "with the bug $1:"
	local code=0
	"$scratch/chaos" -across -seed "$seed" -workers 14 -plant "$1" -only "$2" -calm 300ms -cut 8s -down 1s >"$scratch/out" 2>&1 || code=$?
	if [[ $code != 1 ]]; then
		cat "$scratch/out"
		echo "chaos: the bug $1 was not noticed (exit $code)" >&2
		exit 1
	fi
	grep -E 'acknowledged|missed|^wrong' "$scratch/out" | cut -c1-200 | head -4
	sed -n 's/^chaos: promises were broken; data and logs are in //p' "$scratch/out" | xargs -r rm -rf
}
planted log-trimmed-before-stable 'wiped during a cut'
planted clock-before-the-join 'past the log'
