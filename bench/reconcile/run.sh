#!/usr/bin/env bash
# Times Stoa and its peers on one workload, in turn, in one session; prints medians as a table.
#   EVENTS=1000000 RUNS=5 bench/reconcile/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
work="bench/.work"; mkdir -p "$work"
events="${EVENTS:-1000000}"; runs="${RUNS:-5}"
target="${CARGO_TARGET_DIR:-target}"
cargo build --release --locked --quiet -p stoa -p stoa-workload
if [ ! -x "$work/peers/bin/python" ]; then
    python3 -m venv "$work/peers"
    "$work/peers/bin/pip" install --quiet duckdb polars pandas
fi
data="$work/data-$events"
[ -f "$data/truth.csv" ] || "$target/release/stoa-workload" generate --events "$events" --seed 1 "$data"
exec "$work/peers/bin/python" bench/reconcile/measure.py --data "$data" --work "$work" --runs "$runs" \
    --stoa "$target/release/stoa" --score "$target/release/stoa-workload"
