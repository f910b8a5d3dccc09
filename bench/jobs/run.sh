#!/usr/bin/env bash
# The job engine beside its peers on the same servers in one session, RUNS times; prints medians.
set -euo pipefail
cd "$(dirname "$0")"
[ -d node_modules ] || npm install --silent --no-audit --no-fund
CARGO_TARGET_DIR=../.work/target cargo build --release --quiet --manifest-path stoa/Cargo.toml
mkdir -p ../.work
: > ../.work/jobs.txt
for _ in $(seq "${RUNS:-3}"); do ../.work/target/release/bench-jobs-stoa "${JOBS:-20000}" >> ../.work/jobs.txt; done
sort ../.work/jobs.txt | awk '
    { if ($1 != name) { flush(); name = $1; n = 0 } value[n++] = $2; unit = $3 }
    function flush(  i, j, t) { if (name == "") return; for (i = 0; i < n; i++) for (j = i + 1; j < n; j++) if (value[j] < value[i]) { t = value[i]; value[i] = value[j]; value[j] = t } printf "%-40s %12.1f %s\n", name, value[int(n / 2)], unit }
    END { flush() }'
