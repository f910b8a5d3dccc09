-- What people are told, where, and how often.

CREATE TABLE notifications (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    user_id         INTEGER NOT NULL,
    template        TEXT    NOT NULL,
    variables       BLOB    NOT NULL,
    dedupe_key      TEXT,
    is_shown        INTEGER NOT NULL CHECK (is_shown IN (0, 1)),
    read_at         INTEGER,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX notifications_dedupe_key ON notifications (organization_id, user_id, dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX notifications_user ON notifications (user_id, id) WHERE is_shown;
CREATE INDEX notifications_organization ON notifications (organization_id, id);
CREATE INDEX notifications_expires ON notifications (expires_at);

CREATE TABLE notification_deliveries (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    notification_id INTEGER NOT NULL,
    user_id         INTEGER NOT NULL,
    channel         TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('queued', 'digest', 'sending', 'delivered', 'failed', 'dead')),
    attempts        INTEGER NOT NULL,
    error           TEXT,
    next_at         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    expires_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL
) STRICT;
CREATE INDEX notification_deliveries_digest ON notification_deliveries (next_at, id) WHERE state = 'digest';
CREATE INDEX notification_deliveries_state ON notification_deliveries (state, id) WHERE state IN ('failed', 'dead');
CREATE INDEX notification_deliveries_organization ON notification_deliveries (organization_id, id);
CREATE INDEX notification_deliveries_expires ON notification_deliveries (expires_at);

CREATE TABLE notification_preferences (
    user_id  INTEGER NOT NULL,
    template TEXT    NOT NULL,
    channel  TEXT    NOT NULL,
    is_on    INTEGER NOT NULL CHECK (is_on IN (0, 1)),
    version  INTEGER NOT NULL,
    PRIMARY KEY (user_id, template, channel)
) STRICT;

CREATE TABLE notification_settings (
    user_id    INTEGER NOT NULL PRIMARY KEY,
    mute_until INTEGER,
    digest     TEXT    NOT NULL,
    version    INTEGER NOT NULL
) STRICT;
