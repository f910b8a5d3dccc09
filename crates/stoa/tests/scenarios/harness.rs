use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A left file, a right file and rules in a folder of their own.
pub(crate) struct Case {
    folder: TempDir,
    left: PathBuf,
    right: PathBuf,
    extra: Vec<String>,
}

/// What a run said.
pub(crate) struct Run {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) folder: PathBuf,
    /// The result files, read at once: the folder may be gone before they are asked for.
    files: BTreeMap<String, String>,
}

pub(crate) const HEADER: &str = "id,date,ref,amount,currency,description\n";

/// The binary under test.
pub(crate) fn stoa() -> Command {
    Command::new(env!("CARGO_BIN_EXE_stoa"))
}

impl Case {
    /// Two tables with the usual header; rows are separated by blanks at their start.
    pub(crate) fn new(left: &str, right: &str) -> Self {
        Self::files("left.csv", &table(left), "right.csv", &table(right))
    }

    /// Two files as they are.
    pub(crate) fn files(left_name: &str, left: &str, right_name: &str, right: &str) -> Self {
        Self::bytes(left_name, left.as_bytes(), right_name, right.as_bytes())
    }

    /// Two files of any bytes.
    pub(crate) fn bytes(left_name: &str, left: &[u8], right_name: &str, right: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        let (left_path, right_path) = (folder.path().join(left_name), folder.path().join(right_name));
        fs::write(&left_path, left).unwrap();
        fs::write(&right_path, right).unwrap();
        Self { folder, left: left_path, right: right_path, extra: Vec::new() }
    }

    /// One pass with these lines of YAML.
    pub(crate) fn pass(self, pass: &str) -> Self {
        self.rules(&format!("passes:\n  - name: only\n{}", indented(pass, 4)))
    }

    /// Rules without their version and name.
    pub(crate) fn rules(mut self, rules: &str) -> Self {
        let path = self.write("rules.yaml", &format!("version: 1\nname: test\n{rules}\n"));
        self.extra.extend(["--rules".to_owned(), path]);
        self
    }

    /// A further file in the folder; returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.extra.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    pub(crate) fn run(&self) -> Run {
        self.run_with(&[])
    }

    pub(crate) fn run_with(&self, more: &[&str]) -> Run {
        let results = self.folder.path().join("results");
        let mut command = stoa();
        command
            .arg("reconcile")
            .args([&self.left, &self.right])
            .args(["--output", results.to_str().unwrap()])
            .args(&self.extra)
            .args(more);
        Run::of(&command.output().unwrap(), results)
    }
}

pub(crate) fn table(rows: &str) -> String {
    let rows: Vec<&str> = rows.lines().map(str::trim).filter(|row| !row.is_empty()).collect();
    format!("{HEADER}{}\n", rows.join("\n"))
}

fn indented(text: &str, by: usize) -> String {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("{}{}\n", " ".repeat(by), line.trim_start_matches('|')))
        .collect()
}

impl Run {
    pub(crate) fn of(output: &Output, folder: PathBuf) -> Self {
        Self {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            files: fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .filter_map(|entry| {
                    let entry = entry.ok()?;
                    Some((entry.file_name().into_string().ok()?, fs::read_to_string(entry.path()).ok()?))
                })
                .collect(),
            folder,
        }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.files
            .get(name)
            .cloned()
            .unwrap_or_else(|| panic!("{name} was not written; {}{}", self.stdout, self.stderr))
    }

    fn rows(&self, name: &str) -> Vec<Vec<String>> {
        self.file(name).lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
    }

    /// `left right status` of each link.
    pub(crate) fn links(&self) -> BTreeSet<String> {
        self.rows("links.csv").iter().map(|row| row.join(" ")).collect()
    }

    /// Links of confirmed matches, `left right`.
    pub(crate) fn confirmed(&self) -> Vec<String> {
        self.links()
            .iter()
            .filter_map(|link| link.strip_suffix(" matched").or_else(|| link.strip_suffix(" group")))
            .map(str::to_owned)
            .collect()
    }

    /// The reason of each open record by its id.
    pub(crate) fn reasons(&self) -> BTreeMap<String, String> {
        self.rows("exceptions.csv").into_iter().map(|row| (row[1].clone(), row[2].clone())).collect()
    }

    pub(crate) fn reason(&self, id: &str) -> String {
        self.reasons().remove(id).unwrap_or_else(|| format!("{id} is not open"))
    }

    /// The line of `exceptions.csv` of a record.
    pub(crate) fn exception(&self, id: &str) -> String {
        self.file("exceptions.csv")
            .lines()
            .find(|line| line.split(',').nth(1) == Some(id))
            .unwrap_or("")
            .to_owned()
    }

    pub(crate) fn summary(&self) -> serde_json::Value {
        serde_json::from_str(&self.file("summary.json")).unwrap()
    }
}

/// The result files whose bytes must not depend on order, threads or partitions.
pub(crate) fn decisions(run: &Run) -> [String; 3] {
    ["links.csv", "matches.csv", "exceptions.csv"].map(|name| run.file(name))
}

pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("{} is not there: passed over", path.display());
    None
}
