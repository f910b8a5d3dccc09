# Every target is one readable line or a script.
.PHONY: run demo test check bench-reconcile fuzz generate setup build

run: build demo            ## Build the release binary and reconcile the bundled statement with the bundled ledger

build: setup
	cargo build --release --locked -p stoa

demo:                      ## Reconcile examples/demo and say where the report is
	@scripts/demo.sh

test: setup                ## Run every test (pass ARGS to cargo nextest)
	@scripts/test.sh $(ARGS)

check: setup               ## Formatting, lints, dependencies, documentation, generated files
	@scripts/check.sh

generate:                  ## Make the generated files again
	@scripts/generate.sh

bench-reconcile: build     ## Compare with DuckDB, Polars and pandas (EVENTS=1000000 RUNS=5)
	@bench/reconcile/run.sh

fuzz:                      ## Fuzz every parser (FUZZ_SECONDS=60 each)
	@scripts/fuzz.sh

setup:                     ## Install the system packages that are missing
	@scripts/setup.sh
