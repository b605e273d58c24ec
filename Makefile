# Targets for people. `make` lists them.
SHELL := /bin/bash
GO    ?= go
BIN   := bin/onceover
export CGO_ENABLED ?= 0
# The programs that tests start are built as those that are released, and the
# tests as well: what they have in common is compiled once.
export GOFLAGS ?= -trimpath

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)

# The packages with unit tests that need nothing but the repository.
UNITS := ./internal/... ./cmd/... ./api/... ./test/fixture ./test/planted ./test/bench

# TEST leaves out what lint does: each of these would vet every package for
# itself, with the race detector once more.
TEST := $(GO) test -vet=off

# RACE leaves the detector out of SQLite and of password hashes. They are
# computations of others, without goroutines of their own, and were two thirds
# of its time; the driver and all that calls them are watched.
UNWATCHED := modernc.org/sqlite/lib modernc.org/libc/... modernc.org/memory github.com/go-crypt/...
RACE := -race $(foreach p,$(UNWATCHED),-gcflags=$(p)=-race=false)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help build demo test binaries check format lint short race unit yara contract e2e hostile matrix oracle fuzz bench bench-peers bench-advisories bench-match bench-fleet bench-api bench-checks generate clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

build: ## build bin/onceover
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/onceover

demo: build ## README command one: serve, scan the images of this host, show the result
	$(BIN) server --data build/demo --listen 127.0.0.1:0 --scan-now --once
	@echo; echo "To keep the API served: $(BIN) server --data build/demo"

test: ## README command two: every test there is
	$(MAKE) build binaries format lint race
	$(MAKE) -j3 --output-sync=line unit e2e oracle hostile matrix contract # the longest first
	$(MAKE) fuzz

binaries: ## fetch programs of Debian packages, for the tests of analyze/binary
	test/binaries/fetch build/cache/binaries

check: format lint short ## the quick check: format, vet, staticcheck, layering, unit tests

format: ## fail if a file is not formatted
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not formatted:"; echo "$$out"; exit 1; fi

lint: ## vet, staticcheck, layering
	$(GO) vet ./...
	cd test/contract && $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test ./test/layering

short: ## unit tests, short of engines and fixtures
	$(TEST) -short $(UNITS)

race: ## the same with the race detector
	CGO_ENABLED=1 GORACE=atexit_sleep_ms=20 $(TEST) $(RACE) -short $(UNITS)

unit: ## every unit test, engines included, without the race detector
	$(TEST) -timeout 20m -p 1 $(UNITS) ./test/engine ./test/overlay ./test/fleetmodel ./test/vunnel
	$(MAKE) yara

yara: ## the tests of YARA, with cgo and libyara (apt-get install libyara-dev)
	@if echo '#include <yara.h>' | cc -E - > /dev/null 2>&1; then \
		export CGO_ENABLED=1; \
		$(GO) vet -tags yara ./internal/check/malware && \
		$(TEST) -tags yara -skip '^TestClamd' ./internal/check/malware && \
		$(TEST) -tags yara -run 'TestScripts/(yara|malware)$$' ./cmd/onceover; \
	elif [ "$$ONCEOVER_REQUIRE_YARA" = 1 ]; then \
		echo "no libyara: apt-get install libyara-dev"; exit 1; \
	else \
		echo "the tests of YARA are skipped: no libyara"; \
	fi

contract: build ## the unmodified Huawei SDK against a real server
	cd test/contract && $(TEST) -count=1 -timeout 20m ./...

e2e: build ## end to end, on real engines and images
	$(TEST) -count=1 -timeout 20m ./test/e2e

matrix: ## every engine and archive form on every kind of image: the same result
	$(TEST) -count=1 -timeout 15m -v ./test/matrix

hostile: ## images made to harm their reader, read within the contract
	$(TEST) -count=1 -timeout 25m ./test/hostile

oracle: build ## package lists and findings beside syft and grype
	$(TEST) -count=1 -timeout 30m -v ./test/oracle/...

fuzz: ## every fuzz test for a time each (FUZZTIME=15s), several side by side
	.ci/fuzz $(or $(FUZZTIME),15s)

bench: build ## CPU, wall, memory and bytes read beside syft and grype
	$(GO) run ./test/bench $(BENCH)

bench-peers: ## large images beside syft, grype, osv-scanner, and trivy if it is there
	$(GO) run ./test/bench peers $(PEERS)

bench-advisories: ## compile, size, look-ups and memory of the advisory database, and of one ten times as large
	$(GO) run ./test/bench advisories $(ADVISORIES)

bench-match: build ## matching beside grype on its own database of the same records
	$(GO) run ./test/bench match $(MATCH)

bench-fleet: ## a fleet of 10,000 hosts: re-match of a difference, who has CVE-X (FLEET='-database sqlite')
	$(GO) run ./test/bench fleet $(FLEET)

bench-api: build ## every list of the API at 100,000 images, 50 clients at once (API='-check -database sqlite')
	$(GO) run ./test/bench api $(API)

bench-checks: ## secrets beside gitleaks, and what all checks cost on a large image (CHECKS='-check -only image')
	$(GO) run ./test/bench checks $(CHECKS)

generate: ## write the generated code anew
	$(GO) generate ./...

clean: ## remove what was built
	rm -rf bin build
