#!/usr/bin/env bash
# Authenticated requests per second: an access token, a session that is known already, one row read by its key. Stoa beside Fastify with
# @fastify/jwt and better-sqlite3, one after the other on this machine, RUNS times; then what sign-ins do to other requests.
set -euo pipefail
cd "$(dirname "$0")"
command -v wrk >/dev/null || apt-get install -y -qq wrk >/dev/null
[ -d node_modules ] || npm install --silent --no-audit --no-fund
stoa=$(realpath "${CARGO_TARGET_DIR:-../../target}/release/stoa")
work=$(mktemp -d)
pids=()
finish() { kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"; }
trap finish EXIT
export LOG_LEVEL=warn STOA_LIMITS__BURST=1000000 STOA_LIMITS__PER_SECOND=1000000 STOA_LIMITS__ATTEMPTS_PER_MINUTE=1000000
"$stoa" serve --listen 127.0.0.1:0 --data "$work/data" > "$work/screen" 2> "$work/log" &
pids+=($!)
until grep -q '^Ctrl-C' "$work/screen"; do kill -0 "${pids[0]}"; done
api=$(sed -n 's|^  API *\(http://.*\)/v1$|\1|p' "$work/screen")
secret=$(sed 's/.*#//' "$work/data/setup.link")
issued=$(curl -sS --json "{\"token\":\"$secret\",\"email\":\"bench@example.org\",\"password\":\"tUq7-vanille\",\"organizationName\":\"Bench\",\"organizationSlug\":\"bench\"}" "$api/v1/auth/setup")
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<< "$issued"; }
token=$(field accessToken)
organization=$(field organizationId)
node peer.mjs "$work/peer.db" 500 1000 > "$work/peer" &
pids+=($!)
until [ -s "$work/peer" ]; do kill -0 "${pids[1]}"; done
read -r port peer_token < "$work/peer"
load() { wrk -t1 -c"${CONNECTIONS:-32}" -d"${SECONDS_EACH:-5}s" --latency -H "Authorization: Bearer $2" "$1"; }
figure() { awk '/Requests\/sec/ {rate=$2} /99%/ {p99=$2} /Non-2xx/ {bad=$3} END {printf "%d requests/s, p99 %s%s\n", rate, p99, bad ? " (" bad " not answered well)" : ""}'; }
for run in $(seq "${RUNS:-3}"); do
    echo "run $run"
    printf '  stoa    '; load "$api/v1/organizations/$organization" "$token" | figure
    printf '  fastify '; load "http://127.0.0.1:$port/v1/organizations/500" "$peer_token" | figure
done
kill "${pids[1]}"
echo "other requests while 64 clients sign in without pause"
cat > "$work/sign-in.lua" <<'LUA'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"email":"bench@example.org","password":"tUq7-vanille"}'
LUA
wrk -t1 -c64 -d"$(( ${SECONDS_EACH:-5} + 2 ))s" --timeout 30s --latency -s "$work/sign-in.lua" "$api/v1/auth/sign-in" > "$work/sign-ins" &
pids+=($!)
printf '  alone:         '; CONNECTIONS=4 load "$api/v1/organizations/$organization" "$token" | figure
wait "${pids[2]}"
printf '  the sign-ins:  '; figure < "$work/sign-ins"
