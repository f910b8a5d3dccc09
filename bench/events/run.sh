#!/usr/bin/env bash
# How soon what happens is told: to whoever follows the log, through NATS, and to a thousand webhook endpoints of which some hang and fail.
set -euo pipefail
cd "$(dirname "$0")"
CARGO_TARGET_DIR=../.work/target cargo build --release --quiet --locked --manifest-path stoa/Cargo.toml
exec ../.work/target/release/bench-events-stoa ../../target/release/stoa
