#!/usr/bin/env bash
# Fuzzes every parser with libFuzzer on the stable toolchain: FUZZ_SECONDS for each target (60), FUZZ_TARGETS to choose.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code -Ccodegen-units=1"
cargo build --release --target "$target" --target-dir "${FUZZ_TARGET_DIR:-target}"
for name in ${FUZZ_TARGETS:-csv xlsx json ndjson mt940 mt942 camt ofx bai2 qif rules}; do
    mkdir -p "corpus-found/$name" artifacts
    echo "== $name"
    "${FUZZ_TARGET_DIR:-target}/$target/release/$name" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 \
        -max_len=65536 -artifact_prefix="artifacts/$name-" -print_final_stats=1 "corpus-found/$name" "corpus/$name" 2>&1 | grep -E 'stat::|ERROR|SUMMARY|panicked|DONE' || true
done
! ls artifacts/* >/dev/null 2>&1 || { echo "crashes: $(ls artifacts)"; exit 1; }
