#!/usr/bin/env bash
# Sends what the OpenAPI document allows, and what it does not, to the platform on SQLite and on PostgreSQL: no answer may be a 5xx, of a
# status that the document does not know, or of another shape. Run it under `stoa-harness run`, which has a PostgreSQL server.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
stoa="$target/debug/stoa"
tool=$(realpath -m "$target/schemathesis")
if [ ! -x "$tool/bin/schemathesis" ]; then
    if ! { python3 -m venv "$tool" && "$tool/bin/pip" install --quiet --disable-pip-version-check 'schemathesis>=4.32,<5'; }; then
        echo "schemathesis cannot be installed here: the API is not fuzzed in this run" >&2
        rm -rf "$tool"
        exit 0
    fi
fi
work=$(mktemp -d)
platform=
finish() { [ -z "$platform" ] || kill "$platform" 2>/dev/null || true; rm -rf "$work"; }
trap finish EXIT
export STOA_LIMITS__BURST=1000000 STOA_LIMITS__PER_SECOND=1000000 STOA_LIMITS__ATTEMPTS_PER_MINUTE=1000000 LOG_LEVEL=warn
export STOA_IDENTITY__PASSWORD_MEMORY_KIB=8192 STOA_IDENTITY__PASSWORD_PASSES=1
export STOA_SECRETS__OPERATOR_TOKEN=stoa_op_for_fuzzing_the_api_only
# Nothing leaves the machine: webhook endpoints with whatever address are made, and nobody sends to them. Nobody works either, so whoever waits
# for work (`waitS`) waits as long as that says.
export MODE=api,scheduler
fuzz() {
    "$stoa" serve --listen 127.0.0.1:0 --data "$work/$1" > "$work/$1.screen" 2> "$work/$1.log" &
    platform=$!
    until grep -q '^Ctrl-C' "$work/$1.screen"; do kill -0 $platform || { cat "$work/$1.log" >&2; exit 1; }; done
    local api
    api=$(sed -n 's|^  API *\(http://.*\)/v1$|\1|p' "$work/$1.screen")
    echo "fuzzing the API on $1"
    # As the owner of the installation and of an organization: whom every operation is for, but for those that would end that.
    local secret token
    secret=$(sed 's/.*#//' "$work/$1/setup.link")
    token=$(curl -sS --json "{\"token\":\"$secret\",\"email\":\"fuzz@example.org\",\"password\":\"tUq7-vanille\",\"organizationName\":\"Fuzz\",\"organizationSlug\":\"fuzz\"}" \
        "$api/v1/auth/setup" | sed -n 's/.*"accessToken":"\([^"]*\)".*/\1/p')
    [ -n "$token" ] || { echo "the owner was not signed in" >&2; exit 1; }
    (cd "$work" && exec "$tool/bin/schemathesis" run "$api/openapi.json" --no-color -H "Authorization: Bearer $token" \
        --exclude-path /v1/events/stream --exclude-path /v1/notifications/stream --exclude-operation-id-regex '^(signOutEverywhere|leaveOrganization|transferOrganization|archiveOrganization|purgeOrganization)$' --max-examples "${EXAMPLES:-8}" --seed 1 --phases examples,coverage,fuzzing --request-timeout 70 \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
        > "$work/$1.report" 2>&1) || { cat "$work/$1.report" "$work/$1.log" >&2; exit 1; }
    grep -E "generated, " "$work/$1.report"
    kill -TERM $platform
    wait $platform
    platform=
}
fuzz sqlite
database="fuzz_$$"
psql -X -q -h 127.0.0.1 -p "$STOA_TEST_POSTGRES_PORT" -U postgres -d postgres -c "CREATE DATABASE $database OWNER stoa_owner"
psql -X -q -h 127.0.0.1 -p "$STOA_TEST_POSTGRES_PORT" -U postgres -d "$database" -c "GRANT CREATE ON SCHEMA public TO stoa_owner"
export DATABASE_URL="postgres://stoa@127.0.0.1:$STOA_TEST_POSTGRES_PORT/$database"
export DATABASE_OWNER_URL="postgres://stoa_owner@127.0.0.1:$STOA_TEST_POSTGRES_PORT/$database"
export STOA_SECRETS__MASTER_KEYS=fuzz:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
fuzz postgres
