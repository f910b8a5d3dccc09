-- What enqueues jobs by the clock: a schedule, and beside it where it stands.

CREATE TABLE schedules (
    id              bigint  NOT NULL PRIMARY KEY,
    organization_id bigint  NOT NULL,
    name            text    COLLATE "C" NOT NULL,
    kind            text    COLLATE "C" NOT NULL,
    queue           text    COLLATE "C" NOT NULL,
    payload         bytea   NOT NULL,
    priority        bigint  NOT NULL CHECK (priority BETWEEN 0 AND 3),
    timing          json    NOT NULL,
    misfire         text    COLLATE "C" NOT NULL CHECK (misfire IN ('run_once', 'skip', 'catch_up')),
    catch_up_max    bigint  NOT NULL,
    overlap         text    COLLATE "C" NOT NULL CHECK (overlap IN ('allow', 'skip', 'queue')),
    jitter_s        bigint  NOT NULL,
    paused_at       bigint,
    context         json    NOT NULL,
    is_own          boolean NOT NULL,
    version         bigint  NOT NULL,
    created_at      bigint  NOT NULL,
    updated_at      bigint  NOT NULL,
    CONSTRAINT schedules_name_key UNIQUE (organization_id, name)
);
SELECT stoa_protect('schedules', 'organization_id');

CREATE TABLE schedule_clocks (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    next_at         bigint NOT NULL,
    last_at         bigint,
    last_job_id     bigint,
    fired           bigint NOT NULL,
    skipped         bigint NOT NULL,
    version         bigint NOT NULL
) WITH (fillfactor = 70);
SELECT stoa_protect('schedule_clocks', 'organization_id');
CREATE INDEX schedule_clocks_next ON schedule_clocks (next_at, id);
CREATE INDEX schedule_clocks_organization ON schedule_clocks (organization_id, id);
