//! Every key of the configuration: its name, and what it means. The reference is made from this table.

/// What a key is.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) secret: bool,
}

const fn key(name: &'static str, about: &'static str) -> Key {
    Key { name, about, secret: false }
}

const fn secret(name: &'static str, about: &'static str) -> Key {
    Key { name, about, secret: true }
}

/// Every key.
pub(crate) const KEYS: &[Key] = &[
    key(
        "mode",
        "What this process runs: `api`, `gateway`, `worker`, `scheduler`, several separated by commas, or `all`. Also `MODE`.",
    ),
    key(
        "server.listen",
        "Where the API listens. Port 0 takes a free one. `PORT` sets the port alone, on all addresses.",
    ),
    key(
        "server.public_url",
        "Where browsers find Stoa, `https://stoa.example.org`: the issuer of tokens, the origin of passkeys and cookies, what links in letters begin with. Empty: the address that it listens on, which is of use on this machine alone. Also `STOA_PUBLIC_URL`.",
    ),
    key(
        "server.trusted_proxies",
        "Networks of the proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`: limits, and keys that are bound to networks, go by the address of the client.",
    ),
    key(
        "server.ops_listen",
        "Where health and metrics listen beside the API, or in its place when `api` is not among the modes. Empty: nowhere else.",
    ),
    key(
        "server.request_timeout_ms",
        "The most that a request may take, in milliseconds. The header `Stoa-Deadline-Ms` shortens it.",
    ),
    key(
        "server.header_timeout_ms",
        "How long a client may take for the head of a request, and keep a connection without one, in milliseconds.",
    ),
    key("server.body_bytes_max", "The most bytes of a request's body."),
    key("server.connections_max", "The most connections at once; more wait until one ends."),
    key("server.concurrency_max", "The most requests under way; more are refused with 503 at once."),
    key("server.streams_max", "The most streams of events at once; more are refused with 503 at once."),
    key(
        "server.drain_delay_ms",
        "How long a process that was asked to end goes on accepting, in milliseconds, so that load balancers notice. -1: not at all with SQLite, 5000 with PostgreSQL.",
    ),
    key("server.cors_origins", "Origins whose pages may call the API from a browser."),
    key(
        "data.folder",
        "Where everything is kept that is not in a database or an object store. Also `--data`.",
    ),
    key("data.readers", "Connections that read from SQLite."),
    secret(
        "database.url",
        "The PostgreSQL database, with a role that does not own the tables. Empty: SQLite in the data folder. Also `DATABASE_URL`.",
    ),
    secret(
        "database.owner_url",
        "The same database with the role that owns the tables, for migrations. Also `DATABASE_OWNER_URL`.",
    ),
    key(
        "database.ca_file",
        "Certificates, in PEM, that the certificate of PostgreSQL is verified by, where `sslmode=require` or `verify-full` is in the address. Empty: those that the system trusts.",
    ),
    key("database.connections", "The most connections to PostgreSQL."),
    key(
        "database.prepared",
        "Whether statements are prepared by name. Set to false behind PgBouncer in transaction mode.",
    ),
    key(
        "database.notifications",
        "Whether to listen for notifications. Set to false behind PgBouncer in transaction mode; polling then finds everything.",
    ),
    key("database.statement_timeout_ms", "The most that a statement may take, in milliseconds."),
    key("database.connect_timeout_ms", "The most that connecting may take, in milliseconds."),
    secret(
        "redis.url",
        "The Redis or Valkey server in which all processes count rate limits and keep what they have looked up, sealed: `redis://[user:password@]host:port/` or `rediss://` with TLS. Empty: each process does so by itself. Also `REDIS_URL`.",
    ),
    key(
        "redis.prefix",
        "What keys in Redis start with; installations that share a server need different ones.",
    ),
    secret(
        "nats.url",
        "The NATS servers, separated by commas. Every event is published there (JetStream, stream `stoa_events`, subjects `stoa.org.<organization>.<type>`), and where `database.notifications` is false processes wake each other through them. Also `NATS_URL`.",
    ),
    key(
        "nats.prefix",
        "What subjects and streams in NATS start with; installations that share a server need different ones.",
    ),
    key("nats.kept_h", "For how many hours NATS keeps events."),
    secret(
        "secrets.master_keys",
        "The keys that wrap the data keys: `name:64 hexadecimal digits`, the current one first, separated by commas. Embedded, a file in the data folder holds them.",
    ),
    secret(
        "secrets.operator_token",
        "Lets whoever runs the machine in, without an account. Embedded, a file in the data folder holds it.",
    ),
    key("node.id", "The number of this process in ids, 0 to 1023; -1 leases a free one. Also `NODE_ID`."),
    key("limits.burst", "Requests that each caller may make at once."),
    key("limits.per_second", "Requests that each caller may make each second, on average."),
    key(
        "limits.attempts_per_minute",
        "Attempts to sign in with one name from one address within a minute; ten times as many on one name within ten minutes, and from one address within a minute.",
    ),
    key(
        "jobs.concurrency",
        "How many jobs a worker does at once; a quarter of that is kept for urgent ones.",
    ),
    key(
        "jobs.lease_s",
        "How long a worker that is not heard of keeps its jobs before others do them, in seconds.",
    ),
    key(
        "webhooks.concurrency",
        "How many webhooks a worker sends at once, beside its jobs; at most eight of them to one endpoint.",
    ),
    key(
        "webhooks.pauses_s",
        "The pauses between the attempts to send a webhook, in seconds. Empty: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.",
    ),
    key(
        "identity.registration",
        "Who may register: `open`, `invite` or `closed`. The first user becomes the owner by the link that `stoa serve` prints.",
    ),
    key(
        "identity.token_algorithm",
        "What access tokens are signed with: `HS256`, `EdDSA` or `RS256`; of the next key on.",
    ),
    key("identity.access_token_s", "How long an access token is good, in seconds: 60 to 3600."),
    key("identity.session_days", "How long a session lasts without being used, in days: 1 to 365."),
    key(
        "identity.signing_key_days",
        "How old the key that signs access tokens becomes before the next one is made, in days: 1 to 3650.",
    ),
    key(
        "identity.password_memory_kib",
        "Memory that hashing a password takes (Argon2id), in KiB: at least 8192.",
    ),
    key("identity.password_passes", "Passes of Argon2id over it: 1 to 100."),
    key("identity.password_lanes", "Lanes of Argon2id: 1 to 16."),
    key(
        "identity.password_threads",
        "How many passwords are hashed at a time. 0: half as many as there are processors, at least one.",
    ),
    key(
        "identity.default_plan",
        "The plan of a new organization: `free`, `team`, `business` or `unlimited`.",
    ),
    key("mail.from", "Who letters are from: `Name <address>`."),
    secret(
        "mail.smtp_url",
        "The SMTP server, `smtps://user:password@host` or `smtp://user:password@host:587?tls=required`. Empty: letters are files in `mail.folder`. Also `SMTP_URL`.",
    ),
    key("mail.folder", "Where letters lie that no server takes, within the data folder."),
    key(
        "outbound.allowed_networks",
        "Networks beside the public internet that Stoa may send requests to, also without TLS, such as `10.1.0.0/16` for an identity provider of the house.",
    ),
    key(
        "alerts.disk_free_percent_min",
        "An alert fires when less of the disk under the data folder is free, in percent.",
    ),
    key(
        "alerts.log_behind_s_max",
        "An alert fires when committed events wait longer for their position, in seconds.",
    ),
    key("alerts.dead_letters_max", "An alert fires when more jobs than this are dead letters."),
    key(
        "telemetry.endpoint",
        "The collector of traces, as OTLP over HTTP, `http://host:4318`. Empty: traces are not recorded. Also `OTEL_EXPORTER_OTLP_ENDPOINT`.",
    ),
    secret(
        "telemetry.headers",
        "Headers for the collector, `name=value` separated by commas. Also `OTEL_EXPORTER_OTLP_HEADERS`.",
    ),
    key(
        "log.level",
        "What is logged: `error`, `warn`, `info`, `debug`, `trace`, or filters as `info,stoa_api=debug`. Also `LOG_LEVEL`.",
    ),
    key("log.format", "`human`, `json`, or `auto`: for people on a terminal, JSON otherwise."),
];

/// The conventional variables, and the keys that they set.
pub(super) const VARIABLES: [(&str, &str); 12] = [
    ("STOA_PUBLIC_URL", "server.public_url"),
    ("SMTP_URL", "mail.smtp_url"),
    ("DATABASE_URL", "database.url"),
    ("DATABASE_OWNER_URL", "database.owner_url"),
    ("REDIS_URL", "redis.url"),
    ("NATS_URL", "nats.url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.endpoint"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "telemetry.headers"),
    ("LOG_LEVEL", "log.level"),
    ("NODE_ID", "node.id"),
    ("MODE", "mode"),
    ("PORT", "server.listen"),
];
