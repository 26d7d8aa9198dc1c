#!/usr/bin/env bash
# Runs every test under the race detector, then the benchmarks once so that they
# do not rot.
set -euo pipefail
go test -tags sqlite_fts5 -race -timeout 12m ./...
if ! out=$(go test -tags sqlite_fts5 -run '^$' -bench . -benchtime 1x -timeout 5m ./... 2>&1); then
	printf '%s\n' "$out" >&2
	exit 1
fi
echo "benchmarks ran once each"
