#!/usr/bin/env bash
# Stores and their peers, side by side, RUNS times; prints medians.
set -euo pipefail
cd "$(dirname "$0")"
runs=${RUNS:-3}
seconds=${SECONDS_EACH:-3}
for peer in stoa sqlx; do CARGO_TARGET_DIR=../.work/target cargo build --release --quiet --manifest-path $peer/Cargo.toml; done
mkdir -p ../.work && cd ../.work
: > store.txt
for _ in $(seq "$runs"); do target/release/bench-store-stoa "$seconds" "$PWD/target/release/bench-store-sqlx" | grep -v postgres_url >> store.txt; done
sort store.txt | awk '
    { if ($1 != name) { flush(); name = $1; n = 0 } rate[n] = $2; late[n] = $3; n++ }
    function middle(list,  i, j, t) { for (i = 0; i < n; i++) for (j = i + 1; j < n; j++) if (list[j] < list[i]) { t = list[i]; list[i] = list[j]; list[j] = t } return list[int(n / 2)] }
    function flush() { if (name != "") printf "%-28s %10d /s   p99 %8d µs\n", name, middle(rate), middle(late) }
    END { flush() }'
