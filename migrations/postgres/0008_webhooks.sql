-- Webhooks: where events are sent, what became of each, and what others send.

CREATE TABLE webhook_endpoints (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    url             bytea NOT NULL,
    patterns        json NOT NULL,
    secret          bytea NOT NULL,
    previous_secret bytea,
    previous_until  bigint,
    headers         bytea NOT NULL,
    description     text COLLATE "C" NOT NULL,
    timeout_s       bigint NOT NULL,
    disabled_at     bigint,
    disabled_reason text COLLATE "C",
    version         bigint NOT NULL,
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL
);
SELECT stoa_protect('webhook_endpoints', 'organization_id');
CREATE INDEX webhook_endpoints_organization ON webhook_endpoints (organization_id, id);

CREATE TABLE webhook_states (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    failing_since   bigint,
    version         bigint NOT NULL
);
SELECT stoa_protect('webhook_states', 'organization_id');
CREATE INDEX webhook_states_organization ON webhook_states (organization_id, id);

CREATE TABLE webhook_deliveries (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    endpoint_id     bigint NOT NULL,
    event_id        bigint,
    kind            text COLLATE "C" NOT NULL,
    webhook_id      text COLLATE "C" NOT NULL,
    payload         bytea NOT NULL,
    state           text COLLATE "C" NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
    attempts        bigint NOT NULL,
    last_status     bigint,
    next_at         bigint,
    created_at      bigint NOT NULL,
    finished_at     bigint,
    expires_at      bigint NOT NULL,
    version         bigint NOT NULL
);
SELECT stoa_protect('webhook_deliveries', 'organization_id');
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (organization_id, endpoint_id, id);
CREATE INDEX webhook_deliveries_expires ON webhook_deliveries (expires_at);

CREATE TABLE webhook_attempts (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    delivery_id     bigint NOT NULL,
    attempt         bigint NOT NULL,
    at              bigint NOT NULL,
    duration_ms     bigint NOT NULL,
    status          bigint,
    error           text COLLATE "C",
    excerpt         bytea,
    expires_at      bigint NOT NULL
);
SELECT stoa_protect('webhook_attempts', 'organization_id');
CREATE INDEX webhook_attempts_delivery ON webhook_attempts (organization_id, delivery_id, id);
CREATE INDEX webhook_attempts_expires ON webhook_attempts (expires_at);

CREATE TABLE hook_sources (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    name            text COLLATE "C" NOT NULL,
    kind            text COLLATE "C" NOT NULL,
    secret          bytea NOT NULL,
    version         bigint NOT NULL,
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL
);
SELECT stoa_protect('hook_sources', 'organization_id');
CREATE INDEX hook_sources_organization ON hook_sources (organization_id, id);

CREATE TABLE hooks (
    id              bigint NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    source_id       bigint NOT NULL,
    external_id     text COLLATE "C" NOT NULL,
    body            bytea NOT NULL,
    created_at      bigint NOT NULL,
    expires_at      bigint NOT NULL,
    CONSTRAINT hooks_external_key UNIQUE (organization_id, source_id, external_id)
);
SELECT stoa_protect('hooks', 'organization_id');
CREATE INDEX hooks_expires ON hooks (expires_at);
