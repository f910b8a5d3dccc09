//! BAI version 2 cash management balance reporting: files, groups, accounts, transactions, continuations.
//!
//! Source: BAI, "Cash Management Balance Reporting Specifications, Version 2"; type codes of ASC X9.121.

use std::collections::VecDeque;
use std::fs::File;

use stoa_kernel::currency::Currency;
use stoa_kernel::date::Day;
use stoa_kernel::money::Decimal;
use stoa_reconciliation::normalise::dates::{self, DateFormat};
use stoa_reconciliation::normalise::numbers::NumberFormat;
use stoa_reconciliation::profile::Profile;
use stoa_reconciliation::row::{
    Balance, BalanceKind, ControlTotal, Item, Place, ReadError, Rejection, Row, RowReader, Warning,
};

use crate::lines::Lines;
use crate::table::Table;

const COLUMNS: [&str; 11] = [
    "statement",
    "account",
    "booked_date",
    "value_date",
    "direction",
    "amount",
    "currency",
    "type",
    "reference.customer",
    "reference.bank",
    "text",
];

/// How BAI2 rows become records.
pub(crate) fn profile() -> Profile {
    Profile::canonical(&COLUMNS, NumberFormat::MinorUnits, DateFormat::ShortYearMonthDay)
}

/// A record with its continuations.
#[derive(Debug)]
struct Logical {
    code: String,
    fields: Vec<String>,
    place: Place,
    lines: u64,
    /// Its last line ended with a slash.
    is_ended: bool,
}

impl Logical {
    fn go_on(&mut self, between: char, text: &str) {
        if let Some(last) = self.fields.last_mut() {
            last.push(between);
            last.push_str(text);
        }
    }

    /// A line that was broken inside a field: its first part belongs to the field that was left open.
    fn go_on_fields(&mut self, text: &str) {
        self.is_ended = text.ends_with('/');
        let text = text.strip_suffix('/').unwrap_or(text);
        for (index, part) in text.split(',').enumerate() {
            match self.fields.last_mut().filter(|_| index == 0) {
                Some(last) => last.push_str(part.trim()),
                None => self.fields.push(part.to_owned()),
            }
        }
    }
}

/// The codes of records.
const CODES: [&str; 8] = ["01", "02", "03", "16", "49", "88", "98", "99"];

/// Where the next record of the same line begins: after a slash, blanks, and a code with its comma.
fn next_record(line: &str) -> Option<usize> {
    line.match_indices('/').find_map(|(at, _)| {
        let after = line.get(at + 1..)?;
        let rest = after.trim_start();
        let is_code = rest.get(..2).is_some_and(|code| CODES.contains(&code)) && rest.get(2..3) == Some(",");
        (is_code && rest.len() < after.len()).then_some(line.len() - rest.len())
    })
}

#[derive(Debug, Default)]
struct Level {
    sum: i128,
    members: u64,
    records: u64,
}

/// Reads BAI2.
pub(crate) struct Bai2 {
    lines: Lines,
    table: Table,
    pending: VecDeque<Item>,
    open: Option<Logical>,
    /// What is left of a line that holds several records.
    rest: Option<(String, Place)>,
    account: String,
    currency: String,
    group_currency: String,
    as_of: String,
    statement: u32,
    /// Account, group, file.
    levels: [Level; 3],
    seen_file: bool,
    seen_trailer: bool,
    at_end: bool,
}

impl Bai2 {
    pub(crate) fn new(file: File, offset: u64) -> Self {
        Self {
            lines: Lines::new(file, offset),
            table: Table::with(&COLUMNS),
            pending: VecDeque::new(),
            open: None,
            rest: None,
            account: String::new(),
            currency: String::new(),
            group_currency: String::new(),
            as_of: String::new(),
            statement: 0,
            levels: Default::default(),
            seen_file: false,
            seen_trailer: false,
            at_end: false,
        }
    }

    /// The next line, or the next record where several stand on one line.
    fn next_part(&mut self) -> Result<Option<(String, Place)>, ReadError> {
        let (text, place) = match self.rest.take() {
            Some(rest) => rest,
            None => match self.lines.next()? {
                Some(line) => (line.text, line.place),
                None => return Ok(None),
            },
        };
        let Some(at) = next_record(&text) else { return Ok(Some((text, place))) };
        let (first, rest) = text.split_at(at);
        self.rest = Some((rest.to_owned(), Place { line: place.line, byte: place.byte + at as u64 }));
        Ok(Some((first.to_owned(), place)))
    }

    /// Reads one line; returns the record that it ends.
    fn take_line(&mut self) -> Result<Option<Logical>, ReadError> {
        let Some((text, place)) = self.next_part()? else {
            self.at_end = true;
            return Ok(self.open.take());
        };
        let text = text.trim_end();
        if text.trim().is_empty() {
            return Ok(None);
        }
        let (code, rest) = text.trim_start().split_once(',').unwrap_or((text.trim(), ""));
        if code == "88" {
            let Some(open) = &mut self.open else {
                self.reject(place, "a continuation (88) without a record before it", text);
                return Ok(None);
            };
            open.lines += 1;
            // In a text the continuation goes on with the text, elsewhere with the next field.
            let in_text = open.code == "16" && has_text(&open.fields);
            open.is_ended = rest.ends_with('/');
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            if in_text {
                open.go_on('\n', rest);
            } else {
                open.fields.extend(rest.split(',').map(str::to_owned));
            }
            return Ok(None);
        }
        if !CODES.contains(&code) {
            match &mut self.open {
                // A record without a slash at its end goes on in the next line: its text, or its last field.
                Some(open) if open.code == "16" && has_text(&open.fields) => open.go_on('\n', text),
                Some(open) if !open.is_ended => open.go_on_fields(text),
                _ => self.reject(
                    place,
                    "the line has no known record code (01, 02, 03, 16, 49, 88, 98, 99)",
                    text,
                ),
            }
            return Ok(None);
        }
        let is_ended = rest.ends_with('/');
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let fields = rest.split(',').map(str::to_owned).collect();
        Ok(self.open.replace(Logical { code: code.to_owned(), fields, place, lines: 1, is_ended }))
    }

    fn reject(&mut self, place: Place, reason: &str, raw: &str) {
        self.pending.push_back(Item::Rejected(Rejection::new(place, reason, raw)));
    }

    fn warn(&mut self, place: Place, message: &str) {
        self.pending.push_back(Item::Warning(Warning { place, message: message.to_owned() }));
    }

    fn count(&mut self, lines: u64) {
        for level in &mut self.levels {
            level.records += lines;
        }
    }

    fn apply(&mut self, record: &Logical, row: &mut Row) -> Option<Item> {
        let field = |index: usize| record.fields.get(index).map_or("", |field| field.trim());
        if record.code == "01" {
            self.levels = Default::default();
        }
        self.count(record.lines);
        match record.code.as_str() {
            "01" => self.seen_file = true,
            "02" => {
                let [_, group, _] = &mut self.levels;
                *group = Level { records: record.lines, ..Level::default() };
                self.as_of = field(3).to_owned();
                self.group_currency = field(5).to_owned();
            }
            "03" => self.begin_account(record),
            "16" => return self.transaction(record, row),
            "49" => self.trailer(record, 0, "account"),
            "98" => self.trailer(record, 1, "group"),
            _ => {
                self.seen_trailer = true;
                self.trailer(record, 2, "file");
            }
        }
        None
    }

    fn begin_account(&mut self, record: &Logical) {
        let field = |index: usize| record.fields.get(index).map_or("", |field| field.trim());
        self.statement += 1;
        let [account, ..] = &mut self.levels;
        *account = Level { records: record.lines, ..Level::default() };
        self.account = field(0).to_owned();
        self.currency = [field(1), &self.group_currency, "USD"]
            .into_iter()
            .find(|code| !code.is_empty())
            .unwrap_or("USD")
            .to_owned();
        let Ok(currency) = self.currency.parse::<Currency>() else {
            return self.warn(
                record.place,
                &format!("\"{}\" is not a currency; balances are passed over", self.currency),
            );
        };
        // Groups of type, amount, count, funds type, and what the funds type brings.
        let mut at = 2;
        while at < record.fields.len() {
            let code = field(at);
            let amount = field(at + 1);
            at += 4 + funds_fields(field(at + 3), field(at + 4));
            if code.is_empty() || amount.is_empty() {
                continue;
            }
            let Ok(units) = amount.trim_start_matches('+').parse::<i128>() else {
                self.warn(record.place, &format!("the amount \"{amount}\" of type {code} cannot be read"));
                continue;
            };
            for level in &mut self.levels {
                level.sum = level.sum.saturating_add(units);
            }
            // Types below 100 are balances; the others are summaries of what follows.
            let kind = match code {
                "010" => BalanceKind::Opening,
                "015" => BalanceKind::Closing,
                _ if code.starts_with('0') => BalanceKind::Other,
                _ => continue,
            };
            let date = as_of(&self.as_of);
            let amount = Decimal::new(units, currency.exponent());
            let (statement, account) = (self.statement, self.account.clone());
            self.pending.push_back(Item::Balance(Balance {
                place: record.place,
                kind,
                statement,
                account,
                currency,
                amount,
                date,
            }));
        }
    }

    fn transaction(&mut self, record: &Logical, row: &mut Row) -> Option<Item> {
        let field = |index: usize| record.fields.get(index).map_or("", |field| field.trim());
        let raw = || format!("16,{}", record.fields.join(","));
        let (code, amount) = (field(0), field(1));
        let Ok(units) = amount.trim_start_matches('+').parse::<i128>() else {
            let reason = format!("the amount \"{amount}\" is not a number of minor units");
            return Some(Item::Rejected(Rejection::new(record.place, reason, &raw())));
        };
        for level in &mut self.levels {
            level.sum = level.sum.saturating_add(units);
        }
        // X9.121: 100 to 399 are credits, 400 to 699 debits; 890 carries no money.
        let direction = match code.parse::<u16>() {
            Ok(100..=399) => "C",
            Ok(400..=699) => "D",
            Ok(900..=959) => "C",
            Ok(960..=999) => "D",
            Ok(700..=799) => {
                if code.as_bytes().get(1).is_some_and(|digit| *digit < b'6') {
                    "C"
                } else {
                    "D"
                }
            }
            _ => {
                let reason =
                    format!("the type code \"{code}\" is neither a credit (100–399) nor a debit (400–699)");
                return Some(Item::Rejected(Rejection::new(record.place, reason, &raw())));
            }
        };
        let funds = field(2);
        let extra = funds_fields(funds, field(3));
        let text_at = 3 + extra + 2;
        let value_date = if funds == "V" { field(3) } else { "" };
        let text =
            record.fields.get(text_at..).map(|parts| parts.join(",").replace('\n', " ")).unwrap_or_default();
        let statement = self.statement.to_string();
        let magnitude = units.abs().to_string();
        let flipped = if units < 0 { if direction == "C" { "D" } else { "C" } } else { direction };
        for (column, value) in [
            ("statement", statement.as_str()),
            ("account", &self.account),
            ("booked_date", &self.as_of),
            ("value_date", value_date),
            ("direction", flipped),
            ("amount", &magnitude),
            ("currency", &self.currency),
            ("type", code),
            ("reference.bank", field(3 + extra)),
            ("reference.customer", field(4 + extra)),
            ("text", &text),
            ("funds_type", funds),
        ] {
            self.table.set(column, value);
        }
        self.table.finish(row, record.place);
        Some(Item::Row)
    }

    /// Compares a trailer with what was found: the sum of all amounts, and the number of records.
    fn trailer(&mut self, record: &Logical, level: usize, name: &str) {
        let field = |index: usize| record.fields.get(index).map_or("", |field| field.trim());
        let Some(found) = self.levels.get(level) else { return };
        let records_at = if level == 0 { 1 } else { 2 };
        let (sum, records, members) = (found.sum, found.records, found.members);
        let mut differ = |of: String, stated: &str, found: String| {
            self.pending.push_back(Item::ControlTotal(ControlTotal {
                place: record.place,
                of,
                stated: stated.to_owned(),
                found,
            }));
        };
        if field(0).trim_start_matches('+').parse() != Ok(sum) {
            differ(format!("sum of the {name}"), field(0), sum.to_string());
        }
        if field(records_at).parse() != Ok(records) {
            differ(format!("number of records of the {name}"), field(records_at), records.to_string());
        }
        if level > 0 && field(1).parse() != Ok(members) {
            differ(format!("number of members of the {name}"), field(1), members.to_string());
        }
        if let Some(parent) = self.levels.get_mut(level + 1) {
            parent.members += 1;
        }
        if let Some(level) = self.levels.get_mut(level) {
            *level = Level::default();
        }
    }
}

/// Whether the text field of a 16 record has begun.
fn has_text(fields: &[String]) -> bool {
    let field = |index: usize| fields.get(index).map_or("", |field| field.trim());
    fields.len() > 3 + funds_fields(field(2), field(3)) + 2
}

/// How many fields follow a funds type: S three amounts, V date and time, D pairs.
fn funds_fields(funds_type: &str, next: &str) -> usize {
    match funds_type {
        "S" => 3,
        "V" => 2,
        "D" => 1 + 2 * next.parse::<usize>().unwrap_or(0).min(100),
        _ => 0,
    }
}

fn as_of(text: &str) -> Option<Day> {
    dates::parse(text, DateFormat::ShortYearMonthDay, None).ok().flatten().map(|read| read.day)
}

impl RowReader for Bai2 {
    fn columns(&self) -> &[String] {
        self.table.columns()
    }

    fn next(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Ok(Some(item));
            }
            if self.at_end {
                if self.seen_file && !self.seen_trailer {
                    self.seen_trailer = true;
                    let place = Place { line: 1, byte: 0 };
                    return Ok(Some(Item::Warning(Warning {
                        place,
                        message: "the file has no trailer (99); it may be cut off".to_owned(),
                    })));
                }
                return Ok(None);
            }
            if let Some(record) = self.take_line()?
                && let Some(item) = self.apply(&record, row)
            {
                return Ok(Some(item));
            }
        }
    }

    fn position(&self) -> u64 {
        self.lines.position()
    }
}
