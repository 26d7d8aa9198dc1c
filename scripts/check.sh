#!/usr/bin/env bash
# Everything about the tree that is not a test: format, vet, lint, modules.
set -euo pipefail
fail=0
unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
	printf 'gofmt would change:\n%s\n' "$unformatted" >&2
	fail=1
fi
go vet -tags sqlite_fts5 ./... || fail=1
go tool staticcheck -tags sqlite_fts5 ./... || fail=1
if ! go mod tidy -diff; then
	echo "go mod tidy would change go.mod or go.sum" >&2
	fail=1
fi
go mod verify >/dev/null || fail=1
# The vulnerability database is a network service: where it cannot be reached,
# say so and go on; a finding is a failure.
if out=$(go tool govulncheck -tags sqlite_fts5 ./... 2>&1); then
	echo "govulncheck: nothing known"
elif grep -qE 'dial tcp|no such host|connection refused|i/o timeout|fetching vulnerabilities|403|proxyconnect' <<<"$out"; then
	echo "govulncheck: the vulnerability database cannot be reached from here, not checked"
else
	printf '%s\n' "$out" >&2
	fail=1
fi
exit $fail
