-- Webhooks: where events are sent, what became of each, and what others send.

CREATE TABLE webhook_endpoints (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    url             BLOB    NOT NULL,
    patterns        TEXT    NOT NULL CHECK (json_valid(patterns)),
    secret          BLOB    NOT NULL,
    previous_secret BLOB,
    previous_until  INTEGER,
    headers         BLOB    NOT NULL,
    description     TEXT    NOT NULL,
    timeout_s       INTEGER NOT NULL,
    disabled_at     INTEGER,
    disabled_reason TEXT,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_endpoints_organization ON webhook_endpoints (organization_id, id);

CREATE TABLE webhook_states (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    failing_since   INTEGER,
    version         INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_states_organization ON webhook_states (organization_id, id);

CREATE TABLE webhook_deliveries (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    endpoint_id     INTEGER NOT NULL,
    event_id        INTEGER,
    kind            TEXT    NOT NULL,
    webhook_id      TEXT    NOT NULL,
    payload         BLOB    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
    attempts        INTEGER NOT NULL,
    last_status     INTEGER,
    next_at         INTEGER,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    expires_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (organization_id, endpoint_id, id);
CREATE INDEX webhook_deliveries_expires ON webhook_deliveries (expires_at);

CREATE TABLE webhook_attempts (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    delivery_id     INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    duration_ms     INTEGER NOT NULL,
    status          INTEGER,
    error           TEXT,
    excerpt         BLOB,
    expires_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_attempts_delivery ON webhook_attempts (organization_id, delivery_id, id);
CREATE INDEX webhook_attempts_expires ON webhook_attempts (expires_at);

CREATE TABLE hook_sources (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    name            TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    secret          BLOB    NOT NULL,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX hook_sources_organization ON hook_sources (organization_id, id);

CREATE TABLE hooks (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    source_id       INTEGER NOT NULL,
    external_id     TEXT    NOT NULL,
    body            BLOB    NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    CONSTRAINT hooks_external_key UNIQUE (organization_id, source_id, external_id)
) STRICT;
CREATE INDEX hooks_expires ON hooks (expires_at);
