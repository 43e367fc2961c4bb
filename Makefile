# The library's tasks; `make` alone lists them. CI runs `make ci`.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c

ROOT  := $(CURDIR)
BUILD := $(ROOT)/build

# Pinned in tools/go.mod.
GOLANGCI ?= go tool -modfile=$(ROOT)/tools/go.mod golangci-lint

# The packages whose statement coverage is measured, and the least of it.
COVER_PACKAGES := ./,./driver,./driver/pgx,./driver/mysql,./driver/sqlite,./internal/wire,./internal/sqltext,./internal/writes,./internal/reads,./internal/fields,./internal/confread,./internal/response,./internal/rowlock,./internal/literal,./internal/urlhints
COVER_MINIMUM  := 90

FUZZTIME  ?= 10s
BENCHTIME ?= 1s
PATCH     ?=
N         ?= 60
SEED      ?=
SHARE     ?= 1

SOAK_TIME ?= 10m

CRASH_KILLS   ?= 20
CRASH_RANDOM  ?= 300
CRASH_SERVERS ?= 20

.PHONY: help setup fmt fmt-check tidy-check tests-check vet lint test test-race test-short long \
	cover cover-check crash-test soak fuzz bench bench-once bench-packages uncured mutants ci summary example cross clean

help: ## List these tasks.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what the tests need and is missing: PostgreSQL, MariaDB, Chromium, a C compiler.
	hack/setup

fmt: ## Format the code (gofumpt, gci).
	@hack/each $(GOLANGCI) fmt

fmt-check: ## Show what fmt would change; fail if there is anything.
	@hack/each $(GOLANGCI) fmt --diff

tidy-check: ## Show what "go mod tidy" would change; fail if there is anything.
	@hack/each --tools go mod tidy -diff

tests-check: ## Check that the tests that TESTS.md names are there.
	@hack/tests-check

vet: ## Run go vet.
	@hack/each go vet ./...

lint: ## Run golangci-lint, pinned in tools/go.mod.
	@hack/each $(GOLANGCI) run --allow-parallel-runners ./...

test: ## Run all tests of all modules, none skipped; set up first what is missing.
	@hack/setup --check || $(MAKE) --no-print-directory setup
	@CI=true hack/test

test-race: ## The same as CI runs them: race detector, shuffled, with coverage.
	@hack/setup --check || $(MAKE) --no-print-directory setup
	@CI=true COVER_PACKAGES=$(COVER_PACKAGES) hack/test -race -shuffle=on

test-short: ## Run the tests that need no server, and list what is skipped.
	@hack/test -short

cover: ## Measure the statement coverage of the library; the page is build/cover.html.
	@hack/setup --check || $(MAKE) --no-print-directory setup
	@CI=true COVER_PACKAGES=$(COVER_PACKAGES) hack/test
	@go tool cover -html=$(BUILD)/cover.out -o $(BUILD)/cover.html
	@$(MAKE) --no-print-directory cover-check

cover-check:
	@hack/cover-check $(BUILD)/cover.out $(COVER_MINIMUM)

crash-test: ## Kill processes and servers amid two-phase commits (CRASH_KILLS, CRASH_RANDOM, CRASH_SERVERS say how often).
	@hack/setup --check || $(MAKE) --no-print-directory setup
	@CI=true CRASH_KILLS=$(CRASH_KILLS) CRASH_RANDOM=$(CRASH_RANDOM) CRASH_SERVERS=$(CRASH_SERVERS) \
		go test -tags failpoint -count=1 -timeout 30m -v -run Crash ./internal/crashtest

long: ## Run the tests of faults with all their cuts, kills, clients and payloads (an hour).
	@hack/setup --check || $(MAKE) --no-print-directory setup
	@CI=true ECHOBUN_LONG=1 hack/test -race -timeout=60m

soak: ## Keep an application under load for SOAK_TIME (10m), with faults, and compare what was told with what is there.
	@hack/setup --check || $(MAKE) --no-print-directory setup
	@CI=true SOAK_TIME=$(SOAK_TIME) go test -count=1 -timeout 60m -v -run Soak ./internal/soak

fuzz: ## Run each fuzz target for FUZZTIME (10s, or 20000x for so many inputs).
	@hack/fuzz $(FUZZTIME)

bench: ## Compare with Bun by hand, GORM, sqlx and the drivers alone (10 minutes); write bench/RESULTS.md.
	@hack/setup --check || $(MAKE) --no-print-directory setup
	@cd bench && CI=true go test -count=1 -timeout 60m -v -run '^TestCompare$$' . -full

bench-once: ## Run each part of that comparison once, to see that it runs.
	@cd bench && CI=true go test -count=1 -run '^TestCompare$$' .

bench-packages: ## Run the packages' own benchmarks, each for BENCHTIME (1s).
	@hack/each go test -run=NONE -bench=. -benchmem -benchtime=$(BENCHTIME) ./...

uncured: ## Prove that tests can fail: take out one cure at a time (testdata/uncured; PATCH=name for one, SHARE=3 for a third).
	@go run ./internal/uncured -share $(SHARE) $(PATCH)

mutants: ## Change the code in N (60) small ways, one at a time, and list what no test notices (SEED draws the same again; 2 hours).
	@hack/setup --check || $(MAKE) --no-print-directory setup
	@CI=true go run ./internal/mutants -n $(N) $(if $(SEED),-seed $(SEED))

example: ## Run the example application.
	go run -C _example .

cross: ## Compile everything, tests too, for macOS and Windows.
	@hack/each env GOOS=darwin GOARCH=arm64 go vet ./...
	@hack/each env GOOS=windows GOARCH=amd64 go vet ./...

ci: ## Run everything that CI does.
	@hack/steps fmt-check tidy-check tests-check vet lint test-race cover-check \
		"crash-test CRASH_KILLS=2 CRASH_RANDOM=60 CRASH_SERVERS=6" "fuzz FUZZTIME=20000x" "bench-packages BENCHTIME=1x" bench-once "uncured SHARE=8" summary

# The test runner's own last words, again after the steps that came later.
summary:
	@cat $(BUILD)/reruns.txt && grep '^DONE ' $(BUILD)/test.txt

clean: ## Remove what these tasks made.
	rm -rf $(BUILD)
