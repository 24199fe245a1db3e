#!/usr/bin/env bash
# Generates the Go code of the protobuf contract with the plugins in TOOLS,
# below OUT (the module's root, or a scratch directory to compare with).
set -euo pipefail

tools=$(realpath "${1:?usage: scripts/generate.sh TOOLS OUT}")
out=$(realpath "${2:?usage: scripts/generate.sh TOOLS OUT}")
module=github.com/godwitdb/godwit

cd "$(dirname "$0")/../api"
PATH=$tools:$PATH protoc -I . \
	--go_out="$out" --go_opt=module="$module" \
	--go-grpc_out="$out" --go-grpc_opt=module="$module" \
	godwit/v1/*.proto godwit/peer/v1/*.proto
