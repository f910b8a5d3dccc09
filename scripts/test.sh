#!/usr/bin/env bash
# Runs every test: documentation examples first, then everything else with one PostgreSQL server for all, so that the last lines are
# those of the runner.
set -euo pipefail
cd "$(dirname "$0")/.."
TESTS=1 scripts/setup.sh
cargo test --doc --workspace --locked --quiet
cargo build --locked --quiet -p stoa-harness
harness="${CARGO_TARGET_DIR:-target}/debug/stoa-harness"
if [ $# = 0 ]; then
    cargo build --locked --quiet -p stoa
    scripts/browser.sh
    "$harness" run scripts/fuzz-api.sh
fi
if cargo nextest --version >/dev/null 2>&1; then
    exec "$harness" run cargo nextest run --workspace --locked "$@"
fi
exec "$harness" run cargo test --workspace --locked --all-targets "$@"
