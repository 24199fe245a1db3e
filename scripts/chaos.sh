#!/usr/bin/env bash
# Hurts a datacenter of real processes in every way until enough writes are
# acknowledged, and then once more with each planted bug, which must be noticed.
set -euo pipefail

seed=${1:?usage: scripts/chaos.sh SEED ACKED}
acked=${2:?usage: scripts/chaos.sh SEED ACKED}
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${GO:-go}" build -o "$scratch/chaos" ./internal/chaos/cmd
"$scratch/chaos" -seed "$seed" -acked "$acked" -least 4m -limit 8m -workers 32

planted() { # BUG FAULT
	echo
	echo "with the bug $1:"
	local code=0
	"$scratch/chaos" -seed "$seed" -plant "$1" -only "$2" -rounds 4 -calm 300ms -freeze 2s -down 1s >"$scratch/out" 2>&1 || code=$?
	if [[ $code != 1 ]]; then
		cat "$scratch/out"
		echo "chaos: the bug $1 was not noticed (exit $code)" >&2
		exit 1
	fi
	grep -E 'acknowledged|missed|^wrong' "$scratch/out" | cut -c1-200 | head -4
	sed -n 's/^chaos: promises were broken; data and logs are in //p' "$scratch/out" | xargs -r rm -rf
}
planted acknowledge-before-sync 'power failure'
planted one-copy-too-few 'left alone'
planted actor-kept 'restored'
