#!/usr/bin/env bash
# Runs every test under the race detector (but for the attacks, which are many and
# start a process each), then the benchmarks once so that they do not rot.
set -euo pipefail
go test -tags sqlite_fts5 -race -timeout 14m -skip '^TestAttacks$' ./...
go test -tags sqlite_fts5 -timeout 5m -run '^TestAttacks$' .
if ! out=$(go test -tags sqlite_fts5 -run '^$' -bench . -benchtime 1x -timeout 5m ./... 2>&1); then
	printf '%s\n' "$out" >&2
	exit 1
fi
echo "benchmarks ran once each"
