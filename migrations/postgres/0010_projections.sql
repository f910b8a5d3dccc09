-- Tables that are made of the event log, and can be made anew.

CREATE TABLE projections (
    name       text   COLLATE "C" NOT NULL PRIMARY KEY,
    live       bigint NOT NULL,
    building   bigint,
    retired    bigint,
    live_since bigint NOT NULL,
    version    bigint NOT NULL
);

CREATE TABLE activity (
    organization_id bigint NOT NULL,
    generation      bigint NOT NULL,
    day             bigint NOT NULL,
    kind            text   COLLATE "C" NOT NULL,
    events          bigint NOT NULL,
    first_at        bigint NOT NULL,
    last_at         bigint NOT NULL,
    version         bigint NOT NULL,
    PRIMARY KEY (organization_id, generation, day, kind)
) WITH (fillfactor = 70);
SELECT stoa_protect('activity', 'organization_id');
CREATE INDEX activity_generation ON activity (generation, day, kind, organization_id);
