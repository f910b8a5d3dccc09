-- Who follows the log, and which events have been taken.

CREATE TABLE event_cursors (
    name       TEXT    NOT NULL PRIMARY KEY,
    position   INTEGER NOT NULL,
    mark       TEXT,
    version    INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE processed_events (
    organization_id INTEGER NOT NULL,
    consumer        TEXT    NOT NULL,
    event_id        INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, consumer, event_id)
) STRICT;
CREATE INDEX processed_events_expires ON processed_events (expires_at);
