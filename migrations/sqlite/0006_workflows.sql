-- Durable workflows: runs, their journals, and signals that came before anybody waited for them.

CREATE TABLE workflow_runs (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    workflow        TEXT    NOT NULL,
    definition      INTEGER NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('running', 'compensating', 'completed', 'failed', 'cancelled', 'stopped')),
    key             TEXT,
    input           BLOB    NOT NULL,
    output          BLOB,
    error           TEXT,
    parent_run_id   INTEGER,
    parent_step     TEXT,
    forked_from     INTEGER,
    cancel_at       INTEGER,
    context         TEXT    NOT NULL CHECK (json_valid(context)),
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    expires_at      INTEGER,
    version         INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX workflow_runs_key ON workflow_runs (organization_id, workflow, key) WHERE key IS NOT NULL;
CREATE INDEX workflow_runs_organization ON workflow_runs (organization_id, id);
CREATE INDEX workflow_runs_expires ON workflow_runs (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE workflow_steps (
    run_id          INTEGER NOT NULL,
    step            TEXT    NOT NULL,
    organization_id INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    what            TEXT    NOT NULL CHECK (what IN ('activity', 'timer', 'signal', 'child')),
    name            TEXT    NOT NULL,
    input           BLOB    NOT NULL,
    policy          TEXT    NOT NULL CHECK (json_valid(policy)),
    undo            TEXT    NOT NULL CHECK (json_valid(undo)),
    state           TEXT    NOT NULL CHECK (state IN ('running', 'completed', 'failed', 'cancelled', 'undoing', 'undone', 'undo_failed')),
    output          BLOB,
    error           TEXT,
    attempts        INTEGER NOT NULL,
    child_run_id    INTEGER,
    wake_at         INTEGER,
    started_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    expires_at      INTEGER,
    version         INTEGER NOT NULL,
    PRIMARY KEY (run_id, step)
) STRICT;
CREATE INDEX workflow_steps_organization ON workflow_steps (organization_id, run_id);
CREATE INDEX workflow_steps_expires ON workflow_steps (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE workflow_signals (
    id              INTEGER NOT NULL PRIMARY KEY,
    run_id          INTEGER NOT NULL,
    organization_id INTEGER NOT NULL,
    name            TEXT    NOT NULL,
    payload         BLOB    NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX workflow_signals_run ON workflow_signals (run_id, name, id);
CREATE INDEX workflow_signals_organization ON workflow_signals (organization_id, id);
CREATE INDEX workflow_signals_expires ON workflow_signals (expires_at);
