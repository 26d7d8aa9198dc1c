#!/usr/bin/env bash
# Runs every fuzz target for the given time (default ten seconds).
set -euo pipefail
for_time=${1:-10s}
for file in $(git ls-files '*_test.go' | xargs grep -lE '^func Fuzz' || true); do
	for target in $(grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | cut -d' ' -f2); do
		echo "== $target ($(dirname "$file"))"
		go test -tags sqlite_fts5 -run '^$' -fuzz "^$target\$" -fuzztime "$for_time" "./$(dirname "$file")"
	done
done
