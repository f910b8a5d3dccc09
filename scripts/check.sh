#!/usr/bin/env bash
# Everything that can be checked without running the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "== formatting"; cargo fmt --all -- --check
echo "== lints"; cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
echo "== dependencies"
if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check licenses bans sources || exit 1; fi
cargo test --locked --quiet -p stoa-architecture
echo "== documentation"; RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
echo "== generated files"; scripts/generate.sh --check
echo "== scripts"; for script in scripts/*.sh bench/*/*.sh .ci/run; do bash -n "$script"; done
echo "all checks passed"
