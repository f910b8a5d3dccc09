use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// How a `links.csv` compares with the truth. Counts, so that nothing is rounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    /// Confirmed links (matched and group).
    pub confirmed: usize,
    /// Confirmed links that are not true.
    pub false_links: usize,
    /// For each class: true links, and how many of them are confirmed.
    pub classes: BTreeMap<String, (usize, usize)>,
    /// Duplicates, and of how many exactly one copy is confirmed.
    pub duplicates: (usize, usize),
    /// Conflicts, and how many are reported as such.
    pub conflicts: (usize, usize),
    /// Mistyped references, and how many are suggested.
    pub typos_suggested: (usize, usize),
    /// Suggested links that are not true.
    pub false_suggestions: usize,
}

type Links = BTreeSet<(String, String)>;

fn rows(path: &Path) -> io::Result<Vec<Vec<String>>> {
    let text = fs::read_to_string(path)?;
    Ok(text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect())
}

/// Compares a `links.csv` with the truth of a workload.
///
/// # Errors
/// Of the operating system.
pub fn score(folder: &Path, links: &Path) -> io::Result<Score> {
    let mut truth: BTreeMap<String, Links> = BTreeMap::new();
    for row in rows(&folder.join("truth.csv"))? {
        if let [_, class, left, right] = row.as_slice()
            && !left.is_empty()
            && !right.is_empty()
        {
            truth.entry(class.clone()).or_default().insert((left.clone(), right.clone()));
        }
    }
    let mut found: BTreeMap<String, Links> = BTreeMap::new();
    for row in rows(links)? {
        if let [left, right, status] = row.as_slice() {
            found.entry(status.clone()).or_default().insert((left.clone(), right.clone()));
        }
    }
    let of = |links: &BTreeMap<String, Links>, names: &[&str]| -> Links {
        names.iter().filter_map(|name| links.get(*name)).flatten().cloned().collect()
    };
    let confirmed = of(&found, &["matched", "group"]);
    let good = of(&truth, &["one_to_one", "one_to_many", "ref_typo", "duplicate_right"]);
    let both = |a: &Links, b: &Links| a.intersection(b).count();
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for (left, right) in of(&truth, &["duplicate_right"]) {
        let is_confirmed = confirmed.contains(&(left.clone(), right));
        *copies.entry(left).or_insert(0) += usize::from(is_confirmed);
    }
    let conflicts = of(&truth, &["amount_conflict", "date_conflict"]);
    let typos = of(&truth, &["ref_typo"]);
    let suggested = of(&found, &["suggested"]);
    Ok(Score {
        confirmed: confirmed.len(),
        false_links: confirmed.difference(&good).count(),
        classes: truth
            .iter()
            .map(|(class, links)| (class.clone(), (links.len(), both(links, &confirmed))))
            .collect(),
        duplicates: (copies.len(), copies.values().filter(|&&count| count == 1).count()),
        conflicts: (conflicts.len(), both(&conflicts, &of(&found, &["conflict"]))),
        typos_suggested: (typos.len(), both(&typos, &suggested)),
        false_suggestions: suggested.difference(&good).count(),
    })
}
