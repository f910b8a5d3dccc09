-- Entries of the audit trail and idempotency records are kept in the order in which they were written, found through small indexes:
-- kept in the order of their keys, every few of them split a page of the table itself.

CREATE TABLE audit_entries_in_order (
    organization_id INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    id              INTEGER NOT NULL,
    time            INTEGER NOT NULL,
    actor           TEXT    NOT NULL,
    action          TEXT    NOT NULL,
    target_kind     TEXT    NOT NULL,
    target          TEXT    NOT NULL,
    request         TEXT    NOT NULL,
    diff            TEXT    NOT NULL CHECK (json_valid(diff)),
    hash            BLOB    NOT NULL,
    PRIMARY KEY (organization_id, sequence)
) STRICT;
INSERT INTO audit_entries_in_order SELECT * FROM audit_entries ORDER BY id;
DROP TABLE audit_entries;
ALTER TABLE audit_entries_in_order RENAME TO audit_entries;
CREATE INDEX audit_entries_target ON audit_entries (organization_id, target, sequence);

CREATE TABLE idempotency_keys_in_order (
    organization_id INTEGER NOT NULL,
    actor           TEXT    NOT NULL,
    key             TEXT    NOT NULL,
    fingerprint     BLOB    NOT NULL,
    status          INTEGER NOT NULL,
    headers         TEXT    NOT NULL CHECK (json_valid(headers)),
    body            BLOB    NOT NULL,
    expires_at      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, actor, key)
) STRICT;
INSERT INTO idempotency_keys_in_order SELECT * FROM idempotency_keys ORDER BY expires_at;
DROP TABLE idempotency_keys;
ALTER TABLE idempotency_keys_in_order RENAME TO idempotency_keys;
CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_at);
