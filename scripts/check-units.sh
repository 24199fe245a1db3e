#!/usr/bin/env bash
# Checks the systemd units, where systemd is installed. The program they start
# need not be: any executable stands in for it. systemd-analyze ends with 0 even
# when it has found something, so what counts is what it says.
set -euo pipefail

cd "$(dirname "$0")/../deploy/systemd"
if ! command -v systemd-analyze >/dev/null; then
	echo "systemd-analyze is not installed: units not checked" >&2
	exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for unit in *.service; do
	sed "s|/usr/local/bin/godwit|$(command -v true)|" "$unit" >"$scratch/$unit"
	said=$(systemd-analyze verify --man=no "$scratch/$unit" 2>&1 | grep -F "$unit" || true)
	if [[ -n $said ]]; then
		echo "${said//$scratch\//deploy/systemd/}" >&2
		exit 1
	fi
done
