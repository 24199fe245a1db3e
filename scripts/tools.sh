#!/usr/bin/env bash
# Installs the pinned tools into the directory named by the first argument, and
# protoc from the system's packages where that is possible. What is there in
# the right version stays as it is, so this is cheap to call.
set -euo pipefail

dir=${1:?usage: scripts/tools.sh DIR}
go=${GO:-go}
mkdir -p "$dir"

# want BINARY PACKAGE VERSION
want() {
	local bin=$dir/$1 package=$2 version=$3
	if [[ -x $bin ]] && "$go" version -m "$bin" 2>/dev/null | grep -qE "^\s+mod\s+\S+\s+$version(\s|$)"; then
		return
	fi
	echo "installing $1 $version" >&2
	GOBIN=$dir CGO_ENABLED=0 "$go" install "$package@$version"
}

want golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint v2.15.0
want protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go v1.36.12
want protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc v1.6.2
want grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl v1.9.4
want ghz github.com/bojand/ghz/cmd/ghz v0.93.0

if ! command -v protoc >/dev/null; then
	if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
		echo "protoc is missing: install your system's protobuf-compiler" >&2
		exit 1
	fi
	echo "installing protoc" >&2
	apt-get install -qq -y --no-install-recommends protobuf-compiler >/dev/null ||
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends protobuf-compiler >/dev/null; }
fi
