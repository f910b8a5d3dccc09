#!/usr/bin/env bash
# Starts the platform. In CI, where nobody would end it, asks it how it does and ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
stoa="${CARGO_TARGET_DIR:-target}/release/stoa"
if [ "${CI:-}" != true ]; then exec "$stoa" serve; fi
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
"$stoa" serve --listen 127.0.0.1:0 --data "$data" > "$data/screen" &
platform=$!
# It says where it listens when it is ready; until then there is nothing to ask.
until grep -q '^Ctrl-C' "$data/screen"; do kill -0 $platform || exit 1; done
cat "$data/screen"
address=$(sed -n 's|^  API *http://\(.*\)/v1$|\1|p' "$data/screen")
"$stoa" health --listen "$address"
"$stoa" doctor --listen "$address" --data "$data"
kill -TERM $platform
wait $platform
echo "the platform started, answered and ended"
