# The front door. `make demo` and `make test` are all that a newcomer needs.
SHELL := /bin/sh
CARGO ?= cargo
.DEFAULT_GOAL := help

.PHONY: help demo test check fmt lint deny generate bench bench-cluster package images cluster cluster-down e2e e2e-smoke e2e-build e2e-images e2e-program rust

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: rust ## Watch an alert become a repair, in a cluster that lives in memory
	@$(CARGO) run --quiet --locked -p kubectl-aegis --features as-tested -- demo

test: rust ## Run every test that needs nothing but Rust
	@$(CARGO) test --workspace --locked

check: rust fmt lint deny ## Formatting, lints and the dependency policy

fmt: rust
	@$(CARGO) fmt --all --check

lint: rust
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny: rust
	@scripts/deny

generate: rust ## Write manifest/install and the pages that are made from code
	@$(CARGO) run --quiet --locked -p aegis-crds --bin crdgen -- manifest/install
	@AEGIS_GENERATE=1 $(CARGO) test --quiet --locked -p aegis-controller --lib settings::reference
	@AEGIS_GENERATE=1 $(CARGO) test --quiet --locked -p kubectl-aegis --bin kubectl-aegis -- reference schemas

bench: rust ## Time the decisions, and the whole loop against the sandbox and on a real cluster
	@$(CARGO) bench --quiet --locked -p aegis-engine --bench decisions
	@$(CARGO) bench --quiet --locked -p aegis-controller --bench loop
	@$(MAKE) --no-print-directory bench-cluster

# The cluster's programs are released ones too: what sends, watches and simulates shares the processors with what is measured.
bench-cluster: rust ## Time the loop on a real cluster alone; JSON=FILE writes the figures there
	@AEGIS_BINARIES=$${AEGIS_BINARIES:-$$(scripts/static)} && export AEGIS_BINARIES && \
	scripts/images target/e2e-images && \
	$(CARGO) build --quiet --release --locked -p aegis-e2e && \
	target/release/aegis-e2e bench $(if $(JSON),--json $(JSON))

package: rust ## Make a release of the plugin in target/package, for each platform that can be built for here
	@scripts/package

images: rust ## Make the container images, without Docker
	@scripts/images

cluster: e2e-build ## Start a real cluster, built from source, and leave it running
	@target/debug/aegis-e2e up

cluster-down: e2e-program ## End that cluster and remove every trace of it
	@target/debug/aegis-e2e down

e2e: e2e-build ## Run every scenario on a real cluster, or E2E=NAME alone
	@target/debug/aegis-e2e run $(E2E)

e2e-smoke: e2e-build ## Run the scenarios that must always pass
	@target/debug/aegis-e2e run --smoke

e2e-build: e2e-images e2e-program

e2e-images: rust
	@AEGIS_PROFILE=$${AEGIS_PROFILE:-dev} scripts/images target/e2e-images

e2e-program: rust
	@$(CARGO) build --quiet --locked -p aegis-e2e -p aegis-controller -p kubectl-aegis

rust:
	@scripts/rust
