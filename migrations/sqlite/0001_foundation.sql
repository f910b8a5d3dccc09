-- What every part stands on: organizations, the event log, the audit trail, jobs, and the store's own bookkeeping.
-- Times are microseconds since 1970, ids 64-bit integers; organization 0 is the installation.

CREATE TABLE organizations (
    id            INTEGER NOT NULL PRIMARY KEY,
    slug          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    contact_email BLOB,
    settings      TEXT    NOT NULL CHECK (json_valid(settings)),
    state         TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    CONSTRAINT organizations_slug_key UNIQUE (slug)
) STRICT;

CREATE TABLE organization_keys (
    organization_id INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    master          TEXT    NOT NULL,
    wrapped         BLOB    NOT NULL,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (
    organization_id INTEGER NOT NULL,
    stream          TEXT    NOT NULL,
    epoch           INTEGER NOT NULL,
    head            INTEGER NOT NULL,
    PRIMARY KEY (organization_id, stream)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id                 INTEGER NOT NULL PRIMARY KEY,
    position           INTEGER,
    organization_id    INTEGER NOT NULL,
    stream             TEXT    NOT NULL,
    epoch              INTEGER NOT NULL,
    stream_offset      INTEGER NOT NULL,
    time               INTEGER NOT NULL,
    kind               TEXT    NOT NULL,
    version            INTEGER NOT NULL,
    actor              TEXT    NOT NULL CHECK (json_valid(actor)),
    aggregate_kind     TEXT    NOT NULL,
    aggregate_id       TEXT    NOT NULL,
    aggregate_version  INTEGER,
    client_mutation_id TEXT,
    traceparent        TEXT,
    payload            TEXT    NOT NULL CHECK (json_valid(payload)),
    CONSTRAINT events_position_key UNIQUE (position),
    CONSTRAINT events_stream_key UNIQUE (organization_id, stream, epoch, stream_offset)
) STRICT;
CREATE INDEX events_organization_position ON events (organization_id, position);

CREATE TABLE audit_heads (
    organization_id INTEGER NOT NULL PRIMARY KEY,
    sequence        INTEGER NOT NULL,
    hash            BLOB    NOT NULL
) STRICT;

CREATE TABLE audit_entries (
    organization_id INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    id              INTEGER NOT NULL,
    time            INTEGER NOT NULL,
    actor           TEXT    NOT NULL,
    action          TEXT    NOT NULL,
    target_kind     TEXT    NOT NULL,
    target          TEXT    NOT NULL,
    request         TEXT    NOT NULL,
    diff            TEXT    NOT NULL CHECK (json_valid(diff)),
    hash            BLOB    NOT NULL,
    PRIMARY KEY (organization_id, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_entries_target ON audit_entries (organization_id, target, sequence);

CREATE TABLE idempotency_keys (
    organization_id INTEGER NOT NULL,
    actor           TEXT    NOT NULL,
    key             TEXT    NOT NULL,
    fingerprint     BLOB    NOT NULL,
    status          INTEGER NOT NULL,
    headers         TEXT    NOT NULL CHECK (json_valid(headers)),
    body            BLOB    NOT NULL,
    expires_at      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, actor, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_at);

CREATE TABLE jobs (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    queue           TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    payload         TEXT    NOT NULL CHECK (json_valid(payload)),
    priority        INTEGER NOT NULL,
    run_at          INTEGER NOT NULL,
    order_key       TEXT,
    dedupe_key      TEXT,
    context         TEXT    NOT NULL CHECK (json_valid(context)),
    created_at      INTEGER NOT NULL,
    CONSTRAINT jobs_dedupe_key UNIQUE (organization_id, queue, dedupe_key)
) STRICT;

CREATE TABLE leases (
    name       TEXT    NOT NULL PRIMARY KEY,
    holder     TEXT    NOT NULL,
    token      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
