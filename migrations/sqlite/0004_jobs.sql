-- Jobs as the engine runs them: claimed by a lease with a fencing token, one at a time for a mailbox, moved aside when they end.

ALTER TABLE jobs RENAME TO jobs_before;
DROP INDEX jobs_due;
CREATE TABLE jobs (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    queue           TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    payload         BLOB    NOT NULL,
    priority        INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 3),
    state           TEXT    NOT NULL CHECK (state IN ('ready', 'scheduled', 'waiting', 'running', 'failed', 'holding')),
    sequence        INTEGER NOT NULL,
    run_at          INTEGER NOT NULL,
    order_key       TEXT,
    dedupe_key      TEXT,
    batch_key       TEXT,
    context         TEXT    NOT NULL CHECK (json_valid(context)),
    created_at      INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    replays         INTEGER NOT NULL,
    holder          TEXT,
    lease_until     INTEGER,
    started_at      INTEGER,
    cancel_at       INTEGER,
    progress        INTEGER NOT NULL,
    message         TEXT,
    errors          TEXT    NOT NULL CHECK (json_valid(errors)),
    reason          TEXT,
    failed_at       INTEGER,
    expires_at      INTEGER,
    version         INTEGER NOT NULL
) STRICT;
INSERT INTO jobs SELECT id, organization_id, queue, kind, payload, priority,
    CASE WHEN run_at = 9223372036854775807 THEN 'failed' ELSE 'scheduled' END, id, run_at, order_key,
    CASE WHEN run_at = 9223372036854775807 THEN NULL ELSE dedupe_key END, NULL, context, created_at, attempts, 0, NULL, NULL, NULL, NULL,
    0, NULL, '[]', CASE WHEN run_at = 9223372036854775807 THEN 'attempts_exhausted' END,
    CASE WHEN run_at = 9223372036854775807 THEN created_at END, NULL, version
    FROM jobs_before;
DROP TABLE jobs_before;
-- What can be claimed: a lane is a queue and a priority, and in it every organization has its turn.
CREATE INDEX jobs_ready ON jobs (queue, priority, organization_id, sequence) WHERE state = 'ready';
CREATE UNIQUE INDEX jobs_dedupe_key ON jobs (organization_id, queue, dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX jobs_scheduled ON jobs (run_at) WHERE state = 'scheduled';
CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_mailbox ON jobs (organization_id, order_key, sequence) WHERE order_key IS NOT NULL;
CREATE INDEX jobs_batch ON jobs (organization_id, batch_key) WHERE batch_key IS NOT NULL;
CREATE INDEX jobs_failed ON jobs (organization_id, id) WHERE state IN ('failed', 'holding');
CREATE INDEX jobs_expires ON jobs (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX jobs_organization ON jobs (organization_id, id);

CREATE TABLE finished_jobs (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    queue           TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    priority        INTEGER NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('completed', 'cancelled')),
    batch_key       TEXT,
    context         TEXT    NOT NULL CHECK (json_valid(context)),
    created_at      INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    started_at      INTEGER,
    finished_at     INTEGER NOT NULL,
    message         TEXT,
    errors          TEXT    NOT NULL CHECK (json_valid(errors)),
    result          BLOB,
    expires_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL
) STRICT;
CREATE INDEX finished_jobs_organization ON finished_jobs (organization_id, id);
CREATE INDEX finished_jobs_batch ON finished_jobs (organization_id, batch_key) WHERE batch_key IS NOT NULL;
CREATE INDEX finished_jobs_expires ON finished_jobs (expires_at);

CREATE TABLE queues (
    name            TEXT    NOT NULL PRIMARY KEY,
    paused_at       INTEGER,
    concurrency_max INTEGER,
    version         INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;

-- Organizations whose jobs wait until they are let go on.
CREATE TABLE job_holds (
    organization_id INTEGER NOT NULL PRIMARY KEY,
    created_at      INTEGER NOT NULL
) STRICT;
INSERT INTO job_holds SELECT id, updated_at FROM organizations WHERE state IN ('suspended', 'archived');
