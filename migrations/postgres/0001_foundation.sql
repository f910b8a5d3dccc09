-- What every part stands on: organizations, the event log, the audit trail, jobs, and the store's own bookkeeping.
-- Times are microseconds since 1970, ids 64-bit integers; organization 0 is the installation.
-- Text is ordered by bytes everywhere, as on SQLite.

-- Refuses a commit when a statement touched another number of rows than it states.
CREATE FUNCTION stoa_expect(touched bigint, minimum bigint, maximum bigint, name text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF touched < minimum OR touched > maximum THEN
        RAISE EXCEPTION 'expected % to % rows, found %', minimum, maximum, touched
            USING ERRCODE = 'ST001', CONSTRAINT = name;
    END IF;
END
$$;

-- Row-level security of a table whose rows belong to organizations. The scope is set in every transaction; without one there
-- are no rows. The sub-selects are evaluated once for a statement, not once for a row.
CREATE FUNCTION stoa_protect(protected regclass, tenant name) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    condition text := format(
        '(SELECT current_setting(''stoa.system'', true)) = ''on'' OR '
        '%I = (SELECT nullif(current_setting(''stoa.organization'', true), '''')::bigint)', tenant);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', protected);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', protected);
    EXECUTE format('CREATE POLICY scope ON %s USING (%s) WITH CHECK (%s)', protected, condition, condition);
END
$$;

CREATE TABLE organizations (
    id            bigint NOT NULL PRIMARY KEY,
    slug          text   COLLATE "C" NOT NULL,
    name          text   COLLATE "C" NOT NULL,
    contact_email bytea,
    settings      json   NOT NULL,
    state         text   COLLATE "C" NOT NULL,
    version       bigint NOT NULL,
    created_at    bigint NOT NULL,
    updated_at    bigint NOT NULL,
    CONSTRAINT organizations_slug_key UNIQUE (slug)
);
SELECT stoa_protect('organizations', 'id');

CREATE TABLE organization_keys (
    organization_id bigint NOT NULL,
    version         bigint NOT NULL,
    master          text   COLLATE "C" NOT NULL,
    wrapped         bytea  NOT NULL,
    created_at      bigint NOT NULL,
    PRIMARY KEY (organization_id, version)
);
SELECT stoa_protect('organization_keys', 'organization_id');

CREATE TABLE streams (
    organization_id bigint NOT NULL,
    stream          text   COLLATE "C" NOT NULL,
    epoch           bigint NOT NULL,
    head            bigint NOT NULL,
    PRIMARY KEY (organization_id, stream)
) WITH (fillfactor = 70);
SELECT stoa_protect('streams', 'organization_id');

CREATE TABLE events (
    id                 bigint NOT NULL PRIMARY KEY,
    position           bigint,
    organization_id    bigint NOT NULL,
    stream             text   COLLATE "C" NOT NULL,
    epoch              bigint NOT NULL,
    stream_offset      bigint NOT NULL,
    time               bigint NOT NULL,
    kind               text   COLLATE "C" NOT NULL,
    version            bigint NOT NULL,
    actor              json   NOT NULL,
    aggregate_kind     text   COLLATE "C" NOT NULL,
    aggregate_id       text   COLLATE "C" NOT NULL,
    aggregate_version  bigint,
    client_mutation_id text   COLLATE "C",
    traceparent        text   COLLATE "C",
    payload            json   NOT NULL,
    CONSTRAINT events_position_key UNIQUE (position),
    CONSTRAINT events_stream_key UNIQUE (organization_id, stream, epoch, stream_offset)
);
CREATE INDEX events_organization_position ON events (organization_id, position);
-- What the sequencer has not numbered yet; empty most of the time.
CREATE INDEX events_unnumbered ON events (id) WHERE position IS NULL;
SELECT stoa_protect('events', 'organization_id');

CREATE TABLE audit_heads (
    organization_id bigint NOT NULL PRIMARY KEY,
    sequence        bigint NOT NULL,
    hash            bytea  NOT NULL
) WITH (fillfactor = 70);
SELECT stoa_protect('audit_heads', 'organization_id');

CREATE TABLE audit_entries (
    organization_id bigint NOT NULL,
    sequence        bigint NOT NULL,
    id              bigint NOT NULL,
    time            bigint NOT NULL,
    actor           text   COLLATE "C" NOT NULL,
    action          text   COLLATE "C" NOT NULL,
    target_kind     text   COLLATE "C" NOT NULL,
    target          text   COLLATE "C" NOT NULL,
    request         text   COLLATE "C" NOT NULL,
    diff            json   NOT NULL,
    hash            bytea  NOT NULL,
    PRIMARY KEY (organization_id, sequence)
);
CREATE INDEX audit_entries_target ON audit_entries (organization_id, target, sequence);
SELECT stoa_protect('audit_entries', 'organization_id');

CREATE TABLE idempotency_keys (
    organization_id bigint NOT NULL,
    actor           text   COLLATE "C" NOT NULL,
    key             text   COLLATE "C" NOT NULL,
    fingerprint     bytea  NOT NULL,
    status          bigint NOT NULL,
    headers         json   NOT NULL,
    body            bytea  NOT NULL,
    expires_at      bigint NOT NULL,
    PRIMARY KEY (organization_id, actor, key)
);
CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_at);
SELECT stoa_protect('idempotency_keys', 'organization_id');

CREATE TABLE jobs (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    queue           text   COLLATE "C" NOT NULL,
    kind            text   COLLATE "C" NOT NULL,
    payload         json   NOT NULL,
    priority        bigint NOT NULL,
    run_at          bigint NOT NULL,
    order_key       text   COLLATE "C",
    dedupe_key      text   COLLATE "C",
    context         json   NOT NULL,
    created_at      bigint NOT NULL,
    CONSTRAINT jobs_dedupe_key UNIQUE (organization_id, queue, dedupe_key)
);
SELECT stoa_protect('jobs', 'organization_id');

CREATE TABLE leases (
    name       text   COLLATE "C" NOT NULL PRIMARY KEY,
    holder     text   COLLATE "C" NOT NULL,
    token      bigint NOT NULL,
    expires_at bigint NOT NULL
);
