#!/usr/bin/env bash
# Makes sure that what the build needs is there: a C compiler, Rust. Installs packages where root or sudo allows.
set -euo pipefail
missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v git >/dev/null || missing+=(git)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo"; else
        echo "These packages are missing and cannot be installed without root: ${missing[*]}" >&2
        echo "Install them with: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
    $as_root apt-get update -qq && $as_root apt-get install -y -qq "${missing[@]}"
fi
command -v cargo >/dev/null || { echo "Rust is missing; install it as https://rustup.rs says, then run this again." >&2; exit 1; }
