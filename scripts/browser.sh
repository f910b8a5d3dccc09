#!/usr/bin/env bash
# Walks through the flows that need a browser: in Chromium, against the platform, a real SMTP server and real issuers of OpenID Connect.
set -euo pipefail
cd "$(dirname "$0")/.."
STOA_BINARY=$(realpath "${CARGO_TARGET_DIR:-target}/debug/stoa")
STOA_CHROMIUM=$(command -v chromium || command -v chromium-browser || true)
export STOA_BINARY STOA_CHROMIUM
cd crates/stoa/tests/browser
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --silent --no-audit --no-fund
fi
exec node --test --test-concurrency=1
