-- Jobs as the engine runs them: claimed by a lease with a fencing token, one at a time for a mailbox, moved aside when they end.

SELECT set_config('stoa.system', 'on', true);
ALTER TABLE jobs RENAME TO jobs_before;
ALTER TABLE jobs_before RENAME CONSTRAINT jobs_dedupe_key TO jobs_before_dedupe_key;
ALTER INDEX jobs_pkey RENAME TO jobs_before_pkey;
CREATE SEQUENCE jobs_sequence;
CREATE TABLE jobs (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    queue           text   COLLATE "C" NOT NULL,
    kind            text   COLLATE "C" NOT NULL,
    payload         bytea   NOT NULL,
    priority        bigint NOT NULL CHECK (priority BETWEEN 0 AND 3),
    state           text   COLLATE "C" NOT NULL CHECK (state IN ('ready', 'scheduled', 'waiting', 'running', 'failed', 'holding')),
    sequence        bigint NOT NULL DEFAULT nextval('jobs_sequence'),
    run_at          bigint NOT NULL,
    order_key       text   COLLATE "C",
    dedupe_key      text   COLLATE "C",
    batch_key       text   COLLATE "C",
    context         json   NOT NULL,
    created_at      bigint NOT NULL,
    attempts        bigint NOT NULL,
    replays         bigint NOT NULL,
    holder          text   COLLATE "C",
    lease_until     bigint,
    started_at      bigint,
    cancel_at       bigint,
    progress        bigint NOT NULL,
    message         text   COLLATE "C",
    errors          json   NOT NULL,
    reason          text   COLLATE "C",
    failed_at       bigint,
    expires_at      bigint,
    version         bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
INSERT INTO jobs SELECT id, organization_id, queue, kind, payload, priority,
    CASE WHEN run_at = 9223372036854775807 THEN 'failed' ELSE 'scheduled' END, nextval('jobs_sequence'), run_at, order_key,
    CASE WHEN run_at = 9223372036854775807 THEN NULL ELSE dedupe_key END, NULL, context, created_at, attempts, 0, NULL, NULL, NULL, NULL,
    0, NULL, '[]', CASE WHEN run_at = 9223372036854775807 THEN 'attempts_exhausted' END,
    CASE WHEN run_at = 9223372036854775807 THEN created_at END, NULL, version
    FROM jobs_before ORDER BY id;
DROP TABLE jobs_before;
SELECT stoa_protect('jobs', 'organization_id');
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
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    queue           text   COLLATE "C" NOT NULL,
    kind            text   COLLATE "C" NOT NULL,
    priority        bigint NOT NULL,
    state           text   COLLATE "C" NOT NULL CHECK (state IN ('completed', 'cancelled')),
    batch_key       text   COLLATE "C",
    context         json   NOT NULL,
    created_at      bigint NOT NULL,
    attempts        bigint NOT NULL,
    started_at      bigint,
    finished_at     bigint NOT NULL,
    message         text   COLLATE "C",
    errors          json   NOT NULL,
    result          bytea,
    expires_at      bigint NOT NULL,
    version         bigint NOT NULL
);
SELECT stoa_protect('finished_jobs', 'organization_id');
CREATE INDEX finished_jobs_organization ON finished_jobs (organization_id, id);
CREATE INDEX finished_jobs_batch ON finished_jobs (organization_id, batch_key) WHERE batch_key IS NOT NULL;
CREATE INDEX finished_jobs_expires ON finished_jobs (expires_at);

CREATE TABLE queues (
    name            text   COLLATE "C" NOT NULL PRIMARY KEY,
    paused_at       bigint,
    concurrency_max bigint,
    version         bigint NOT NULL,
    updated_at      bigint NOT NULL
);

-- Organizations whose jobs wait until they are let go on.
CREATE TABLE job_holds (
    organization_id bigint NOT NULL PRIMARY KEY,
    created_at      bigint NOT NULL
);
SELECT stoa_protect('job_holds', 'organization_id');
INSERT INTO job_holds SELECT id, updated_at FROM organizations WHERE state IN ('suspended', 'archived');
