//! SWIFT MT940 (customer statement) and MT942 (interim report), as banks write them: with or without envelope, wrapped
//! lines, several statements in one file, missing balances.
//!
//! Source: SWIFT Standards, Category 9, and the deviations in public test files.

use std::collections::VecDeque;
use std::fs::File;

use stoa_kernel::currency::Currency;
use stoa_kernel::date::Day;
use stoa_kernel::money::Decimal;
use stoa_reconciliation::normalise::dates::{self, DateFormat};
use stoa_reconciliation::normalise::numbers::{self, NumberFormat};
use stoa_reconciliation::profile::Profile;
use stoa_reconciliation::row::{
    Balance, BalanceKind, ControlTotal, Item, Place, ReadError, Rejection, Row, RowReader, Warning,
};

use crate::lines::{Line, Lines};
use crate::narrative;
use crate::table::Table;

const COLUMNS: [&str; 13] = [
    "statement",
    "account",
    "value_date",
    "booked_date",
    "direction",
    "amount",
    "currency",
    "type",
    "reference.customer",
    "reference.bank",
    "counterparty",
    "text",
    "reference.end_to_end",
];

/// Tags that may begin a field. Anything else that looks like one is part of the text before it.
const TAGS: [&str; 24] = [
    "20", "21", "25", "25P", "28", "28C", "60F", "60M", "61", "62F", "62M", "64", "65", "86", "13", "13D",
    "34F", "34C", "34D", "90C", "90D", "NS", "940", "942",
];

/// Splits `:61:rest` into tag and rest, for known tags only.
pub(crate) fn tag_of(text: &str) -> Option<(&str, &str)> {
    let (tag, rest) = text.strip_prefix(':')?.split_once(':')?;
    TAGS.contains(&tag).then_some((tag, rest))
}

/// How MT940 rows become records.
pub(crate) fn profile() -> Profile {
    let mut profile = Profile::canonical(&COLUMNS, NumberFormat::Comma, DateFormat::ShortYearMonthDay);
    if let Some(slot) = profile.dates.get_mut(3) {
        *slot = DateFormat::MonthDay;
    }
    profile
}

/// Reads MT940 and MT942.
pub(crate) struct Mt940 {
    lines: Lines,
    table: Table,
    /// The tag that is being collected: its name, its lines, its place.
    open: Option<Field>,
    pending: VecDeque<Item>,
    statement: Statement,
    statements: u32,
    /// A `:61:` line whose narrative may still come.
    entry: Option<Place>,
    any_tag: bool,
    done: bool,
}

#[derive(Debug)]
struct Field {
    tag: String,
    lines: Vec<String>,
    place: Place,
}

#[derive(Debug)]
struct Statement {
    account: String,
    currency: Option<Currency>,
    has_opening: bool,
    has_closing: bool,
    is_interim: bool,
    has_entries: bool,
    place: Place,
    /// Number and sum of debits and of credits.
    totals: [(u32, Decimal); 2],
}

impl Statement {
    const fn at(place: Place) -> Self {
        Self {
            account: String::new(),
            currency: None,
            has_opening: false,
            has_closing: false,
            is_interim: false,
            has_entries: false,
            place,
            totals: [(0, Decimal::ZERO); 2],
        }
    }
}

impl Mt940 {
    pub(crate) fn new(file: File, offset: u64) -> Self {
        Self {
            lines: Lines::new(file, offset),
            table: Table::with(&COLUMNS),
            open: None,
            pending: VecDeque::new(),
            statement: Statement::at(Place { line: 1, byte: offset }),
            statements: 0,
            entry: None,
            any_tag: false,
            done: false,
        }
    }

    fn feed(&mut self, line: &Line, row: &mut Row) -> Option<Item> {
        let mut text = line.text.trim_end();
        // Envelope `{1:…}{2:…}{4:` before the first field.
        if text.starts_with('{')
            && let Some((_, rest)) = text.rsplit_once("{4:")
        {
            text = rest;
        }
        let trimmed = text.trim_start();
        if let Some((tag, rest)) = tag_of(trimmed) {
            let finished = self.close(row);
            self.any_tag = true;
            self.open = Some(Field { tag: tag.to_owned(), lines: vec![rest.to_owned()], place: line.place });
            return finished;
        }
        if matches!(trimmed, "-" | "-}" | "-XXX") || trimmed.starts_with("-}{") {
            let finished = self.close(row);
            return finished.or_else(|| self.end_entry(row));
        }
        let Some(open) = &mut self.open else { return None };
        // A field whose colon stands alone on the line before: ":" then "86:…".
        if open.lines.last().is_some_and(|last| last == ":")
            && let Some((tag, rest)) = trimmed.split_once(':')
            && TAGS.contains(&tag)
        {
            open.lines.pop();
            let (tag, rest) = (tag.to_owned(), rest.to_owned());
            let finished = self.close(row);
            self.open = Some(Field { tag, lines: vec![rest], place: line.place });
            return finished;
        }
        open.lines.push(text.to_owned());
        None
    }

    /// Ends the field that is being collected.
    fn close(&mut self, row: &mut Row) -> Option<Item> {
        let field = self.open.take()?;
        let first = field.lines.first().map_or("", |line| line.trim());
        if field.tag != "86" {
            let ended = self.end_entry(row);
            if let Some(ended) = ended {
                self.apply(&field, first);
                return Some(ended);
            }
        }
        self.apply(&field, first);
        self.pending.pop_front()
    }

    fn warn(&mut self, place: Place, message: String) {
        self.pending.push_back(Item::Warning(Warning { place, message }));
    }

    fn apply(&mut self, field: &Field, first: &str) {
        match field.tag.as_str() {
            "20" => self.begin(field.place),
            "940" | "942" | "21" | "NS" => {}
            "25" | "25P" => self.statement.account = first.to_owned(),
            "28" | "28C" if self.statements == 0 => self.begin(field.place),
            "28" | "28C" => {}
            "13" | "13D" => self.statement.is_interim = true,
            "34F" => {
                self.statement.is_interim = true;
                let code = first.get(..3).unwrap_or("");
                self.statement.currency = code.parse().ok().or(self.statement.currency);
            }
            "60F" | "60M" => self.balance(field, first, BalanceKind::Opening),
            "62F" | "62M" => self.balance(field, first, BalanceKind::Closing),
            "64" | "65" => self.balance(field, first, BalanceKind::Other),
            "90C" | "90D" => self.control_total(field, first),
            "61" => self.entry_line(field),
            "86" if self.entry.is_some() => {
                narrative::read(&field.lines, &mut self.table);
            }
            _ => {}
        }
    }

    fn begin(&mut self, place: Place) {
        self.check_closed();
        self.statements += 1;
        self.statement = Statement::at(place);
    }

    /// A statement without its closing balance is read, and said.
    fn check_closed(&mut self) {
        let statement = &self.statement;
        if statement.has_opening && !statement.has_closing {
            let place = statement.place;
            self.warn(place, "the statement has no closing balance (:62F: or :62M:)".to_owned());
        } else if statement.has_entries && !statement.has_opening && !statement.is_interim {
            let place = statement.place;
            self.warn(place, "the statement has no opening balance (:60F: or :60M:)".to_owned());
        }
    }

    fn balance(&mut self, field: &Field, first: &str, kind: BalanceKind) {
        match kind {
            BalanceKind::Opening => self.statement.has_opening = true,
            BalanceKind::Closing => self.statement.has_closing = true,
            BalanceKind::Other => {}
        }
        let Some((amount, currency, date)) = read_balance(first) else {
            return self.warn(field.place, format!("the balance \"{first}\" cannot be read"));
        };
        if kind == BalanceKind::Opening {
            self.statement.currency = Some(currency);
        }
        let (statement, account) = (self.statements, self.statement.account.clone());
        self.pending.push_back(Item::Balance(Balance {
            place: field.place,
            kind,
            statement,
            account,
            currency,
            amount,
            date,
        }));
    }

    /// `:90D:1EUR2,30`: number and sum of debits (C: credits) of an interim report.
    fn control_total(&mut self, field: &Field, first: &str) {
        let digits = first.bytes().take_while(u8::is_ascii_digit).count();
        let (count, rest) = first.split_at(digits);
        let stated =
            rest.get(3..).and_then(|amount| numbers::parse(amount, NumberFormat::Comma).ok().flatten());
        let [debits, credits] = self.statement.totals;
        let (found_count, found_sum) = if field.tag == "90D" { debits } else { credits };
        if count.parse() != Ok(found_count) || stated != Some(found_sum) {
            let of =
                if field.tag == "90D" { "number and sum of debits" } else { "number and sum of credits" };
            let found = format!("{found_count} and {found_sum}");
            self.pending.push_back(Item::ControlTotal(ControlTotal {
                place: field.place,
                of: of.to_owned(),
                stated: first.to_owned(),
                found,
            }));
        }
    }

    fn entry_line(&mut self, field: &Field) {
        if self.statements == 0 {
            self.begin(field.place);
        }
        self.statement.has_entries = true;
        // The amount may have been wrapped: then only the joined lines read.
        let whole = field.lines.join("");
        let first = field.lines.first().map_or("", String::as_str);
        let (entry, rest) = match read_entry(first) {
            Some(entry) => (Some(entry), field.lines.get(1..).unwrap_or(&[])),
            None => (read_entry(&whole), [].as_slice()),
        };
        let Some(entry) = entry else {
            let reason = "the line is not a statement line (:61:): value date, mark, amount, type, reference";
            self.pending.push_back(Item::Rejected(Rejection::new(field.place, reason, &whole)));
            return;
        };
        let (count, sum) = {
            let [debits, credits] = &mut self.statement.totals;
            if entry.mark.ends_with('D') { debits } else { credits }
        };
        *count += 1;
        if let Ok(Some(amount)) = numbers::parse(&entry.amount, NumberFormat::Comma) {
            *sum = sum.checked_add(amount).unwrap_or(*sum);
        }
        let currency = self.statement.currency.map(|currency| currency.to_string()).unwrap_or_default();
        let account = self.statement.account.clone();
        let statement = self.statements.to_string();
        for (column, value) in [
            ("statement", statement.as_str()),
            ("account", &account),
            ("value_date", &entry.value_date),
            ("booked_date", &entry.entry_date),
            ("direction", &entry.mark),
            ("amount", &entry.amount),
            ("currency", &currency),
            ("type", &entry.kind),
            ("reference.customer", &entry.customer),
            ("reference.bank", &entry.bank),
            ("funds_code", &entry.funds_code),
        ] {
            self.table.set(column, value);
        }
        for line in rest {
            self.table.set("supplementary", line);
        }
        self.entry = Some(field.place);
    }

    /// Ends the entry whose narrative was still awaited.
    fn end_entry(&mut self, row: &mut Row) -> Option<Item> {
        let place = self.entry.take()?;
        self.table.finish(row, place);
        Some(Item::Row)
    }

    fn finish(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        if let Some(item) = self.close(row) {
            return Ok(Some(item));
        }
        if let Some(item) = self.end_entry(row) {
            return Ok(Some(item));
        }
        if !self.done {
            self.done = true;
            if !self.any_tag {
                let message = "there is no SWIFT field such as :20: or :61: in the file".to_owned();
                return Err(ReadError::Malformed { place: Place { line: 1, byte: 0 }, message });
            }
            self.check_closed();
        }
        Ok(self.pending.pop_front())
    }
}

impl RowReader for Mt940 {
    fn columns(&self) -> &[String] {
        self.table.columns()
    }

    fn next(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Ok(Some(item));
            }
            let Some(line) = self.lines.next()? else { return self.finish(row) };
            if let Some(item) = self.feed(&line, row) {
                return Ok(Some(item));
            }
        }
    }

    fn position(&self) -> u64 {
        self.lines.position()
    }
}

struct Entry {
    value_date: String,
    entry_date: String,
    mark: String,
    funds_code: String,
    amount: String,
    kind: String,
    customer: String,
    bank: String,
}

/// `6!n[4!n]2a[1!a]15d1!a3!c16x[//16x]`, where the entry date may be blanks and references may be longer.
fn read_entry(text: &str) -> Option<Entry> {
    let digits = |text: &str, count: usize| {
        text.get(..count).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit())).map(str::to_owned)
    };
    let mut rest = text.trim_start();
    let value_date = digits(rest, 6)?;
    rest = rest.get(6..)?;
    let entry_date = match digits(rest, 4) {
        Some(date) => {
            rest = rest.get(4..)?;
            date
        }
        None => {
            rest = rest.trim_start();
            String::new()
        }
    };
    // Reversals RC, RD; expected entries EC, ED; else C, D.
    let mark_bytes = if rest.starts_with(['R', 'E']) { 2 } else { 1 };
    let mark = rest.get(..mark_bytes).filter(|mark| mark.ends_with(['C', 'D']))?;
    rest = rest.get(mark_bytes..)?;
    let funds_code =
        rest.get(..1).filter(|code| code.bytes().all(|byte| byte.is_ascii_alphabetic())).unwrap_or("");
    rest = rest.get(funds_code.len()..)?;
    let amount_bytes =
        rest.bytes().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'.')).count();
    let amount =
        rest.get(..amount_bytes).filter(|amount| amount.bytes().any(|byte| byte.is_ascii_digit()))?;
    rest = rest.get(amount_bytes..)?;
    let kind_bytes = rest.char_indices().nth(4).map_or(rest.len(), |(at, _)| at);
    let (kind, references) = rest.split_at(kind_bytes);
    let (customer, bank) = references.split_once("//").unwrap_or((references, ""));
    Some(Entry {
        value_date,
        entry_date,
        mark: mark.trim_start_matches('E').to_owned(),
        funds_code: funds_code.to_owned(),
        amount: if amount.contains(',') { amount.replace('.', "") } else { amount.replace('.', ",") },
        kind: kind.to_owned(),
        customer: customer.trim().to_owned(),
        bank: bank.trim().to_owned(),
    })
}

/// `C110522EUR3236,28`: mark, date, currency, amount.
fn read_balance(text: &str) -> Option<(Decimal, Currency, Option<Day>)> {
    let (mark, rest) = text.split_at_checked(1)?;
    let date_bytes = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (date, rest) = rest.split_at_checked(date_bytes)?;
    let (code, amount) = rest.split_at_checked(3)?;
    let currency: Currency = code.parse().ok()?;
    let amount = numbers::parse(amount, NumberFormat::Comma).ok()??;
    let amount = match mark {
        "C" => amount,
        "D" => Decimal::new(-amount.units, amount.exponent),
        _ => return None,
    };
    let day = dates::parse(date, DateFormat::ShortYearMonthDay, None).ok().flatten().map(|read| read.day);
    Some((amount.in_currency(currency), currency, day))
}
