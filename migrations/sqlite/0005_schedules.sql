-- What enqueues jobs by the clock: a schedule, and beside it where it stands.

CREATE TABLE schedules (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    name            TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    queue           TEXT    NOT NULL,
    payload         BLOB    NOT NULL,
    priority        INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 3),
    timing          TEXT    NOT NULL CHECK (json_valid(timing)),
    misfire         TEXT    NOT NULL CHECK (misfire IN ('run_once', 'skip', 'catch_up')),
    catch_up_max    INTEGER NOT NULL,
    overlap         TEXT    NOT NULL CHECK (overlap IN ('allow', 'skip', 'queue')),
    jitter_s        INTEGER NOT NULL,
    paused_at       INTEGER,
    context         TEXT    NOT NULL CHECK (json_valid(context)),
    is_own          INTEGER NOT NULL CHECK (is_own IN (0, 1)),
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    CONSTRAINT schedules_name_key UNIQUE (organization_id, name)
) STRICT;

CREATE TABLE schedule_clocks (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    next_at         INTEGER NOT NULL,
    last_at         INTEGER,
    last_job_id     INTEGER,
    fired           INTEGER NOT NULL,
    skipped         INTEGER NOT NULL,
    version         INTEGER NOT NULL
) STRICT;
CREATE INDEX schedule_clocks_next ON schedule_clocks (next_at, id);
CREATE INDEX schedule_clocks_organization ON schedule_clocks (organization_id, id);
