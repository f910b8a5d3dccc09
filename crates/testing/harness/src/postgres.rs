//! PostgreSQL, with a database for each test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::free_port;
use tempfile::TempDir;

use crate::server::{Server, folder, own, program, unprivileged};

/// Tells tests of the server that a whole run shares.
const SHARED: &str = "STOA_TEST_POSTGRES_PORT";

/// A PostgreSQL server. It has three roles, all without password: `postgres` (superuser), `stoa_owner` (owns the tables), `stoa` (runs).
pub struct Postgres {
    port: u16,
    /// `None` when somebody else holds it.
    server: Option<Mutex<Running>>,
}

struct Running {
    server: Option<Server>,
    durable: bool,
    tls: bool,
}

/// A database of its own, dropped with it.
pub struct Database {
    server: Arc<Postgres>,
    name: String,
}

fn command(running_in: &str, port: u16, durable: bool, tls: bool) -> Command {
    let mut command = unprivileged(program("postgres"));
    command.args(["-D", running_in, "-h", "127.0.0.1", "-k", running_in, "-p", &port.to_string()]);
    for setting in [
        "max_connections=200",
        "shared_buffers=128MB",
        "logging_collector=off",
        "log_min_messages=log",
        "max_wal_size=1GB",
        if durable { "fsync=on" } else { "fsync=off" },
        if tls { "ssl=on" } else { "ssl=off" },
    ] {
        command.args(["-c", setting]);
    }
    command
}

/// Makes a certificate for the server in a folder, and lets it take connections with TLS alone.
fn certify(folder: &TempDir) {
    let made =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate is made");
    let private = made.signing_key.serialize_pem();
    for (name, text) in [
        ("server.crt", made.cert.pem()),
        ("server.key", private),
        ("pg_hba.conf", "hostssl all all 127.0.0.1/32 trust\n".to_owned()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        own(&path);
    }
}

impl Postgres {
    /// Starts one. `durable`: with real fsync; without it tests are faster.
    #[must_use]
    pub fn start(durable: bool) -> Self {
        Self::start_as(durable, false)
    }

    /// Starts one that takes connections with TLS alone; its certificate is of `127.0.0.1`, and its own authority.
    #[must_use]
    pub fn start_with_tls() -> Self {
        Self::start_as(false, true)
    }

    /// The authority of its certificate, if it has one.
    #[must_use]
    pub fn ca_file(&self) -> Option<PathBuf> {
        let running = self.running();
        let folder = running.server.as_ref().filter(|_| running.tls)?.folder.path();
        Some(folder.join("server.crt"))
    }

    fn start_as(durable: bool, tls: bool) -> Self {
        let folder = folder();
        let place = folder.path().to_str().expect("a readable path").to_owned();
        let made = unprivileged(program("initdb"))
            .args(["-D", &place, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"])
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        if tls {
            certify(&folder);
        }
        let port = free_port();
        let server =
            Server::start(command(&place, port, durable, tls), folder, "ready to accept connections", "INT");
        let postgres =
            Self { port, server: Some(Mutex::new(Running { server: Some(server), durable, tls })) };
        postgres.sql("postgres", "CREATE ROLE stoa_owner LOGIN CREATEDB; CREATE ROLE stoa LOGIN; ALTER ROLE stoa_owner SET client_min_messages = warning");
        postgres
    }

    /// The server of this run of tests, or one of this process.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static OWN: OnceLock<Arc<Postgres>> = OnceLock::new();
        let own = OWN.get_or_init(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "a run of tests says in the environment which server it shares"
            )]
            let port = std::env::var(SHARED).ok().and_then(|port| port.parse().ok());
            Arc::new(port.map_or_else(|| Self::start(false), |port| Self { port, server: None }))
        });
        Arc::clone(own)
    }

    /// Says in the environment of a command that its tests share this server.
    pub fn share_with(&self, command: &mut Command) {
        command.env(SHARED, self.port.to_string());
    }

    /// Runs SQL as the superuser.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs SQL as the superuser.
    ///
    /// # Errors
    /// What the server said.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        self.try_sql_as("postgres", database, sql)
    }

    fn try_sql_as(&self, role: &str, database: &str, sql: &str) -> Result<String, String> {
        let port = self.port.to_string();
        let output = Command::new(program("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                role,
                "-d",
                database,
                "-c",
                sql,
            ])
            .output()
            .expect("psql runs");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A database like the template of this name, which `prepare` makes the first time: it is given the address for the owner.
    pub fn database(self: &Arc<Self>, template: &str, prepare: impl FnOnce(&str)) -> Database {
        let template = format!("template_{template}");
        let is_there = || {
            self.sql("postgres", &format!("SELECT 1 FROM pg_database WHERE datname = '{template}'")) == "1"
        };
        if !is_there() {
            // Another process may do the same; the first to give its draft the name wins.
            let draft = unique("draft");
            self.sql("postgres", &format!("CREATE DATABASE {draft} OWNER stoa_owner"));
            self.sql(&draft, "GRANT CREATE ON SCHEMA public TO stoa_owner");
            prepare(&self.url("stoa_owner", &draft));
            let renamed = self.try_sql("postgres", &format!("ALTER DATABASE {draft} RENAME TO {template}"));
            if renamed.is_err() {
                assert!(is_there(), "{renamed:?}");
                let _ = self.try_sql("postgres", &format!("DROP DATABASE {draft} WITH (FORCE)"));
            }
        }
        let name = unique("test");
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} OWNER stoa_owner");
        // A template that somebody else is copying is refused for the moment.
        let mut attempts = 0;
        while let Err(error) = self.try_sql("postgres", &create) {
            attempts += 1;
            assert!(attempts < 100 && error.contains("being accessed by other users"), "{error}");
        }
        Database { server: Arc::clone(self), name }
    }

    /// The address of a database for a role.
    #[must_use]
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// Ends the server as a crash would; [`Postgres::restart`] brings it back, with its data.
    pub fn kill(&self) {
        let mut running = self.running();
        if let Some(server) = &mut running.server {
            // At once and without a checkpoint; its children end with it, so that another can take their place.
            server.end_by("QUIT");
        }
    }

    /// Starts it again on the same port and data.
    pub fn restart(&self) {
        let mut running = self.running();
        let (durable, tls) = (running.durable, running.tls);
        let mut old = running.server.take().expect("the server is there");
        old.kill();
        let folder = std::mem::replace(&mut old.folder, folder());
        let place = folder.path().to_str().expect("a readable path").to_owned();
        let _ = std::fs::remove_file(folder.path().join("postmaster.pid"));
        running.server = Some(Server::start(
            command(&place, self.port, durable, tls),
            folder,
            "ready to accept connections",
            "INT",
        ));
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        let server = self.server.as_ref().expect("a shared server is not for killing");
        server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Database {
    /// The address for the role that runs.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url("stoa", &self.name)
    }

    /// The address for the role that owns the tables.
    #[must_use]
    pub fn owner_url(&self) -> String {
        self.server.url("stoa_owner", &self.name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its server.
    #[must_use]
    pub fn server(&self) -> &Arc<Postgres> {
        &self.server
    }

    /// Runs SQL in it as a role.
    ///
    /// # Errors
    /// What the server said.
    pub fn try_sql_as(&self, role: &str, sql: &str) -> Result<String, String> {
        self.server.try_sql_as(role, &self.name, sql)
    }

    /// Runs SQL in it as the superuser.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ =
            self.server.try_sql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}
