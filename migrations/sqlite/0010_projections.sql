-- Tables that are made of the event log, and can be made anew.

CREATE TABLE projections (
    name       TEXT    NOT NULL PRIMARY KEY,
    live       INTEGER NOT NULL,
    building   INTEGER,
    retired    INTEGER,
    live_since INTEGER NOT NULL,
    version    INTEGER NOT NULL
) STRICT;

CREATE TABLE activity (
    organization_id INTEGER NOT NULL,
    generation      INTEGER NOT NULL,
    day             INTEGER NOT NULL,
    kind            TEXT    NOT NULL,
    events          INTEGER NOT NULL,
    first_at        INTEGER NOT NULL,
    last_at         INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    PRIMARY KEY (organization_id, generation, day, kind)
) STRICT;
CREATE INDEX activity_generation ON activity (generation, day, kind, organization_id);
