//! A record with a column of every kind, for tests alone.

use serde::Serialize;
use stoa_kernel::clock::Micros;
use stoa_kernel::id::{Id, Kind};
use stoa_kernel::store::{Aggregate, Event, EventType, Json, Personal, Record};

/// Specimens have ids of their own kind.
#[derive(Debug)]
pub enum SpecimenKind {}
impl Kind for SpecimenKind {
    const PREFIX: &'static str = "spc";
}

/// A record with a column of every kind.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "specimens", entity = "specimen", tenant = organization_id, version = version,
         unique(specimens_code_key = (organization_id, code)))]
pub struct Specimen {
    #[record(key)]
    pub id: Id<SpecimenKind>,
    pub organization_id: i64,
    #[record(plain)]
    pub code: String,
    pub number: i64,
    pub flag: bool,
    #[record(plain)]
    pub note: Option<String>,
    #[record(plain)]
    pub bytes: Option<Vec<u8>>,
    #[record(plain)]
    pub document: Json<serde_json::Value>,
    pub seen: Option<Micros>,
    #[record(subject = "a person in a test", about = "to be redacted")]
    pub person: Option<Personal<String>>,
    #[record(encrypted, subject = "a person in a test", about = "to be sealed")]
    pub secret: Option<Personal<String>>,
    pub version: i64,
}

/// A specimen was noted.
#[derive(Debug, Serialize)]
pub struct Noted {
    pub stream: String,
    pub number: i64,
}

impl Event for Noted {
    const TYPE: EventType = EventType {
        name: "specimen.noted",
        version: 1,
        about: "A specimen was noted.",
        schema: || serde_json::json!({}),
    };
    fn aggregate(&self) -> Aggregate {
        Aggregate { kind: "specimen".to_owned(), id: self.stream.clone(), version: None }
    }
}

/// Everything in an organization ended.
#[derive(Debug, Serialize)]
pub struct Ended;

impl Event for Ended {
    const TYPE: EventType = EventType {
        name: "specimen.ended",
        version: 1,
        about: "Everything ended.",
        schema: || serde_json::json!({}),
    };
    fn aggregate(&self) -> Aggregate {
        Aggregate { kind: "specimen".to_owned(), id: "all".to_owned(), version: None }
    }
}

/// Its table on SQLite.
pub const SPECIMENS_SQLITE: &str = "CREATE TABLE specimens (
    id INTEGER NOT NULL PRIMARY KEY, organization_id INTEGER NOT NULL, code TEXT NOT NULL, number INTEGER NOT NULL,
    flag INTEGER NOT NULL, note TEXT, bytes BLOB, document TEXT NOT NULL CHECK (json_valid(document)), seen INTEGER,
    person TEXT, secret BLOB, version INTEGER NOT NULL,
    CONSTRAINT specimens_code_key UNIQUE (organization_id, code)) STRICT;";

/// Its table on PostgreSQL.
pub const SPECIMENS_POSTGRES: &str = "CREATE TABLE specimens (
    id bigint NOT NULL PRIMARY KEY, organization_id bigint NOT NULL, code text COLLATE \"C\" NOT NULL, number bigint NOT NULL,
    flag boolean NOT NULL, note text COLLATE \"C\", bytes bytea, document json NOT NULL, seen bigint,
    person text COLLATE \"C\", secret bytea, version bigint NOT NULL,
    CONSTRAINT specimens_code_key UNIQUE (organization_id, code));
    SELECT stoa_protect('specimens', 'organization_id');";
