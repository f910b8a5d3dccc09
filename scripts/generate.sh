#!/usr/bin/env bash
# Makes the generated files; with --check only says whether they are stale.
set -euo pipefail
cd "$(dirname "$0")/.."
made=$(mktemp)
trap 'rm -f "$made"' EXIT
stale=0
file() {
    local path=$1
    shift
    cargo run --locked --quiet -p stoa -- "$@" > "$made"
    if [ "$mode" = --check ]; then
        cmp -s "$made" "$path" || { echo "$path is stale; run make generate" >&2; stale=1; }
    else
        mkdir -p "$(dirname "$path")"
        cat "$made" > "$path"
    fi
}
mode=${1:-}
file docs/schemas/rules-v1.json schema
file docs/openapi.json openapi
file docs/configuration.md config reference
file docs/events.md event-types
file docs/data-registry.md privacy registry
file docs/permissions.md permissions
exit $stale
