-- What people are told, where, and how often.

CREATE TABLE notifications (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    user_id         bigint NOT NULL,
    template        text COLLATE "C" NOT NULL,
    variables       bytea NOT NULL,
    dedupe_key      text COLLATE "C",
    is_shown        boolean NOT NULL,
    read_at         bigint,
    created_at      bigint NOT NULL,
    expires_at      bigint NOT NULL,
    version         bigint NOT NULL
);
SELECT stoa_protect('notifications', 'organization_id');
CREATE UNIQUE INDEX notifications_dedupe_key ON notifications (organization_id, user_id, dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX notifications_user ON notifications (user_id, id) WHERE is_shown;
CREATE INDEX notifications_organization ON notifications (organization_id, id);
CREATE INDEX notifications_expires ON notifications (expires_at);

CREATE TABLE notification_deliveries (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    notification_id bigint NOT NULL,
    user_id         bigint NOT NULL,
    channel         text COLLATE "C" NOT NULL,
    state           text COLLATE "C" NOT NULL CHECK (state IN ('queued', 'digest', 'sending', 'delivered', 'failed', 'dead')),
    attempts        bigint NOT NULL,
    error           text COLLATE "C",
    next_at         bigint NOT NULL,
    created_at      bigint NOT NULL,
    finished_at     bigint,
    expires_at      bigint NOT NULL,
    version         bigint NOT NULL
);
SELECT stoa_protect('notification_deliveries', 'organization_id');
CREATE INDEX notification_deliveries_digest ON notification_deliveries (next_at, id) WHERE state = 'digest';
CREATE INDEX notification_deliveries_state ON notification_deliveries (state, id) WHERE state IN ('failed', 'dead');
CREATE INDEX notification_deliveries_organization ON notification_deliveries (organization_id, id);
CREATE INDEX notification_deliveries_expires ON notification_deliveries (expires_at);

CREATE TABLE notification_preferences (
    user_id  bigint NOT NULL,
    template text COLLATE "C" NOT NULL,
    channel  text COLLATE "C" NOT NULL,
    is_on    boolean NOT NULL,
    version  bigint NOT NULL,
    PRIMARY KEY (user_id, template, channel)
);

CREATE TABLE notification_settings (
    user_id    bigint NOT NULL PRIMARY KEY,
    mute_until bigint,
    digest     text COLLATE "C" NOT NULL,
    version    bigint NOT NULL
);
