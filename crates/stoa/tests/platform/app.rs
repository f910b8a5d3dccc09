use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use stoa_harness::{Database, Postgres};
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "stoa_op_000000000000000000000000000000000000000000000000";
/// Where browsers find it, as far as it knows.
pub(crate) const ORIGIN: &str = "http://localhost:8080";
const MASTER: &str = "test:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A running platform, which can be killed and started again on the same data.
pub(crate) struct App {
    pub(crate) folder: TempDir,
    pub(crate) database: Option<Arc<Database>>,
    /// Settings of its own, beside those of every test.
    settings: Vec<(String, String)>,
    /// The size of its disk, in MiB, where that is one of its own.
    disk: Option<u32>,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Every value of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    /// The code of a problem document.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.status, self.text);
        let json = self.json();
        assert_eq!(json["status"], self.status);
        assert_eq!(json["traceId"].as_str().unwrap().len(), 32);
        json["code"].as_str().unwrap().to_owned()
    }
}

impl App {
    pub(crate) fn embedded() -> Self {
        Self::start(None)
    }

    pub(crate) fn cluster() -> Self {
        Self::start(Some(database(&Postgres::shared())))
    }

    pub(crate) fn on(database: Database) -> Self {
        Self::start(Some(database))
    }

    /// One with settings of its own.
    pub(crate) fn with_settings(database: Option<Database>, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut app = Self::in_folder(TempDir::new().unwrap());
        (app.settings, app.database) = (settings, database.map(Arc::new));
        app.restart();
        app
    }

    /// One in a folder, not yet started.
    pub(crate) fn in_folder(folder: TempDir) -> Self {
        Self { folder, database: None, settings: Vec::new(), disk: None, running: Mutex::new(None) }
    }

    fn start(database: Option<Database>) -> Self {
        Self::with_settings(database, &[])
    }

    /// Another process of the same installation.
    pub(crate) fn beside(&self) -> Self {
        self.beside_with(&[])
    }

    /// Another process of the same installation, with other settings.
    pub(crate) fn beside_with(&self, settings: &[(&str, &str)]) -> Self {
        let mut app = Self::in_folder(TempDir::new().unwrap());
        (app.settings, app.database) = (self.settings.clone(), self.database.clone());
        app.settings.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        // Whichever of them sends a letter, it lies in one place.
        let outbox = self.data().join("outbox").display().to_string();
        app.settings.push(("STOA_MAIL__FOLDER".to_owned(), outbox));
        app.restart();
        app
    }

    /// One whose data folder is a small disk, which only it sees. `None` where the machine does not let us mount one.
    pub(crate) fn on_a_disk_of(mib: u32, settings: &[(&str, &str)]) -> Option<Self> {
        let mut app = Self::in_folder(TempDir::new().unwrap());
        fs::create_dir(app.data()).unwrap();
        app.disk = Some(mib);
        app.settings.push(("STOA_ALERTS__DISK_FREE_PERCENT_MIN".to_owned(), "5".to_owned()));
        app.settings.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let mounts = app.command().arg("--version").output().is_ok_and(|output| output.status.success());
        mounts.then(|| {
            app.restart();
            app
        })
    }

    /// Its data folder, also where that is a disk that only it sees.
    pub(crate) fn data_seen_from_outside(&self) -> PathBuf {
        let id = self.running.lock().unwrap().as_ref().unwrap().child.id();
        let data = self.data();
        PathBuf::from(format!("/proc/{id}/root")).join(data.strip_prefix("/").unwrap())
    }

    /// The command with everything that makes it this platform.
    pub(crate) fn command(&self) -> Command {
        let mut command = stoa(self.folder.path());
        if let Some(mib) = self.disk {
            // The process itself replaces the shell, so that signals reach it.
            let mut mounting = Command::new("unshare");
            mounting.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
            mounting.arg(format!("mount -t tmpfs -o size={mib}m tmpfs \"$0\" && exec \"$@\""));
            mounting.arg(self.data()).arg(command.get_program()).current_dir(self.folder.path());
            mounting.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command = mounting;
        }
        if let Some(database) = &self.database {
            command.env("DATABASE_URL", database.url());
        }
        command.envs(self.settings.iter().map(|(key, value)| (key, value)));
        command
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it, on the data that is there.
    pub(crate) fn restart(&self) {
        let mut child = self
            .command()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut errors, kept) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reading = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut buffer) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let url = line.trim().strip_prefix("API")?.trim().strip_prefix("http://")?;
            url.strip_suffix("/v1")?.parse().ok()
        });
        let Some(address) = address else {
            let status = child.wait();
            let _ = reading.join();
            panic!("it did not start: {status:?}\n{}", log.lock().unwrap());
        };
        std::thread::spawn(move || lines.for_each(drop));
        *self.running.lock().unwrap() = Some(Running { child, address, log });
    }

    pub(crate) fn log(&self) -> String {
        self.running
            .lock()
            .unwrap()
            .as_ref()
            .map_or_else(String::new, |running| running.log.lock().unwrap().clone())
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&self) {
        if let Some(mut running) = self.running.lock().unwrap().take() {
            running.child.kill().unwrap();
            running.child.wait().unwrap();
        }
    }

    /// Asks it to end; how it ended.
    pub(crate) fn stop(&self) -> i32 {
        let mut running = self.running.lock().unwrap().take().unwrap();
        Command::new("kill").args(["-TERM", &running.child.id().to_string()]).status().unwrap();
        running.child.wait().unwrap().code().unwrap_or(-1)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.lock().unwrap().as_ref().unwrap().address
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[], body).unwrap()
    }

    pub(crate) fn with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask(method, path, headers, body).unwrap()
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Answer> {
        ask(self.address(), method, path, headers, body)
    }

    /// A time that comes when the test is long over.
    pub(crate) fn later(&self) -> String {
        let body = r#"{"everyS": 86400}"#;
        let answer = self.post("/v1/schedules/preview", body);
        answer.json()["fires"][1].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
    }

    /// Makes an organization.
    pub(crate) fn organization(&self, slug: &str) -> Value {
        let answer =
            self.post("/v1/organizations", &format!(r#"{{"slug":"{slug}","name":"Name of {slug}"}}"#));
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary, with a data folder and without the configuration of whoever runs the tests.
pub(crate) fn stoa(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
    for name in [
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "REDIS_URL",
        "NATS_URL",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "MODE",
        "PORT",
        "NODE_ID",
        "LOG_LEVEL",
        "STOA_PUBLIC_URL",
        "SMTP_URL",
    ] {
        command.env_remove(name);
    }
    command
        .current_dir(folder)
        .env("STOA_DATA__FOLDER", folder.join("data"))
        .env("STOA_SECRETS__MASTER_KEYS", MASTER)
        .env("STOA_SECRETS__OPERATOR_TOKEN", TOKEN)
        // How full the disk of the tests is, is not what they are about.
        .env("STOA_ALERTS__DISK_FREE_PERCENT_MIN", "0")
        .env("STOA_SERVER__DRAIN_DELAY_MS", "0")
        // The same for every process of an installation, wherever it listens.
        .env("STOA_SERVER__PUBLIC_URL", ORIGIN)
        .env("STOA_IDENTITY__PASSWORD_MEMORY_KIB", "8192")
        .env("STOA_IDENTITY__PASSWORD_PASSES", "1")
        .env("STOA_LIMITS__ATTEMPTS_PER_MINUTE", "100000")
        .env("STOA_LIMITS__BURST", "1000000")
        .env("STOA_LIMITS__PER_SECOND", "1000000");
    command
}

/// A database with the schema of the platform.
pub(crate) fn database(server: &Arc<Postgres>) -> Database {
    server.database("platform", |owner_url| {
        let folder = TempDir::new().unwrap();
        let runtime_url = owner_url.replace("stoa_owner@", "stoa@");
        let migrated = stoa(folder.path())
            .env("DATABASE_OWNER_URL", owner_url)
            .env("DATABASE_URL", runtime_url)
            .arg("migrate")
            .output()
            .unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    })
}

/// One request; the operator's, unless the headers say otherwise.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(40)))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: stoa\r\nConnection: close\r\n");
    let given = |name: &str| headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if !given("authorization") {
        request.push_str(&format!("Authorization: Bearer {TOKEN}\r\n"));
    }
    if !body.is_empty() && !given("content-type") {
        request.push_str("Content-Type: application/json\r\n");
    }
    // Nobody, where it is said to be empty.
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let cut = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer was cut off");
    let (head, rest) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or_else(cut)?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse::<usize>().ok());
    if length.is_some_and(|length| rest.len() < length) {
        return Err(cut());
    }
    Ok(Answer { status, headers, text: rest.to_owned() })
}

/// Looks again and again, for as long as anybody waits for something: the machine may have other things to do.
#[expect(clippy::disallowed_methods, reason = "the platform takes the time that it takes")]
pub(crate) fn looks() -> impl Iterator<Item = ()> {
    let start = std::time::Instant::now();
    std::iter::repeat(()).take_while(move |()| start.elapsed() < Duration::from_secs(20))
}
