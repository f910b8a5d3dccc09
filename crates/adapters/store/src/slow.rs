//! Statements that took long.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use stoa_kernel::store::insight::SlowStatement;

/// From so many microseconds on a statement is slow.
const SLOW_US: i64 = 50_000;
/// So many texts are remembered; further ones count as one.
const TEXTS_MAX: usize = 200;

/// Remembers slow statements. One that is not slow costs a comparison.
#[derive(Debug, Default)]
pub struct SlowLog(Mutex<HashMap<String, (u64, i64, i64)>>);

impl SlowLog {
    /// A statement took so long.
    pub fn note(&self, sql: &str, took_us: i64) {
        if took_us < SLOW_US {
            return;
        }
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = if texts.len() < TEXTS_MAX || texts.contains_key(sql) { sql } else { "(others)" };
        let entry = texts.entry(text.to_owned()).or_default();
        *entry = (entry.0 + 1, entry.1.max(took_us), entry.2.saturating_add(took_us));
    }

    /// The slowest in all.
    #[must_use]
    pub fn worst(&self, count: usize) -> Vec<SlowStatement> {
        let texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let statement = |(sql, &(calls, max_us, total_us)): (&String, &(u64, i64, i64))| SlowStatement {
            sql: sql.clone(),
            calls,
            max_us,
            total_us,
        };
        let mut all: Vec<SlowStatement> = texts.iter().map(statement).collect();
        all.sort_by(|a, b| b.total_us.cmp(&a.total_us).then_with(|| a.sql.cmp(&b.sql)));
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slow_statements_are_remembered_and_only_so_many_texts() {
        let log = SlowLog::default();
        log.note("fast", SLOW_US - 1);
        log.note("a", SLOW_US);
        log.note("a", 3 * SLOW_US);
        (0..1_000).for_each(|number| log.note(&format!("s{number}"), SLOW_US));
        let worst = log.worst(2);
        assert_eq!(worst.iter().map(|one| one.sql.as_str()).collect::<Vec<_>>(), ["(others)", "a"]);
        assert_eq!((worst[1].calls, worst[1].max_us, worst[1].total_us), (2, 150_000, 200_000));
        assert_eq!(log.worst(1_000).len(), TEXTS_MAX + 1);
    }
}
