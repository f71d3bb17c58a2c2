# Everything starts here: `make run` shows Dossier at work, `make test` checks it. The work is done by small scripts
# in .ci/tools/; docs/development.md explains them.

.DEFAULT_GOAL := help
.PHONY: help setup run test check chaos fuzz fuzz-api openapi bench bench-filter bench-soak bench-ingest bench-query bench-storage bench-retention bench-keys bench-counts filter build lint fmt clean distclean
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/    make \1|\2/p' Makefile | awk -F '|' '{ printf "%-18s %s\n", $$1, $$2 }'

run: ## bring up everything (Postgres, collector, Envoy with the filter) until Ctrl-C
	@exec .ci/tools/run

test: ## run all checks and tests: lints, native, wasm, end-to-end
	@exec .ci/tools/test

check: ## check what changed since the last commit, or FILES: formatting, lints and tests of its packages, not end to end
	@exec .ci/tools/check $(FILES)

chaos: ## kill, stop, cut and fill up everything under load for some minutes, and tell what came of it
	@exec .ci/tools/chaos

fuzz: ## throw mutated inputs at every decoder, a minute at each
	@exec .ci/tools/fuzz

fuzz-api: ## throw requests made from the OpenAPI document at a running collector
	@exec .ci/tools/fuzz-api

openapi: ## write docs/openapi.json from the code
	@.ci/tools/cargo run --quiet -p dossier-collector -- openapi > docs/openapi.json.new
	@mv docs/openapi.json.new docs/openapi.json

setup: ## find or install all tools, build nothing
	@.ci/tools/setup all >/dev/null

filter: ## build the filter for Envoy: target/dossier-filter.wasm
	@.ci/tools/filter >/dev/null

build: ## build the collector for release: target/release/dossier
	@.ci/tools/cargo build --release -p dossier-collector --bin dossier

bench: ## measure what recording costs, as in docs/performance.md
	@.ci/tools/bench

bench-ingest: ## measure how fast batches get in beside psql, as in docs/performance.md
	@.ci/tools/bench ingest

bench-query: ## measure what reads cost over five million entries, as in docs/performance.md
	@.ci/tools/bench query

bench-storage: ## measure how much of the disk bodies take, as in docs/performance.md
	@.ci/tools/bench storage

bench-retention: ## measure how a million expired entries leave while others come, as in docs/performance.md
	@.ci/tools/bench retention

bench-filter: ## measure what recording costs each request: an hour on a quiet machine
	@.ci/tools/bench filter

bench-soak: ## watch the filter's memory under full load: ten minutes
	@.ci/tools/bench soak

bench-counts: ## write down anew how many instructions an exchange takes: tests/engine/counts.json
	@.ci/tools/filter >/dev/null
	@.ci/tools/cargo run --quiet --release -p dossier-engine -- counts

bench-keys: ## count what each configuration key costs, as in docs/performance.md
	@.ci/tools/filter >/dev/null
	@.ci/tools/cargo run --quiet --release -p dossier-engine -- keys

lint: ## check formatting, lints, licences and scripts
	@.ci/tools/lint

fmt: ## format the code
	@.ci/tools/cargo fmt --all

clean: ## remove what was built and what runs left behind
	rm -rf target .run

distclean: clean ## remove the installed tools too
	rm -rf .tools
