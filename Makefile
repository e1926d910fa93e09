# Every target is one line or calls a program of ours. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help demo demo-docker demo-legacy docker-test test unit check book man chaos bench bench-zk bench-gateway fuzz audit release-check

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

# A program of ours, by name: compiled if need be, or the one in PROGRAMS, for who compiled all of it before (`.ci/run` does).
run = $(if $(PROGRAMS),$(PROGRAMS)/$(1),cargo run $(2) -p $(1) --)

demo: ## ZooKeeper, servers, clients and three algorithms, narrated; ends by itself in half a minute (KEEP=1: stays up until Ctrl-C, with a console in the browser)
	@scripts/setup.sh compiler
	$(if $(KEEP),$(if $(PROGRAMS),,@cargo build -p gateway))
	@$(call run,demo) tour $(if $(KEEP),--keep)

demo-docker: ## the same in containers, with three ZooKeeper servers and the console, until Ctrl-C (PROFILE=release; GATEWAY_PORT=8481)
	@docker/demo.sh

demo-legacy: ## the old Go systems, each with ours beside it: time servers, masters, cluster join, message broker; ends by itself in some seconds, installs what is missing
	@scripts/setup.sh compiler mosquitto
	@$(call run,demo) legacy

test: ## installs what is missing and runs every test, on real ZooKeeper servers, a real Mosquitto and a real browser too (JOBS=1: one program of them at a time, not two)
	@scripts/setup.sh compiler zookeeper kazoo mosquitto mandoc chromium curl
	scripts/test.sh

unit: ## the tests that need no server and no network
	@scripts/setup.sh compiler
	scripts/unit.sh

check: ## formatting, clippy, documentation with its links and its code, versions, and licences of dependencies
	@scripts/setup.sh compiler
	cargo fmt --all --check
	cargo fmt --manifest-path crates/loadbalance/bench/Cargo.toml --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --all-features --no-deps
	cargo run --quiet -p pages
	cargo run --quiet -p release

book: ## docs/ as a book in target/book/docs, read with any browser; builds mdBook where it is missing, once
	@scripts/setup.sh compiler
	scripts/book.sh

man: ## manual pages and completions of demo, gateway and chaos, as they are installed, into target/share; docs/output.md tells how they are installed
	@scripts/setup.sh compiler
	@cargo build -p demo -p gateway -p chaos
	scripts/man.sh

docker-test: ## builds the images, starts all of it in containers, kills some, looks whether it holds, and takes it away (KEEP_IMAGES=1: but for the images)
	@docker/test.sh $(if $(IF_POSSIBLE),--if-possible)

chaos: ## random faults for a minute, and whether what is promised held (DURATION=3600 SEED=7 SLACK=4 BREAK=lease)
	@scripts/setup.sh compiler zookeeper
	$(if $(PROGRAMS),,@cargo build -p demo -p chaos)
	@$(call run,chaos,--quiet) run $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED)) $(if $(SLACK),--slack $(SLACK)) $(if $(BREAK),--break $(BREAK))

bench: ## what a pick costs beside floors and peers, written to docs/bench/pick.md (QUICK=1: faster, docs stay as they are)
	@scripts/setup.sh compiler c++ cmake
	cargo bench --manifest-path crates/loadbalance/bench/Cargo.toml --target-dir $(or $(CARGO_TARGET_DIR),target)/loadbalance-bench -- $(if $(QUICK),--quick)

bench-zk: ## what is done on a real ZooKeeper, beside the bare client, written to docs/bench/zookeeper.md (QUICK=1: faster, docs stay as they are)
	@scripts/setup.sh compiler zookeeper
	cargo run --release -p demo -- bench $(if $(QUICK),--rounds 1,--out docs/bench)

bench-gateway: ## the gateway's proxy beside nginx, a pick over HTTP, and a thousand streams of events, written to docs/bench/gateway.md (QUICK=1: faster, docs stay as they are)
	@scripts/setup.sh compiler zookeeper nginx
	cargo bench -p gateway --bench gateway -- $(if $(QUICK),--quick,--out "$(CURDIR)/docs/bench")

fuzz: ## foreign bytes for every decoder, a minute each (SECONDS=600: ten; TARGETS=json: that one alone)
	@scripts/setup.sh compiler c++
	scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

audit: ## known vulnerabilities of dependencies, where the list of them can be reached
	@scripts/setup.sh compiler
	scripts/audit.sh

release-check: ## what a release has to be: versions, changelog, licences, lock files, unused dependencies, features alone, small consumers, the oldest Rust
	@scripts/setup.sh compiler
	@scripts/release-check.sh
