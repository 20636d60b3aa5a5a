# What people and CI run. `make deps` (part of the others) installs what a fresh Debian
# machine lacks; with everything there it does nothing.

CARGO ?= cargo
RELEASE := target/release/shardline
DEMO_FLAGS ?=
CLIENTS := target/clients

.PHONY: demo test test-clients check bench deps deps-tests deps-clients build clients

demo: deps ## a running cluster with a small bank, and lines to paste
	$(CARGO) build --release --locked -p shardline-console
	$(RELEASE) up --demo $(DEMO_FLAGS)

build:
	$(CARGO) build --locked --workspace

test: deps-tests build ## everything but the drivers of other languages
	$(CARGO) test --locked --workspace

test-clients: deps-clients build clients ## drivers of many languages, with TLS and without
	$(CARGO) test --locked -p shardline-tests --features languages --test clients

check: ## the quick part: format, lints, unit, golden, property, tidy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked --workspace --exclude shardline-tests
	$(CARGO) test --locked -p shardline-tests --lib --test tidy

bench: ## micro benchmarks
	$(CARGO) bench --locked -p shardline-benchmarks

clients: $(CLIENTS)/venv/ready $(CLIENTS)/go-client
	cd tests/clients/node && npm ci --silent --no-audit --no-fund
	CARGO_TARGET_DIR=$(CLIENTS)/sqlx $(CARGO) build --locked --manifest-path tests/clients/sqlx/Cargo.toml

$(CLIENTS)/venv/ready: tests/clients/python/requirements.txt
	python3 -m venv $(CLIENTS)/venv
	$(CLIENTS)/venv/bin/pip install --quiet -r $<
	touch $@

$(CLIENTS)/go-client: tests/clients/go/main.go tests/clients/go/go.mod
	cd tests/clients/go && go build -buildvcs=false -o ../../../$@ .

deps:
	.ci/dependencies server

deps-tests:
	.ci/dependencies server tests

deps-clients:
	.ci/dependencies server tests clients
