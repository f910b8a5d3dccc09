#!/usr/bin/env bash
# Runs every test: documentation examples first, then everything else, so that the last lines are those of the runner.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --doc --workspace --locked --quiet
if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --workspace --locked "$@"
fi
exec cargo test --workspace --locked --all-targets "$@"
