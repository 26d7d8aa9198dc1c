#!/usr/bin/env bash
# Benchmarks, one package after the other so that they do not disturb each other.
set -euo pipefail
go test -tags sqlite_fts5 -run '^$' -bench . -benchmem -p 1 -timeout 30m ./... | grep -vE '^(\?|ok|PASS)'
