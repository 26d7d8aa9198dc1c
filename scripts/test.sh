#!/usr/bin/env bash
# Runs every test under the race detector, then the benchmarks once so that they
# do not rot.
set -euo pipefail
go test -tags sqlite_fts5 -race -timeout 12m ./...
go test -tags sqlite_fts5 -run '^$' -bench . -benchtime 1x -timeout 5m ./... >/dev/null
echo "benchmarks ran once each"
