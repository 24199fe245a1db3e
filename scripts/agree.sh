#!/usr/bin/env bash
# Asks a second, independent client whether the load tester tells the truth: ghz
# and `godwit loadtest` drive increments at half of the top rate in turns, three
# rounds, against one datacenter of three nodes in a process of its own, and the
# medians of their p50 are printed with the ratio. Exits 1 if they are further
# apart than 25 % and the rounds of each client agree better than that, so that a
# noisy machine is told from a wrong client.
# usage: scripts/agree.sh TOOLS [SECONDS]
set -euo pipefail

tools=${1:?usage: scripts/agree.sh TOOLS [SECONDS]}
seconds=${2:-5}
go=${GO:-go}
dir=$(mktemp -d)
demo=
trap '[[ -z $demo ]] || { kill "$demo" 2>/dev/null || true; wait "$demo" 2>/dev/null || true; }; rm -rf "$dir"' EXIT

"$go" build -o "$dir/godwit" ./cmd/godwit
export GODWIT_DEMO=$dir/data/demo.json
"$dir/godwit" demo --dcs use1 --nodes 3 --data "$dir/data" --base-port 0 --no-prompt >"$dir/demo.log" 2>&1 &
demo=$!
for _ in $(seq 600); do
	[[ -s $GODWIT_DEMO ]] && "$dir/godwit" status >/dev/null 2>&1 && break
	kill -0 "$demo" 2>/dev/null || { cat "$dir/demo.log" >&2; exit 1; }
	sleep 0.1
done
addr=$(tr -d ' \n' <"$GODWIT_DEMO" | grep -oE '"grpc":\["[^"]+' | head -n 1 | cut -d '"' -f 4)

keys=1000
printf 'name: agree\nkeys: %d\ndistribution: uniform\noperations:\n  - {op: incr, weight: 1}\n' "$keys" >"$dir/mix.yaml"
# The same keys and the same operation as the workload's, in turn.
{
	for i in $(seq 0 $((keys - 1))); do
		printf '%s{"bucket":"default","key":"%s","counter_add":{"delta":5}}' "$([[ $i -eq 0 ]] && echo '[' || echo ',')" "$(printf 'load:counter:%d' "$i" | base64 -w0)"
	done
	echo ']'
} >"$dir/calls.json"

# number FILE PATTERN: the one at the end of what first matches in a file of JSON.
number() { tr -d ' \n' <"$1" | grep -oE "$2"'[0-9.]+' | head -n 1 | grep -oE '[0-9.]+$'; }
ours() { "$dir/godwit" loadtest run --workload "$dir/mix.yaml" --transport unary --probe -1s --quiet -1s "$@" --json "$dir/ours.json" >/dev/null 2>>"$dir/load.log"; }

ours --concurrency 64 --duration "${seconds}s"
top=$(number "$dir/ours.json" '"seconds":[0-9.]+,"rate":')
rate=$(awk -v t="$top" 'BEGIN { r = int(t / 2); print (r < 1) ? 1 : r }')
echo "top rate of a closed loop of 64: $top/s; both clients at $rate/s"

mine=() theirs=()
for round in 1 2 3; do
	ours --rate "$rate" --concurrency 64 --duration "${seconds}s"
	# Milliseconds from when the call was due; ghz tells nanoseconds from when it was made.
	mine+=("$(number "$dir/ours.json" '"latency_ms":\{"p50":')")
	service=$(number "$dir/ours.json" '"service_ms":\{"p50":')
	"$tools/ghz" --insecure --call godwit.v1.KV/Update -c 64 --connections 3 --rps "$rate" -z "${seconds}s" -D "$dir/calls.json" -O json "$addr" >"$dir/ghz.json"
	theirs+=("$(number "$dir/ghz.json" '"percentage":50,"latency":' | awk '{ printf "%.3f", $1 / 1e6 }')")
	echo "round $round: godwit p50 ${mine[-1]} ms (from the call itself $service ms), ghz p50 ${theirs[-1]} ms"
done
printf '%s\n' "${mine[@]}" | sort -n >"$dir/mine"
printf '%s\n' "${theirs[@]}" | sort -n >"$dir/theirs"
paste "$dir/mine" "$dir/theirs" | awk '
	{ a[NR] = $1; b[NR] = $2 }
	END {
		ratio = a[2] / b[2]; spread = (a[3] / a[1] > b[3] / b[1]) ? a[3] / a[1] : b[3] / b[1]
		printf "medians of p50: godwit %.3f ms, ghz %.3f ms, ratio %.2f; the rounds of one client differ by up to %.2f\n", a[2], b[2], ratio, spread
		if (ratio >= 1 / 1.25 && ratio <= 1.25) { print "they agree within 25%"; exit 0 }
		if (spread > 1.25) { print "they differ, and so does each client from itself: this machine is too busy to tell"; exit 0 }
		print "they do NOT agree within 25%"; exit 1
	}'
