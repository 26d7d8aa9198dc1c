#!/usr/bin/env bash
# Runs every test under the race detector, but for those that start processes again
# and again (stories, attacks) and those that only compute for long in one place: these
# run without it. Then each benchmark once and in small, so that they do not rot.
set -euo pipefail
long='TestNothingLeaks|TestNothingLeaksThroughDutiesListsAndFiles|TestDecisionsAgreeWithAnOracle|TestDaylightSaving|TestThreeYearsOfDueTimes|TestTimesOfTheTableAreWalked|TestSentencesMakeDuties'

step() { # step NAME COMMAND…: runs it and says how long it took
	local began=$SECONDS
	"${@:2}"
	echo "$1: passed in $((SECONDS - began)) s"
}

step "tests with the race detector" go test -tags sqlite_fts5 -race -timeout 20m -skip "^(TestStories|TestAttacks|$long)\$" ./...
step "stories and attacks" go test -tags sqlite_fts5 -timeout 15m -run '^(TestStories|TestAttacks)$' .
step "long computing tests" go test -tags sqlite_fts5 -timeout 10m -run "^($long)\$" ./memory ./scheduler ./identity/policy ./internal/app
step "benchmarks once, in small" go test -tags sqlite_fts5 -short -run '^$' -bench . -benchtime 1x -timeout 5m ./...
