# Every target installs what it needs (scripts/install-tools); only Rust must be there.
SHELL := /bin/bash
# rustup leaves PATH to login shells.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
# Two cargo commands at once would only wait for each other.
.NOTPARALLEL:
.PHONY: run test test-clients test-conformance test-faults test-image check lint fmt sqlx sqlx-check bench bench-passthrough bench-retrieval measure-files clean help tools

run: ## build and start Locum, with a demo model where LOCUM_MODEL_URL is unset, and show what to type next
	@exec scripts/run

test: tools ## run all tests, those that drive the official SDKs included
	@if [ -x scripts/sdk-environments ]; then scripts/sdk-environments; fi
	scripts/s3-environment
	cargo test --locked --doc
	scripts/with-postgres --vector scripts/with-postgres cargo test --locked --lib --bins --tests

test-clients: ## let every client drive the server; with MODEL=real against a small real model
	scripts/install-tools node
	@LOCUM_REQUIRE_NODE=1 scripts/sdk-environments all
	scripts/test-clients $(if $(filter command,$(firstword $(origin MODEL))),$(MODEL))

test-conformance: ## hold every reply of the API tests against OpenAI's OpenAPI documents in ../shared/spec
	@scripts/test-conformance

test-faults: ## 200 rounds of random faults on three nodes, for an hour, into docs/faults.md; SEED=7 ROUNDS=1 repeats one
	@ROUNDS="$(ROUNDS)" SEED="$(SEED)" NODES="$(NODES)" scripts/test-faults

test-image: ## build the image and try it in containers, without a Docker engine; as root, half an hour
	@scripts/test-image

check: lint sqlx-check test ## everything that continuous integration checks

lint: tools ## formatting, spelling, dependencies, clippy and rustdoc, warnings denied
	cargo fmt --check
	@scripts/lint-tools
	$${CARGO_TARGET_DIR:-target}/tools/bin/typos
	scripts/check-dependencies
	$${CARGO_TARGET_DIR:-target}/tools/wheels/bin/python scripts/check-deployment
	cargo fmt --check --manifest-path bench/driver/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --manifest-path bench/driver/Cargo.toml --target-dir $${CARGO_TARGET_DIR:-target} -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

fmt: ## format the sources
	cargo fmt
	cargo fmt --manifest-path bench/driver/Cargo.toml

sqlx: tools ## renew .sqlx after a change of SQL or migrations
	scripts/with-postgres scripts/sqlx-prepare

sqlx-check: tools
	scripts/with-postgres scripts/sqlx-prepare --check

bench: ## measure the performance budget, for about fifteen minutes, and put the table into bench/README.md
	@exec bench/run

bench-passthrough: ## measure what passing chats on to the model adds, beside nginx as a plain proxy; prints the table
	@exec bench/run --only passthrough

bench-retrieval: ## measure what searches find, how fast, and how fast files become searchable, into bench/retrieval/README.md
	@exec bench/retrieval/run

measure-files: tools ## upload and download 512 MiB and print what the server takes of memory
	scripts/measure-files

clean: ## remove what was built
	cargo clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS=$$'\t' read -r name text; do printf '  make %-17s %s\n' "$$name" "$$text"; done

tools:
	@scripts/install-tools
