# What people and CI run. `make deps` (part of the others) installs what a fresh Debian
# machine lacks; with everything there it does nothing.

CARGO ?= cargo
RELEASE := target/release/shardline
BENCH := target/release/shardline-bench
BENCH_FLAGS ?=
DEMO_FLAGS ?=
CLIENTS := target/clients

.PHONY: demo test test-clients test-console check bench bench-smoke bench-micro bench-build budget console console-packages deps \
	deps-tests deps-clients deps-console deps-bench build clients

demo: deps ## a running cluster with a small bank, and lines to paste
	$(CARGO) build --release --locked -p shardline-console
	$(RELEASE) up --demo $(DEMO_FLAGS)

build:
	$(CARGO) build --locked --workspace

test: deps-tests build ## everything but the drivers of other languages
	$(CARGO) test --locked --workspace

test-clients: deps-clients build clients ## drivers of many languages, with TLS and without
	$(CARGO) test --locked -p shardline-tests --features languages --test clients

test-console: deps-console build console-packages ## the web console in a real browser; pictures in target/console
	cd console/web && npm run types --silent
	cd tests/console && npm test --silent

console: deps-console console-packages ## console/web/dist, which is committed: cargo alone needs no Node
	cd console/web && npm run build --silent

check: ## the quick part: format, lints, unit, golden, property, tidy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked --workspace --exclude shardline-tests
	$(CARGO) test --locked -p shardline-tests --lib --test tidy

bench: deps-bench bench-build ## beside the peers, into benchmarks/results: under 40 minutes
	$(BENCH) run --results benchmarks/results $(BENCH_FLAGS)
	$(BENCH) idle --results benchmarks/results
	$(BENCH) scaling --results benchmarks/results
	$(BENCH) transactions --results benchmarks/results

bench-smoke: deps-bench bench-build ## a short run: does everything still answer
	$(BENCH) run --smoke
	$(BENCH) idle --smoke
	$(BENCH) scaling --smoke
	$(BENCH) transactions --smoke

bench-micro: ## of the parts alone
	$(CARGO) bench --locked -p shardline-benchmarks

budget: deps-tests bench-build ## instructions of the hot paths against their record
	$(BENCH) budget --check

# One after the other: the measured binary must be the one that users build.
bench-build:
	$(CARGO) build --release --locked -p shardline-console
	$(CARGO) build --release --locked -p shardline-benchmarks --bin shardline-bench

console-packages:
	cd console/web && npm ci --silent --no-audit --no-fund
	cd tests/console && npm ci --silent --no-audit --no-fund

clients: $(CLIENTS)/venv/ready $(CLIENTS)/venv-schema/ready $(CLIENTS)/go-client
	cd tests/clients/node && npm ci --silent --no-audit --no-fund
	CARGO_TARGET_DIR=$(CLIENTS)/sqlx $(CARGO) build --locked --manifest-path tests/clients/sqlx/Cargo.toml

$(CLIENTS)/venv/ready: tests/clients/python/requirements.txt
	python3 -m venv $(CLIENTS)/venv
	$(CLIENTS)/venv/bin/pip install --quiet -r $<
	touch $@

$(CLIENTS)/venv-schema/ready: tests/clients/schema/requirements.txt
	python3 -m venv $(CLIENTS)/venv-schema
	$(CLIENTS)/venv-schema/bin/pip install --quiet -r $<
	touch $@

$(CLIENTS)/go-client: tests/clients/go/main.go tests/clients/go/go.mod
	cd tests/clients/go && go build -buildvcs=false -o ../../../$@ .

deps:
	.ci/dependencies server

deps-tests:
	.ci/dependencies server tests

deps-bench:
	.ci/dependencies server bench

deps-clients:
	.ci/dependencies server tests clients

deps-console:
	.ci/dependencies server console
