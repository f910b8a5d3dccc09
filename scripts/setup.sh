#!/usr/bin/env bash
# Makes sure that what the build needs is there: a C compiler, Rust; with TESTS=1 also the servers that tests start. Installs packages
# where root or sudo allows.
set -euo pipefail
missing=()
need() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || missing+=("${@:2}"); }
need cc gcc libc6-dev
need git git
if [ "${TESTS:-}" = 1 ]; then
    need setpriv util-linux
    need pgbouncer pgbouncer
    need redis-server redis-server
    need nats-server nats-server
    command -v chromium >/dev/null || need chromium-browser chromium
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
fi
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo"; else
        echo "These packages are missing and cannot be installed without root: ${missing[*]}" >&2
        echo "Install them with: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
    # Their services are not wanted: tests start their own servers on free ports.
    $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq "${missing[@]}"
fi
if [ "${TESTS:-}" = 1 ] && ! command -v npm >/dev/null; then
    echo "Node.js is missing; the browser tests need it. Install it as https://nodejs.org says, then run this again." >&2
    exit 1
fi
command -v cargo >/dev/null || { echo "Rust is missing; install it as https://rustup.rs says, then run this again." >&2; exit 1; }
