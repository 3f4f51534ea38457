# Everything here needs Go, git and make, and no more.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

GO ?= go
# Modules of the repository: the system, and the heavy tests once they are there.
MODULES := . $(patsubst %/go.mod,%,$(wildcard tests/go.mod))

# The linter is built here at this version; its findings change from one to the next.
LINT_VERSION := v2.13.0
LINT := bin/golangci-lint-$(LINT_VERSION)

# The race detector needs a C compiler. Without one Go switches cgo off by itself.
RACE := $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)
# `make check` vets; vetting here too would look through every dependency once more. Tests
# that start programs wait for them more than they work.
TEST_FLAGS ?= -timeout 15m -vet=off -parallel 4

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: demo
demo: bin/fff ## Run the example job from its records to a proven dataset under out/
	./bin/fff run -f examples/run.yaml --records examples/records.jsonl --sandbox --out out
	./bin/fff verify out/demo --records examples/records.jsonl

# Go's cache knows what the root module's tests are made of, so those that nothing has
# changed are not run again; what draws a seed reads FFF_TEST_NOTES and runs each time. The
# tests in tests/ start programs that the cache does not see, so it is not asked for them.
TEST_FLAGS_tests := -count=1

# The notes are what tests say of skips and seeds: `go test` drops it when a package passes.
.PHONY: test
test: ## Run every test, with the race detector where there is a C compiler
	@if [ -z '$(RACE)' ]; then echo '*** NO C COMPILER: the tests run WITHOUT the race detector ***' >&2; fi
	@export FFF_TEST_NOTES=$$(mktemp); trap 'rm -f "$$FFF_TEST_NOTES"' EXIT; status=0; \
	$(foreach m,$(MODULES),if [ $$status = 0 ]; then echo "go test in $(m)"; (cd $(m) && $(GO) test $(RACE) $(TEST_FLAGS) $(TEST_FLAGS_$(m)) ./...) || status=$$?; fi;) \
	if [ -s "$$FFF_TEST_NOTES" ]; then echo '*** what the tests say of skips and seeds ***'; sort "$$FFF_TEST_NOTES"; fi >&2; \
	exit $$status
	@if [ -z '$(RACE)' ]; then echo '*** the tests ran WITHOUT the race detector: install a C compiler to have it ***' >&2; fi

# In tests/ staticcheck would spend more than ten minutes on a Parquet reader that only
# the tests import.
LINT_FLAGS_tests := --disable staticcheck
lint_module = (cd $(1) && $(CURDIR)/$(LINT) run --allow-parallel-runners --config $(CURDIR)/.golangci.yml $(LINT_FLAGS_$(1)) ./...)

.PHONY: chaos
chaos: ## Kill the system 20 times, and 30 rounds of faults in a fleet; FFF_TEST_SEED repeats them
	cd tests && FFF_CHAOS=1 FFF_CHAOS_REPORT=$(CURDIR)/docs/chaos.md $(GO) test -v -count=1 -timeout 60m ./chaos

.PHONY: warmup
warmup: ## Kill what scales up and brings down, 25 times each, and have a call of it come late; FFF_TEST_SEED repeats them
	cd tests && FFF_CHAOS=1 $(GO) test -v -count=1 -timeout 30m -run 'KilledAtRandom|LateLeader' ./warmup

.PHONY: compose
compose: ## Build the images, bring docker-compose.yml up and kill its containers; needs Docker
	cd tests && FFF_COMPOSE=1 $(GO) test -v -count=1 -timeout 30m ./compose

.PHONY: bounds
bounds: ## Check each service's bound of memory with three times as many records
	cd tests && FFF_BOUNDS=1 $(GO) test -v -count=1 -timeout 10m ./bounds

.PHONY: cluster
cluster: ## Run a job on a cluster of three NATS servers that loses one of them
	cd tests && FFF_CLUSTER=1 $(GO) test -v -count=1 -timeout 10m -run Cluster ./deploy

.PHONY: engines
engines: ## Run the whole example on DynamoDB engines from npm; needs Node.js
	cd tests && FFF_EXAMPLE=all $(GO) test -v -count=1 -timeout 30m ./engines

# As whoever has just cloned it: nothing that lies about here, in a cache or uncommitted,
# may be what makes it work. Modules are read-only, so they are made writable to be removed.
.PHONY: fresh
fresh: ## Run the demo and the tests in a fresh clone of HEAD, with empty caches
	@dir=$$(mktemp -d); trap 'chmod -R u+w "$$dir"; rm -rf "$$dir"' EXIT; \
	git clone --quiet . "$$dir/fff"; \
	export GOMODCACHE="$$dir/modules" GOCACHE="$$dir/build"; \
	$(MAKE) -C "$$dir/fff" demo; \
	$(MAKE) -C "$$dir/fff" test

.PHONY: test-all
test-all: test chaos warmup compose cluster engines bounds ## Run every test there is, the long ones included

.PHONY: check
check: $(LINT) ## Check format, vet, lint, the walls between packages, and that modules are tidy
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); if [ -n "$$out" ]; then echo "not formatted; run make fmt:"; echo "$$out"; exit 1; fi
	@for m in $(MODULES); do (cd $$m && $(GO) vet ./...) || exit 1; done
	@$(foreach m,$(MODULES),$(call lint_module,$(m)) &&) true
	GOWORK=off $(GO) build ./...
	@for m in $(MODULES); do (cd $$m && GOWORK=off $(GO) mod tidy -diff) || exit 1; done
	@echo "check: clean"

.PHONY: build
build: ## Build fff and every service into bin/
	$(GO) build -o bin/ ./services/...

.PHONY: bench
bench: ## Measure whole jobs on backends that cost next to nothing; BENCH=-full for all, -bars for those that have a bar, -scale for a million samples
	cd tests && $(GO) run ./bench $(BENCH_OUT) $(BENCH)
	$(if $(filter -full,$(BENCH_KEPT)),cd tests && $(GO) run ./bench/adaptive -out ../docs/benchmarks)
	$(if $(filter -full,$(BENCH_KEPT)),$(MAKE) story)

.PHONY: story
story: ## Measure what each decision of the design brings, on backends with stated latencies
	cd tests && $(GO) run ./bench/story -out ../docs/benchmarks

# What takes long enough to be worth keeping is kept. A quick run is one try on anybody's
# machine, and some of the scenarios are not all: git does not see those, and they take no
# committed median's place.
BENCH_KEPT = $(if $(filter -only -only=%,$(BENCH)),,$(filter -full -bars -scale -latency,$(BENCH)))
BENCH_OUT = -out ../docs/benchmarks$(if $(BENCH_KEPT),,/quick)

# Each benchmark runs so many times, so that benchstat can tell a difference from noise:
#   make microbench > old.txt; (change something); make microbench > new.txt
#   go run golang.org/x/perf/cmd/benchstat@latest old.txt new.txt
MICRO ?= .
MICRO_COUNT ?= 6

.PHONY: microbench
microbench: ## Run the benchmarks of the hot paths, for benchstat; MICRO=<pattern> chooses some
	@$(GO) test -run '^$$' -bench '$(MICRO)' -benchmem -count $(MICRO_COUNT) ./... | grep -v -e 'no test files' -e '^ok ' -e '^PASS'

.PHONY: fmt
fmt: ## Format the code
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: lint
lint: $(LINT) ## Run the linter alone
	@$(foreach m,$(MODULES),$(call lint_module,$(m)) &&) true

.PHONY: docs
docs: ## Write the generated parts of the documents anew
	$(GO) test ./services/fff -run Documents -update
	$(GO) generate ./streams

.PHONY: clean
clean: ## Remove what was built and the demo's output
	rm -rf bin out

# fff is built anew when it is asked for; Go knows what has changed.
.PHONY: bin/fff
bin/fff:
	$(GO) build -o $@ ./services/fff/cmd/fff

$(LINT):
	@echo "building golangci-lint $(LINT_VERSION), some minutes, once"
	@tmp=$$(mktemp -d) && GOBIN=$$tmp GOWORK=off GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION) \
		&& mkdir -p bin && mv $$tmp/golangci-lint $@ && rmdir $$tmp
