-- Who follows the log, and which events have been taken.

CREATE TABLE event_cursors (
    name       text   COLLATE "C" NOT NULL PRIMARY KEY,
    position   bigint NOT NULL,
    mark       text   COLLATE "C",
    version    bigint NOT NULL,
    updated_at bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE processed_events (
    organization_id bigint NOT NULL,
    consumer        text   COLLATE "C" NOT NULL,
    event_id        bigint NOT NULL,
    expires_at      bigint NOT NULL,
    PRIMARY KEY (organization_id, consumer, event_id)
);
SELECT stoa_protect('processed_events', 'organization_id');
CREATE INDEX processed_events_expires ON processed_events (expires_at);
