#!/usr/bin/env bash
# Fails when the committed code under api/ is not what its .proto files give.
# The line naming protoc's own version is ignored: it differs by distribution.
set -euo pipefail

tools=${1:?usage: scripts/check-generated.sh TOOLS}
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

scripts/generate.sh "$tools" "$scratch"
if ! diff -ru -x '*.proto' -I '^//[[:space:]-]*protoc  *v' api "$scratch/api"; then
	echo "generated code is out of date: run make generate" >&2
	exit 1
fi
