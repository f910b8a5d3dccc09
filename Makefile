# Every target is one readable line or a script.
.PHONY: run demo test crash check bench-auth bench-events bench-jobs bench-reconcile bench-store fuzz generate setup build

run: build                 ## Build the release binary and start the platform
	@scripts/run.sh

build: setup
	cargo build --release --locked -p stoa

demo: build                ## Reconcile examples/demo and say where the report is
	@scripts/demo.sh

test:                      ## Run every test (pass ARGS to cargo nextest)
	@scripts/test.sh $(ARGS)

crash:                     ## Kill the platform ROUNDS=300 times under load, on both databases, and look what is left
	@NEXTEST_PROFILE=crash STOA_CRASH_ROUNDS=$${ROUNDS:-300} scripts/test.sh -p stoa --test platform crash

check: setup               ## Formatting, lints, dependencies, documentation, generated files
	@scripts/check.sh

generate:                  ## Make the generated files again
	@scripts/generate.sh

bench-store:               ## Compare the stores with the plain drivers and sqlx (RUNS=3 SECONDS_EACH=3)
	@bench/store/run.sh

bench-reconcile: build     ## Compare with DuckDB, Polars and pandas (EVENTS=1000000 RUNS=5)
	@bench/reconcile/run.sh

bench-auth: build          ## Compare authenticated requests with Fastify (RUNS=3 SECONDS_EACH=5)
	@bench/auth/run.sh

bench-jobs:                ## Compare the job engine with graphile-worker, pg-boss and BullMQ (RUNS=3 JOBS=20000)
	@bench/jobs/run.sh

bench-events: build        ## How soon followers, NATS and a thousand webhook endpoints hear of a change (ONLY=sqlite,postgres)
	@bench/events/run.sh

fuzz:                      ## Fuzz every parser (FUZZ_SECONDS=60 each)
	@scripts/fuzz.sh

setup:                     ## Install the system packages that are missing
	@scripts/setup.sh
