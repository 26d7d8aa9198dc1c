#!/usr/bin/env bash
# Sees to what building (deps.sh build) or testing (deps.sh test) needs. As root
# on Debian it installs what is missing; elsewhere it says what to install.
set -euo pipefail
what=${1:-build}
missing=()

need() { # need COMMAND DEBIAN-PACKAGE
	command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

if ! command -v go >/dev/null 2>&1; then
	echo "deps: Go 1.26 or newer is needed (package golang on most systems)" >&2
	exit 1
fi
need gcc gcc
need git git
if [ "$what" = test ]; then
	command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || missing+=(chromium)
	need node nodejs
	need npm npm
	need bwrap bubblewrap
fi

if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "deps: installing ${missing[*]}"
		export DEBIAN_FRONTEND=noninteractive
		apt-get update -qq
		apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	else
		echo "deps: please install: ${missing[*]}" >&2
		echo "deps: on Debian or Ubuntu: sudo apt-get install ${missing[*]}" >&2
		exit 1
	fi
fi

if [ "$what" = test ]; then
	for npm_dir in internal/slacksim/testdata/npm connection/testdata/npm; do
		if [ -f "$npm_dir/package-lock.json" ] && [ ! -d "$npm_dir/node_modules" ]; then
			(cd "$npm_dir" && npm ci --no-audit --no-fund --silent)
		fi
	done
fi
