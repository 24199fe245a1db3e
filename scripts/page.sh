#!/usr/bin/env bash
# Makes a short load test of three emulated datacenters with a cut that heals,
# and looks at its page in a headless Chromium (scripts/checkpage). Pictures and
# reports stay in the directory that is given. With a page as second argument it
# looks at that one and makes none.
# usage: scripts/page.sh DIR [PAGE.html]
set -euo pipefail

dir=${1:?usage: scripts/page.sh DIR [PAGE.html]}
page=${2:-}
go=${GO:-go}
mkdir -p "$dir"

browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

# Debian's package; where it cannot be had the page cannot be looked at, which
# says nothing about the page.
if ! browser >/dev/null; then
	if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
		echo "page: not checked: there is no Chromium here, and this user cannot install Debian's package chromium" >&2
		exit 0
	fi
	echo "installing chromium" >&2
	if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; } >"$dir/install.log" 2>&1; then
		tail -n 5 "$dir/install.log" >&2
		echo "page: not checked: Debian's package chromium could not be installed" >&2
		exit 0
	fi
fi

if [[ -z $page ]]; then
	page=$dir/report.html
	cat >"$dir/faults.yaml" <<-'FAULTS'
		faults:
		  - {at: 2s, what: cut, dc: euw1}
		  - {at: 4s, what: heal}
	FAULTS
	"$go" run ./cmd/godwit loadtest run --emulate 3dc --nodes 1 --memory --workload counters --rate 100 --duration 8s --quiet 1s --warmup 500ms \
		--faults "$dir/faults.yaml" --check --out "$page" --json "$dir/report.json"
fi
"$go" run ./scripts/checkpage -browser "$(browser)" -shots "$dir" "$page"
