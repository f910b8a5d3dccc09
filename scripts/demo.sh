#!/usr/bin/env bash
# Reconciles the bundled bank statement with the bundled ledger.
set -euo pipefail
cd "$(dirname "$0")/.."
stoa="${CARGO_TARGET_DIR:-target}/release/stoa"
[ -x "$stoa" ] || cargo build --release --locked -p stoa
echo "\$ stoa reconcile examples/demo/statement.sta examples/demo/ledger.csv --rules examples/rules/bank-statement.yaml --output demo-report"
status=0
"$stoa" reconcile examples/demo/statement.sta examples/demo/ledger.csv --rules examples/rules/bank-statement.yaml --output demo-report || status=$?
# 3: there are exceptions, and the bundled files have some on purpose.
[ "$status" = 0 ] || [ "$status" = 3 ] || exit "$status"
echo
echo "Open demo-report/report.html in a browser. Why is one open?  $stoa reconcile … --explain AR-106"
