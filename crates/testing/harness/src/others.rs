//! PgBouncer, Redis and NATS.

use std::fmt::Write as _;
use std::process::Command;

use crate::free_port;
use crate::server::{Server, folder, program, unprivileged};

/// A PgBouncer in transaction mode before a PostgreSQL server.
pub struct PgBouncer {
    port: u16,
    _server: Server,
}

impl PgBouncer {
    /// Starts one before the server at a port.
    #[must_use]
    pub fn before(postgres_port: u16) -> Self {
        let (folder, port) = (folder(), free_port());
        let mut settings = String::new();
        let _ = write!(
            settings,
            "[databases]\n* = host=127.0.0.1 port={postgres_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\nauth_file = {0}/users\npool_mode = transaction\nmax_client_conn = 500\n\
             default_pool_size = 8\nserver_reset_query =\nignore_startup_parameters = extra_float_digits\n",
            folder.path().display()
        );
        settings = settings.replace("* = host=127.0.0.1", "* = user=stoa host=127.0.0.1");
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("its settings are written");
        std::fs::write(folder.path().join("users"), "\"stoa\" \"\"\n").expect("its users are written");
        let mut command = unprivileged(program("pgbouncer"));
        command.arg(&file);
        Self { port, _server: Server::start(command, folder, "process up", "INT") }
    }

    /// The address of a database through it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://stoa@127.0.0.1:{}/{database}", self.port)
    }
}

/// A Redis server that keeps nothing on disk.
pub struct Redis {
    port: u16,
    server: Server,
}

impl Redis {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        Self::at(free_port())
    }

    /// Starts one on a port, such as that of one that was killed.
    #[must_use]
    pub fn at(port: u16) -> Self {
        let folder = folder();
        let mut command = Command::new(program("redis-server"));
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(folder.path());
        Self { port, server: Server::start(command, folder, "eady to accept connections", "TERM") }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }
}

/// A NATS server with JetStream.
pub struct Nats {
    port: u16,
    server: Server,
}

impl Nats {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        Self::at(free_port())
    }

    /// Starts one on a port, such as that of one that was killed.
    #[must_use]
    pub fn at(port: u16) -> Self {
        let folder = folder();
        let mut command = Command::new(program("nats-server"));
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(folder.path());
        Self { port, server: Server::start(command, folder, "Server is ready", "TERM") }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }
}
