//! Quicken Interchange Format: records of one-letter lines, ended by `^`.
//!
//! Source: Intuit, "Quicken Interchange Format (QIF) files". Dates and numbers are in the format of the machine that wrote
//! them, so they are inferred from a sample as for a table.

use std::collections::VecDeque;
use std::fs::File;

use stoa_reconciliation::row::{Item, Place, ReadError, Rejection, Row, RowReader, Warning};

use crate::lines::Lines;
use crate::table::Table;

const COLUMNS: [&str; 9] =
    ["booked_date", "amount", "account", "type", "reference", "counterparty", "text", "category", "cleared"];

/// Reads QIF.
pub(crate) struct Qif {
    lines: Lines,
    table: Table,
    pending: VecDeque<Item>,
    account: String,
    kind: String,
    /// `U`: the amount again, with more digits; it counts only where `T` is missing.
    amount_again: String,
    section: Section,
    started: Option<Place>,
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Transactions,
    Account,
    /// Lists of categories, classes, securities: no money moves in them.
    Other,
}

impl Qif {
    pub(crate) fn new(file: File, offset: u64) -> Self {
        Self {
            lines: Lines::new(file, offset),
            table: Table::with(&COLUMNS),
            pending: VecDeque::new(),
            account: String::new(),
            kind: String::new(),
            amount_again: String::new(),
            section: Section::Transactions,
            started: None,
            done: false,
        }
    }

    fn header(&mut self, header: &str) {
        let lower = header.to_ascii_lowercase();
        self.section = match lower.as_str() {
            "!account" => Section::Account,
            _ if lower.starts_with("!type:") => match lower.trim_start_matches("!type:").trim() {
                "bank" | "cash" | "ccard" | "oth a" | "oth l" | "invst" => Section::Transactions,
                _ => Section::Other,
            },
            // Options such as !Option:AutoSwitch change nothing here.
            _ => self.section,
        };
        if self.section == Section::Transactions && lower.starts_with("!type:") {
            header.get(6..).unwrap_or("").trim().clone_into(&mut self.kind);
        }
    }

    fn line(&mut self, text: &str, place: Place, row: &mut Row) -> Option<Item> {
        let mut chars = text.chars();
        let code = chars.next()?;
        let value = chars.as_str().trim();
        match (self.section, code) {
            (_, '!') => self.header(text.trim()),
            (Section::Account, 'N') => value.clone_into(&mut self.account),
            (Section::Account | Section::Other, _) => {}
            (Section::Transactions, '^') => return self.end(row),
            (Section::Transactions, _) => {
                self.started.get_or_insert(place);
                match code {
                    'D' => self.table.set("booked_date", &plain_date(value)),
                    'T' => self.table.set("amount", value),
                    'U' => value.clone_into(&mut self.amount_again),
                    'N' => self.table.set("reference", value),
                    'P' => self.table.set("counterparty", value),
                    'M' => self.table.set("text", value),
                    'L' => self.table.set("category", value),
                    'C' => self.table.set("cleared", value),
                    'A' => self.table.set("address", value),
                    'S' | 'E' | '$' | '%' => self.table.set("splits", text.trim()),
                    other => self.table.set(&format!("line_{other}"), value),
                }
            }
        }
        None
    }

    fn end(&mut self, row: &mut Row) -> Option<Item> {
        let place = self.started.take()?;
        let again = std::mem::take(&mut self.amount_again);
        if self.table.get("amount").is_empty() {
            self.table.set("amount", &again);
        }
        if self.table.get("amount").is_empty() && self.table.get("booked_date").is_empty() {
            let raw = self.table.abandon();
            return Some(Item::Rejected(Rejection::new(
                place,
                "the record has neither date nor amount",
                &raw,
            )));
        }
        let (account, kind) = (self.account.clone(), self.kind.clone());
        self.table.set("account", &account);
        self.table.set("type", &kind);
        self.table.finish(row, place);
        Some(Item::Row)
    }
}

/// `1/ 5'05` is 1/5/05: Quicken writes an apostrophe before years from 2000 on, and blanks for leading zeros.
fn plain_date(value: &str) -> String {
    value.chars().filter(|c| !c.is_whitespace()).map(|c| if c == '\'' { '/' } else { c }).collect()
}

impl RowReader for Qif {
    fn columns(&self) -> &[String] {
        self.table.columns()
    }

    fn next(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Ok(Some(item));
            }
            let Some(line) = self.lines.next()? else {
                if std::mem::replace(&mut self.done, true) {
                    return Ok(None);
                }
                // The last record may lack its end.
                if let Some(place) = self.started {
                    self.pending.push_back(Item::Warning(Warning {
                        place,
                        message: "the last record is not ended by ^".to_owned(),
                    }));
                }
                if let Some(item) = self.end(row) {
                    return Ok(Some(item));
                }
                continue;
            };
            if let Some(item) = self.line(&line.text, line.place, row) {
                return Ok(Some(item));
            }
        }
    }

    fn position(&self) -> u64 {
        self.lines.position()
    }
}
