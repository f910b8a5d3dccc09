#!/usr/bin/env bash
# Makes the generated files; with --check only says whether they are stale.
set -euo pipefail
cd "$(dirname "$0")/.."
made=$(mktemp)
trap 'rm -f "$made"' EXIT
cargo run --locked --quiet -p stoa -- schema > "$made"
if [ "${1:-}" = --check ]; then
    cmp -s "$made" docs/schemas/rules-v1.json || { echo "docs/schemas/rules-v1.json is stale; run make generate" >&2; exit 1; }
else
    mkdir -p docs/schemas
    cat "$made" > docs/schemas/rules-v1.json
fi
