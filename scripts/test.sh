#!/usr/bin/env bash
# Runs every test under the race detector, but for those that start processes again
# and again (stories, attacks) and those that only compute for long in one place: these
# run without it. Then the benchmarks once so that they do not rot.
set -euo pipefail
long='TestNothingLeaks|TestDecisionsAgreeWithAnOracle|TestDaylightSaving|TestThreeYearsOfDueTimes|TestTimesOfTheTableAreWalked'
go test -tags sqlite_fts5 -race -timeout 20m -skip "^(TestStories|TestAttacks|$long)\$" ./...
go test -tags sqlite_fts5 -timeout 15m -run '^(TestStories|TestAttacks)$' .
go test -tags sqlite_fts5 -timeout 10m -run "^($long)\$" ./memory ./scheduler ./identity/policy
if ! out=$(go test -tags sqlite_fts5 -run '^$' -bench . -benchtime 1x -timeout 10m ./... 2>&1); then
	printf '%s\n' "$out" >&2
	exit 1
fi
echo "benchmarks ran once each"
