-- Durable workflows: runs, their journals, and signals that came before anybody waited for them.

CREATE TABLE workflow_runs (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    workflow        text COLLATE "C" NOT NULL,
    definition      bigint NOT NULL,
    state           text COLLATE "C" NOT NULL CHECK (state IN ('running', 'compensating', 'completed', 'failed', 'cancelled', 'stopped')),
    key             text COLLATE "C",
    input           bytea NOT NULL,
    output          bytea,
    error           text COLLATE "C",
    parent_run_id   bigint,
    parent_step     text COLLATE "C",
    forked_from     bigint,
    cancel_at       bigint,
    context         json NOT NULL,
    created_at      bigint NOT NULL,
    finished_at     bigint,
    expires_at      bigint,
    version         bigint NOT NULL
);
SELECT stoa_protect('workflow_runs', 'organization_id');
CREATE UNIQUE INDEX workflow_runs_key ON workflow_runs (organization_id, workflow, key) WHERE key IS NOT NULL;
CREATE INDEX workflow_runs_organization ON workflow_runs (organization_id, id);
CREATE INDEX workflow_runs_expires ON workflow_runs (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE workflow_steps (
    run_id          bigint NOT NULL,
    step            text COLLATE "C" NOT NULL,
    organization_id bigint NOT NULL,
    sequence        bigint NOT NULL,
    what            text COLLATE "C" NOT NULL CHECK (what IN ('activity', 'timer', 'signal', 'child')),
    name            text COLLATE "C" NOT NULL,
    input           bytea NOT NULL,
    policy          json NOT NULL,
    undo            json NOT NULL,
    state           text COLLATE "C" NOT NULL CHECK (state IN ('running', 'completed', 'failed', 'cancelled', 'undoing', 'undone', 'undo_failed')),
    output          bytea,
    error           text COLLATE "C",
    attempts        bigint NOT NULL,
    child_run_id    bigint,
    wake_at         bigint,
    started_at      bigint NOT NULL,
    finished_at     bigint,
    expires_at      bigint,
    version         bigint NOT NULL,
    PRIMARY KEY (run_id, step)
);
SELECT stoa_protect('workflow_steps', 'organization_id');
CREATE INDEX workflow_steps_organization ON workflow_steps (organization_id, run_id);
CREATE INDEX workflow_steps_expires ON workflow_steps (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE workflow_signals (
    id              bigint NOT NULL PRIMARY KEY,
    run_id          bigint NOT NULL,
    organization_id bigint NOT NULL,
    name            text COLLATE "C" NOT NULL,
    payload         bytea NOT NULL,
    created_at      bigint NOT NULL,
    expires_at      bigint NOT NULL
);
SELECT stoa_protect('workflow_signals', 'organization_id');
CREATE INDEX workflow_signals_run ON workflow_signals (run_id, name, id);
CREATE INDEX workflow_signals_organization ON workflow_signals (organization_id, id);
CREATE INDEX workflow_signals_expires ON workflow_signals (expires_at);
