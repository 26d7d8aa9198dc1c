# Deskmate. `make` lists the targets.
TAGS    := sqlite_fts5
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)
GO      ?= go
N       ?= 1000
export CGO_ENABLED = 1
# The same for all, so that checks and tests use what the build has compiled.
export GOFLAGS := $(strip $(shell $(GO) env GOFLAGS) -trimpath)

.DEFAULT_GOAL := help
.PHONY: help build demo test check bench crash attacks fuzz deps deps-test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: deps ## bin/deskmate
	$(GO) build -tags $(TAGS) -ldflags "-X deskmate/internal/app.Version=$(VERSION)" -o bin/deskmate .

demo: build ## a workspace on this machine with the agent in it, playing its story; no accounts, no keys
	bin/deskmate demo

test: deps-test build ## all tests; installs what they need where it can (Debian as root), else says how
	scripts/test.sh

check: deps ## format, vet, lint, tidy modules, known vulnerabilities
	scripts/check.sh

bench: deps ## benchmarks, each beside a named peer
	scripts/bench.sh

crash: build ## kill the process N times at random under load and check that nothing is lost: make crash N=1000
	$(GO) run -tags $(TAGS) ./internal/crash -n $(N)

attacks: deps-test build ## a model that always makes the worst call, against every defence, and the benign twin of each
	$(GO) test -tags $(TAGS) -count=1 -run TestAttacks -v . | grep -E '^ *--- |^(ok|FAIL)'

fuzz: deps ## every fuzz target for ten seconds
	scripts/fuzz.sh 10s

deps:
	@scripts/deps.sh build

deps-test:
	@scripts/deps.sh test
