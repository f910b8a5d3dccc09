-- Who there is: users and what they sign in with, sessions, members, invitations, keys of programs, flags, credits.
-- What is sealed is bytea; times are microseconds since 1970, organization 0 is the installation.

ALTER TABLE organizations ADD COLUMN plan text COLLATE "C" NOT NULL DEFAULT 'unlimited';
ALTER TABLE organizations ADD COLUMN limits json NOT NULL DEFAULT '{}';
ALTER TABLE organizations ADD COLUMN mfa_required boolean NOT NULL DEFAULT false;

-- What the audit trail is asked for.
CREATE INDEX audit_entries_actor ON audit_entries (organization_id, actor, sequence);
CREATE INDEX audit_entries_action ON audit_entries (organization_id, action, sequence);

-- Users, sealed: found by a keyed hash of their address.
CREATE TABLE users (
    id                bigint  NOT NULL PRIMARY KEY,
    email             bytea   NOT NULL,
    email_key         bytea   NOT NULL,
    name              bytea,
    password_hash     bytea,
    email_verified_at bigint,
    state             text   COLLATE "C" NOT NULL,
    is_owner          boolean NOT NULL,
    version           bigint  NOT NULL,
    created_at        bigint  NOT NULL,
    updated_at        bigint  NOT NULL,
    CONSTRAINT users_email_key UNIQUE (email_key)
);

-- Signed-in devices. Only hashes of refresh tokens, but for the current one, which is sealed: it is given again to whoever lost the answer.
CREATE TABLE sessions (
    id               bigint  NOT NULL PRIMARY KEY,
    user_id          bigint  NOT NULL,
    organization_id  bigint,
    client           text   COLLATE "C" NOT NULL,
    methods          text   COLLATE "C" NOT NULL,
    is_pending       boolean NOT NULL,
    authenticated_at bigint  NOT NULL,
    refresh_hash     bytea   NOT NULL,
    parent_hash      bytea,
    current          bytea   NOT NULL,
    counter          bigint  NOT NULL,
    rotated_at       bigint  NOT NULL,
    last_used_day    bigint  NOT NULL,
    revoked_at       bigint,
    expires_at       bigint  NOT NULL,
    version          bigint  NOT NULL,
    created_at       bigint  NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_expires ON sessions (expires_at);

-- Secrets that work once.
CREATE TABLE tickets (
    id         bigint  NOT NULL PRIMARY KEY,
    kind       text   COLLATE "C" NOT NULL,
    user_id    bigint,
    hash       bytea   NOT NULL,
    payload    bytea   NOT NULL,
    expires_at bigint  NOT NULL,
    created_at bigint  NOT NULL
);
CREATE INDEX tickets_user ON tickets (user_id, kind);
CREATE INDEX tickets_expires ON tickets (expires_at);

-- Programs that wait to be let in by a person at a browser.
CREATE TABLE device_grants (
    id          bigint  NOT NULL PRIMARY KEY,
    device_hash bytea   NOT NULL,
    user_code   text   COLLATE "C" NOT NULL,
    client      text   COLLATE "C" NOT NULL,
    state       text   COLLATE "C" NOT NULL,
    user_id     bigint,
    methods     text   COLLATE "C" NOT NULL,
    polled_at   bigint  NOT NULL,
    expires_at  bigint  NOT NULL,
    version     bigint  NOT NULL,
    created_at  bigint  NOT NULL,
    CONSTRAINT device_grants_user_code_key UNIQUE (user_code)
);
CREATE INDEX device_grants_expires ON device_grants (expires_at);

-- Authenticator apps: one for each user.
CREATE TABLE authenticators (
    user_id      bigint  NOT NULL PRIMARY KEY,
    secret       bytea   NOT NULL,
    confirmed_at bigint,
    last_step    bigint  NOT NULL,
    failures     bigint  NOT NULL,
    locked_until bigint  NOT NULL,
    version      bigint  NOT NULL,
    created_at   bigint  NOT NULL
);

-- Recovery codes that are left.
CREATE TABLE recovery_codes (
    id         bigint  NOT NULL PRIMARY KEY,
    user_id    bigint  NOT NULL,
    hash       bytea   NOT NULL,
    created_at bigint  NOT NULL
);
CREATE INDEX recovery_codes_user ON recovery_codes (user_id);

-- Passkeys: credential ids are unique everywhere.
CREATE TABLE passkeys (
    id            bigint  NOT NULL PRIMARY KEY,
    user_id       bigint  NOT NULL,
    credential_id bytea   NOT NULL,
    credential    bytea   NOT NULL,
    name          bytea   NOT NULL,
    last_used_day bigint  NOT NULL,
    version       bigint  NOT NULL,
    created_at    bigint  NOT NULL,
    CONSTRAINT passkeys_credential_key UNIQUE (credential_id)
);
CREATE INDEX passkeys_user ON passkeys (user_id);

-- Accounts elsewhere that users sign in with: by issuer and a keyed hash of the subject, never by address.
CREATE TABLE links (
    id          bigint  NOT NULL PRIMARY KEY,
    user_id     bigint  NOT NULL,
    provider_id bigint  NOT NULL,
    issuer      text   COLLATE "C" NOT NULL,
    subject_key bytea   NOT NULL,
    label       bytea,
    created_at  bigint  NOT NULL,
    CONSTRAINT links_subject_key UNIQUE (issuer, subject_key)
);
CREATE INDEX links_user ON links (user_id);

-- Keys of the installation: of access tokens (published, then signing, then only verifying), and of what is looked up by a keyed hash.
CREATE TABLE installation_keys (
    id             bigint NOT NULL PRIMARY KEY,
    purpose        text   COLLATE "C" NOT NULL,
    generation     bigint NOT NULL,
    algorithm      text   COLLATE "C" NOT NULL,
    secret         bytea NOT NULL,
    signs_from     bigint NOT NULL,
    verifies_until bigint,
    version        bigint NOT NULL,
    created_at     bigint NOT NULL,
    CONSTRAINT installation_keys_generation_key UNIQUE (purpose, generation)
);

-- Users in organizations.
CREATE TABLE members (
    id              bigint  NOT NULL PRIMARY KEY,
    organization_id bigint  NOT NULL,
    user_id         bigint  NOT NULL,
    role            text   COLLATE "C" NOT NULL,
    version         bigint  NOT NULL,
    created_at      bigint  NOT NULL,
    updated_at      bigint  NOT NULL,
    CONSTRAINT members_user_key UNIQUE (organization_id, user_id)
);
CREATE INDEX members_user ON members (user_id);
SELECT stoa_protect('members', 'organization_id');

-- Offers to register (of organization 0), or to join an organization.
CREATE TABLE invitations (
    id              bigint  NOT NULL PRIMARY KEY,
    organization_id bigint  NOT NULL,
    email           bytea,
    email_key       bytea,
    role            text   COLLATE "C" NOT NULL,
    hash            bytea   NOT NULL,
    uses_left       bigint  NOT NULL,
    state           text   COLLATE "C" NOT NULL,
    invited_by      text   COLLATE "C" NOT NULL,
    expires_at      bigint  NOT NULL,
    version         bigint  NOT NULL,
    created_at      bigint  NOT NULL
);
CREATE INDEX invitations_organization ON invitations (organization_id, id);
SELECT stoa_protect('invitations', 'organization_id');

-- Permissions that an organization gives to a role, or takes from it.
CREATE TABLE grants (
    id              bigint  NOT NULL PRIMARY KEY,
    organization_id bigint  NOT NULL,
    role            text   COLLATE "C" NOT NULL,
    permission      text   COLLATE "C" NOT NULL,
    is_allowed      boolean NOT NULL,
    created_at      bigint  NOT NULL,
    CONSTRAINT grants_role_key UNIQUE (organization_id, role, permission)
);
SELECT stoa_protect('grants', 'organization_id');

-- Keys of programs: only hashes.
CREATE TABLE api_keys (
    id              bigint  NOT NULL PRIMARY KEY,
    organization_id bigint  NOT NULL,
    reference       text   COLLATE "C" NOT NULL,
    hash            bytea   NOT NULL,
    previous_hash   bytea,
    previous_until  bigint  NOT NULL,
    name            text   COLLATE "C" NOT NULL,
    scopes          json    NOT NULL,
    networks        json    NOT NULL,
    user_id         bigint  NOT NULL,
    rate_per_minute bigint,
    valid_until     bigint,
    last_used_day   bigint  NOT NULL,
    revoked_at      bigint,
    version         bigint  NOT NULL,
    created_at      bigint  NOT NULL,
    CONSTRAINT api_keys_reference_key UNIQUE (organization_id, reference)
);
CREATE INDEX api_keys_reference ON api_keys (reference);
SELECT stoa_protect('api_keys', 'organization_id');

-- Feature flags.
CREATE TABLE flags (
    id              bigint  NOT NULL PRIMARY KEY,
    organization_id bigint  NOT NULL,
    name            text   COLLATE "C" NOT NULL,
    about           text   COLLATE "C" NOT NULL,
    is_enabled      boolean NOT NULL,
    percentage      bigint  NOT NULL,
    version         bigint  NOT NULL,
    created_at      bigint  NOT NULL,
    updated_at      bigint  NOT NULL,
    CONSTRAINT flags_name_key UNIQUE (organization_id, name)
);
SELECT stoa_protect('flags', 'organization_id');

-- The ledger of credits: dense from 1, never changed.
CREATE TABLE credit_entries (
    id              bigint  NOT NULL PRIMARY KEY,
    organization_id bigint  NOT NULL,
    sequence        bigint  NOT NULL,
    amount          bigint  NOT NULL,
    balance         bigint  NOT NULL,
    reason          text   COLLATE "C" NOT NULL,
    created_at      bigint  NOT NULL,
    CONSTRAINT credit_entries_sequence_key UNIQUE (organization_id, sequence)
);
SELECT stoa_protect('credit_entries', 'organization_id');

-- Who vouches for accounts; of organization 0 for everybody.
CREATE TABLE identity_providers (
    id              bigint  NOT NULL PRIMARY KEY,
    organization_id bigint  NOT NULL,
    slug            text   COLLATE "C" NOT NULL,
    kind            text   COLLATE "C" NOT NULL,
    name            text   COLLATE "C" NOT NULL,
    issuer          text   COLLATE "C" NOT NULL,
    client_id       text   COLLATE "C" NOT NULL,
    client_secret   bytea   NOT NULL,
    is_enabled      boolean NOT NULL,
    version         bigint  NOT NULL,
    created_at      bigint  NOT NULL,
    updated_at      bigint  NOT NULL,
    CONSTRAINT identity_providers_slug_key UNIQUE (organization_id, slug)
);
SELECT stoa_protect('identity_providers', 'organization_id');

DROP TABLE jobs;
-- Jobs are sealed, and count their attempts. No released version has run any.
CREATE TABLE jobs (
    id              bigint  NOT NULL PRIMARY KEY,
    organization_id bigint  NOT NULL,
    queue           text   COLLATE "C" NOT NULL,
    kind            text   COLLATE "C" NOT NULL,
    payload         bytea   NOT NULL,
    priority        bigint  NOT NULL,
    run_at          bigint  NOT NULL,
    order_key       text   COLLATE "C",
    dedupe_key      text   COLLATE "C",
    context         json    NOT NULL,
    created_at      bigint  NOT NULL,
    attempts        bigint  NOT NULL,
    last_error      text   COLLATE "C",
    version         bigint  NOT NULL,
    CONSTRAINT jobs_dedupe_key UNIQUE (organization_id, queue, dedupe_key)
);
CREATE INDEX jobs_due ON jobs (run_at);
SELECT stoa_protect('jobs', 'organization_id');
