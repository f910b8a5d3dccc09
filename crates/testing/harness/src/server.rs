//! A process that serves, as long as it is held.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A server that says nothing for so long will not be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A server in a folder of its own.
pub(crate) struct Server {
    child: Child,
    /// How it is asked to end.
    signal: &'static str,
    pub(crate) folder: TempDir,
}

/// Whom servers run as that refuse to be root: `None` when this process is not root.
fn other_user() -> Option<(u32, u32)> {
    let whoami = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap_or(0);
    if whoami != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the machine has users");
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(of("postgres").or_else(|| of("nobody")).expect("there is a user who is not root"))
}

/// A folder that the server's user owns.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("stoa-test-").tempdir().expect("a folder for a server");
    if let Some((user, group)) = other_user() {
        chown(folder.path(), Some(user), Some(group)).expect("the folder can be given away");
    }
    folder
}

/// Gives a file to the server's user, who alone may read it.
pub(crate) fn own(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
    if let Some((user, group)) = other_user() {
        chown(path, Some(user), Some(group)).expect("the file can be given away");
    }
}

/// A command as a user who is not root, which ends when this process does.
pub(crate) fn unprivileged(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some((user, group)) = other_user() {
        command.args(["--reuid", &user.to_string(), "--regid", &group.to_string(), "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

impl Server {
    /// Starts a server and waits until it says `ready` on one of its outputs.
    pub(crate) fn start(mut command: Command, folder: TempDir, ready: &str, signal: &'static str) -> Self {
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}; scripts/setup.sh installs what tests need"));
        let (said, lines) = std::sync::mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let said = said.clone();
            // Read to the end, so that the server never waits for a reader.
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = said.send(line);
                }
            });
        }
        drop(said);
        let mut all = String::new();
        while let Ok(line) = lines.recv_timeout(READY_WITHIN) {
            all.push_str(&line);
            all.push('\n');
            if line.contains(ready) {
                return Self { child, signal, folder };
            }
        }
        let _ = child.kill();
        let status = child.wait();
        panic!("{shown} ended or fell silent before it was ready: {status:?}\n{all}");
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        let _ = self.child.wait();
    }

    /// Sends a signal that ends it, and waits until it has ended.
    pub(crate) fn end_by(&mut self, signal: &str) {
        self.signal(signal);
        let _ = self.child.wait();
    }

    /// Sends a signal, such as `STOP` and `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(self.signal);
            let _ = self.child.wait();
        }
    }
}

/// A program that is in the path, or where Debian keeps it.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    places.extend(versions.into_iter().rev());
    places
        .iter()
        .map(|place| place.join(name))
        .find(|path: &PathBuf| Path::exists(path))
        .unwrap_or_else(|| panic!("{name} is not installed; scripts/setup.sh installs what tests need"))
}
