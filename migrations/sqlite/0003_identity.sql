-- Who there is: users and what they sign in with, sessions, members, invitations, keys of programs, flags, credits.
-- What is sealed is BLOB; times are microseconds since 1970, organization 0 is the installation.

ALTER TABLE organizations ADD COLUMN plan TEXT NOT NULL DEFAULT 'unlimited';
ALTER TABLE organizations ADD COLUMN limits TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(limits));
ALTER TABLE organizations ADD COLUMN mfa_required INTEGER NOT NULL DEFAULT 0 CHECK (mfa_required IN (0, 1));

-- What the audit trail is asked for.
CREATE INDEX audit_entries_actor ON audit_entries (organization_id, actor, sequence);
CREATE INDEX audit_entries_action ON audit_entries (organization_id, action, sequence);

-- Users, sealed: found by a keyed hash of their address.
CREATE TABLE users (
    id                INTEGER NOT NULL PRIMARY KEY,
    email             BLOB    NOT NULL,
    email_key         BLOB    NOT NULL,
    name              BLOB,
    password_hash     BLOB,
    email_verified_at INTEGER,
    state             TEXT    NOT NULL,
    is_owner          INTEGER NOT NULL CHECK (is_owner IN (0, 1)),
    version           INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    CONSTRAINT users_email_key UNIQUE (email_key)
) STRICT;

-- Signed-in devices. Only hashes of refresh tokens, but for the current one, which is sealed: it is given again to whoever lost the answer.
CREATE TABLE sessions (
    id               INTEGER NOT NULL PRIMARY KEY,
    user_id          INTEGER NOT NULL,
    organization_id  INTEGER,
    client           TEXT    NOT NULL,
    methods          TEXT    NOT NULL,
    is_pending       INTEGER NOT NULL CHECK (is_pending IN (0, 1)),
    authenticated_at INTEGER NOT NULL,
    refresh_hash     BLOB    NOT NULL,
    parent_hash      BLOB,
    current          BLOB    NOT NULL,
    counter          INTEGER NOT NULL,
    rotated_at       INTEGER NOT NULL,
    last_used_day    INTEGER NOT NULL,
    revoked_at       INTEGER,
    expires_at       INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    created_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_expires ON sessions (expires_at);

-- Secrets that work once.
CREATE TABLE tickets (
    id         INTEGER NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    user_id    INTEGER,
    hash       BLOB    NOT NULL,
    payload    BLOB    NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX tickets_user ON tickets (user_id, kind);
CREATE INDEX tickets_expires ON tickets (expires_at);

-- Programs that wait to be let in by a person at a browser.
CREATE TABLE device_grants (
    id          INTEGER NOT NULL PRIMARY KEY,
    device_hash BLOB    NOT NULL,
    user_code   TEXT    NOT NULL,
    client      TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    user_id     INTEGER,
    methods     TEXT    NOT NULL,
    polled_at   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    CONSTRAINT device_grants_user_code_key UNIQUE (user_code)
) STRICT;
CREATE INDEX device_grants_expires ON device_grants (expires_at);

-- Authenticator apps: one for each user.
CREATE TABLE authenticators (
    user_id      INTEGER NOT NULL PRIMARY KEY,
    secret       BLOB    NOT NULL,
    confirmed_at INTEGER,
    last_step    INTEGER NOT NULL,
    failures     INTEGER NOT NULL,
    locked_until INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

-- Recovery codes that are left.
CREATE TABLE recovery_codes (
    id         INTEGER NOT NULL PRIMARY KEY,
    user_id    INTEGER NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX recovery_codes_user ON recovery_codes (user_id);

-- Passkeys: credential ids are unique everywhere.
CREATE TABLE passkeys (
    id            INTEGER NOT NULL PRIMARY KEY,
    user_id       INTEGER NOT NULL,
    credential_id BLOB    NOT NULL,
    credential    BLOB    NOT NULL,
    name          BLOB    NOT NULL,
    last_used_day INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    CONSTRAINT passkeys_credential_key UNIQUE (credential_id)
) STRICT;
CREATE INDEX passkeys_user ON passkeys (user_id);

-- Accounts elsewhere that users sign in with: by issuer and a keyed hash of the subject, never by address.
CREATE TABLE links (
    id          INTEGER NOT NULL PRIMARY KEY,
    user_id     INTEGER NOT NULL,
    provider_id INTEGER NOT NULL,
    issuer      TEXT    NOT NULL,
    subject_key BLOB    NOT NULL,
    label       BLOB,
    created_at  INTEGER NOT NULL,
    CONSTRAINT links_subject_key UNIQUE (issuer, subject_key)
) STRICT;
CREATE INDEX links_user ON links (user_id);

-- Keys of the installation: of access tokens (published, then signing, then only verifying), and of what is looked up by a keyed hash.
CREATE TABLE installation_keys (
    id             INTEGER NOT NULL PRIMARY KEY,
    purpose        TEXT NOT NULL,
    generation     INTEGER NOT NULL,
    algorithm      TEXT NOT NULL,
    secret         BLOB NOT NULL,
    signs_from     INTEGER NOT NULL,
    verifies_until INTEGER,
    version        INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    CONSTRAINT installation_keys_generation_key UNIQUE (purpose, generation)
) STRICT;

-- Users in organizations.
CREATE TABLE members (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    user_id         INTEGER NOT NULL,
    role            TEXT    NOT NULL,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    CONSTRAINT members_user_key UNIQUE (organization_id, user_id)
) STRICT;
CREATE INDEX members_user ON members (user_id);

-- Offers to register (of organization 0), or to join an organization.
CREATE TABLE invitations (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    email           BLOB,
    email_key       BLOB,
    role            TEXT    NOT NULL,
    hash            BLOB    NOT NULL,
    uses_left       INTEGER NOT NULL,
    state           TEXT    NOT NULL,
    invited_by      TEXT    NOT NULL,
    expires_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX invitations_organization ON invitations (organization_id, id);

-- Permissions that an organization gives to a role, or takes from it.
CREATE TABLE grants (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    role            TEXT    NOT NULL,
    permission      TEXT    NOT NULL,
    is_allowed      INTEGER NOT NULL CHECK (is_allowed IN (0, 1)),
    created_at      INTEGER NOT NULL,
    CONSTRAINT grants_role_key UNIQUE (organization_id, role, permission)
) STRICT;

-- Keys of programs: only hashes.
CREATE TABLE api_keys (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    reference       TEXT    NOT NULL,
    hash            BLOB    NOT NULL,
    previous_hash   BLOB,
    previous_until  INTEGER NOT NULL,
    name            TEXT    NOT NULL,
    scopes          TEXT    NOT NULL CHECK (json_valid(scopes)),
    networks        TEXT    NOT NULL CHECK (json_valid(networks)),
    user_id         INTEGER NOT NULL,
    rate_per_minute INTEGER,
    valid_until     INTEGER,
    last_used_day   INTEGER NOT NULL,
    revoked_at      INTEGER,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    CONSTRAINT api_keys_reference_key UNIQUE (organization_id, reference)
) STRICT;
CREATE INDEX api_keys_reference ON api_keys (reference);

-- Feature flags.
CREATE TABLE flags (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    name            TEXT    NOT NULL,
    about           TEXT    NOT NULL,
    is_enabled      INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    percentage      INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    CONSTRAINT flags_name_key UNIQUE (organization_id, name)
) STRICT;

-- The ledger of credits: dense from 1, never changed.
CREATE TABLE credit_entries (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    amount          INTEGER NOT NULL,
    balance         INTEGER NOT NULL,
    reason          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    CONSTRAINT credit_entries_sequence_key UNIQUE (organization_id, sequence)
) STRICT;

-- Who vouches for accounts; of organization 0 for everybody.
CREATE TABLE identity_providers (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    slug            TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    issuer          TEXT    NOT NULL,
    client_id       TEXT    NOT NULL,
    client_secret   BLOB    NOT NULL,
    is_enabled      INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    CONSTRAINT identity_providers_slug_key UNIQUE (organization_id, slug)
) STRICT;

DROP TABLE jobs;
-- Jobs are sealed, and count their attempts. No released version has run any.
CREATE TABLE jobs (
    id              INTEGER NOT NULL PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    queue           TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    payload         BLOB    NOT NULL,
    priority        INTEGER NOT NULL,
    run_at          INTEGER NOT NULL,
    order_key       TEXT,
    dedupe_key      TEXT,
    context         TEXT    NOT NULL CHECK (json_valid(context)),
    created_at      INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    last_error      TEXT,
    version         INTEGER NOT NULL,
    CONSTRAINT jobs_dedupe_key UNIQUE (organization_id, queue, dedupe_key)
) STRICT;
CREATE INDEX jobs_due ON jobs (run_at);
