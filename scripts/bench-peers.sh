#!/usr/bin/env bash
# Installs the servers that godwit is compared with, and runs the comparison:
# etcd and nats-server are built from the Go proxy, in the versions that
# loadtest/peers/servers/go.mod pins, into the directory of tools; redis-server
# is the system's, installed by its package manager if it is missing.
set -euo pipefail

usage='usage: scripts/bench-peers.sh TOOLS GODWIT [ARGUMENT...]'
tools=${1:?$usage}
godwit=${2:?$usage}
shift 2
go=${GO:-go}
cd "$(dirname "$0")/../loadtest/peers"
mkdir -p "$tools"

# The build cache makes these cheap when nothing has changed, and has much of
# nats-server, which godwit embeds.
(
	cd servers
	"$go" build -o "$tools/etcd" go.etcd.io/etcd/server/v3
	"$go" build -o "$tools/nats-server" github.com/nats-io/nats-server/v2
)
"$go" build -o "$tools/bench-peers" .

if ! command -v redis-server >/dev/null; then
	if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
		echo "redis-server is missing: install your system's package of that name" >&2
		exit 1
	fi
	echo "installing redis-server" >&2
	apt-get install -qq -y --no-install-recommends redis-server >/dev/null ||
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends redis-server >/dev/null; }
fi

exec "$tools/bench-peers" -godwit "$godwit" -etcd "$tools/etcd" -nats "$tools/nats-server" "$@"
