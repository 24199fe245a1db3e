#!/usr/bin/env bash
# Runs every fuzz target of the module, one after another, for FUZZTIME each.
# All of them run even if one fails; the failing input stays in its testdata.
set -euo pipefail

fuzztime=${1:-10s}
go=${GO:-go}
cd "$(dirname "$0")/.."

# go test -list prints the names of a package and then "ok  PACKAGE  TIME".
listing=$("$go" test -list '^Fuzz' ./...) || { echo "$listing"; exit 1; }
targets=$(awk '/^Fuzz/ { names[++n] = $1 }
	/^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }' <<<"$listing")

if [[ -z $targets ]]; then
	echo "no fuzz targets"
	exit 0
fi

fuzz() { "$go" test -run '^$' -fuzz "^$2\$" -fuzztime "$fuzztime" "$1" 2>&1; }

# Before Go 1.27 the end of the fuzzing time is sometimes reported as a failure
# (golang/go#75804): nothing was found then, and no input was written.
out_of_time() { grep -q 'context deadline exceeded' <<<"$1" && ! grep -q 'Failing input written' <<<"$1"; }

failed=()
while read -r package target; do
	began=$SECONDS
	if out=$(fuzz "$package" "$target") || { out_of_time "$out" && out=$(fuzz "$package" "$target"); }; then
		echo "ok    $target  $package  $((SECONDS - began))s"
	else
		echo "$out"
		echo "FAIL  $target  $package"
		failed+=("$target")
	fi
done <<<"$targets"

if ((${#failed[@]})); then
	echo "fuzzing found failures: ${failed[*]}" >&2
	exit 1
fi
