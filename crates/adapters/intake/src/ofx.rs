//! Open Financial Exchange: 1.x (SGML, closing tags optional) and 2.x (XML), QFX included; bank, credit card and
//! investment cash statements.
//!
//! Source: "Open Financial Exchange Specification" 1.6 and 2.3, chapters 11 and 13. One tokenizer reads both, since many
//! files of one kind are written like the other.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};

use stoa_kernel::currency::Currency;
use stoa_kernel::limits;
use stoa_kernel::money::Decimal;
use stoa_reconciliation::normalise::dates::{self, DateFormat};
use stoa_reconciliation::normalise::numbers::{self, NumberFormat};
use stoa_reconciliation::profile::Profile;
use stoa_reconciliation::row::{
    Balance, BalanceKind, Item, Place, ReadError, Rejection, Row, RowReader, Warning,
};

use crate::table::Table;
use crate::xml::resolve;

const COLUMNS: [&str; 12] = [
    "statement",
    "account",
    "external_id",
    "booked_date",
    "value_date",
    "amount",
    "currency",
    "type",
    "reference.check",
    "reference",
    "counterparty",
    "text",
];

/// How OFX rows become records.
pub(crate) fn profile() -> Profile {
    Profile::canonical(&COLUMNS, NumberFormat::Point, DateFormat::YearMonthDay)
}

/// Reads OFX and QFX.
pub(crate) struct Ofx {
    file: BufReader<File>,
    at: Place,
    table: Table,
    pending: VecDeque<Item>,
    /// Aggregates that are open, outermost first.
    open: Vec<String>,
    /// An opening tag whose text is still being read.
    tag: Option<(String, Place)>,
    statement: u32,
    account: String,
    currency: String,
    transaction: Option<Place>,
    balance: (String, String, Place),
    status: (String, String, String),
    refusal: Option<(Place, String)>,
    any_tag: bool,
    at_end: bool,
}

impl Ofx {
    pub(crate) fn new(file: File, offset: u64) -> Self {
        Self {
            file: BufReader::with_capacity(64 << 10, file),
            at: Place { line: 1, byte: offset },
            table: Table::with(&COLUMNS),
            pending: VecDeque::new(),
            open: Vec::new(),
            tag: None,
            statement: 0,
            account: String::new(),
            currency: String::new(),
            transaction: None,
            balance: (String::new(), String::new(), Place::default()),
            status: Default::default(),
            refusal: None,
            any_tag: false,
            at_end: false,
        }
    }

    /// Reads up to a byte, which is consumed and not returned. `None` at the end of the file.
    fn until(&mut self, stop: u8) -> Result<Option<String>, ReadError> {
        let mut bytes = Vec::new();
        loop {
            let buffer = match self.file.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                return Ok((!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned()));
            }
            let end = memchr::memchr(stop, buffer);
            let used = end.map_or(buffer.len(), |end| end + 1);
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or(&[]);
            if bytes.len() + part.len() > limits::ROW_BYTES_MAX {
                let message = format!("a tag or text is longer than {} MiB", limits::ROW_BYTES_MAX >> 20);
                return Err(ReadError::Malformed { place: self.at, message });
            }
            bytes.extend_from_slice(part);
            self.at.line += memchr::memchr_iter(b'\n', buffer.get(..used).unwrap_or(&[])).count() as u64;
            self.at.byte += used as u64;
            self.file.consume(used);
            if end.is_some() {
                return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }

    /// Reads the text before the next tag, and the tag.
    fn token(&mut self) -> Result<Option<(String, String, Place)>, ReadError> {
        let mut text = self.until(b'<')?.unwrap_or_default();
        loop {
            let place = Place { line: self.at.line, byte: self.at.byte.saturating_sub(1) };
            let Some(mut tag) = self.until(b'>')? else {
                return Ok((!text.is_empty()).then(|| (text, String::new(), place)));
            };
            let Some(data) = tag.strip_prefix("![CDATA[") else { return Ok(Some((text, tag, place))) };
            // The section may contain `>`: it ends with `]]>`.
            let mut data = data.to_owned();
            while !data.ends_with("]]") {
                let Some(more) = self.until(b'>')? else { break };
                tag = more;
                data.push('>');
                data.push_str(&tag);
            }
            text.push_str(data.strip_suffix("]]").unwrap_or(&data));
            text.push_str(&self.until(b'<')?.unwrap_or_default());
        }
    }

    fn step(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        let Some((text, tag, place)) = self.token()? else { return self.finish(row) };
        let value = unescape(text.trim());
        let name = tag.trim().trim_end_matches('/').split_whitespace().next().unwrap_or("").to_uppercase();
        // A tag with text is a leaf; one without opens an aggregate.
        let mut item = None;
        if let Some((opened, at)) = self.tag.take() {
            if !value.is_empty() {
                self.leaf(&opened, &value);
            } else if name != format!("/{opened}") {
                self.enter(&opened, at);
            }
        }
        if name.starts_with(['?', '!']) || name.is_empty() {
            return Ok(None);
        }
        self.any_tag = true;
        if let Some(closed) = name.strip_prefix('/') {
            item = self.leave(closed, row);
        } else if tag.ends_with('/') {
            // An empty element says nothing.
        } else {
            // A transaction that is not closed ends where the next one begins.
            if name == "STMTTRN" && self.transaction.is_some() {
                item = self.leave("STMTTRN", row);
            }
            self.tag = Some((name, place));
        }
        Ok(item)
    }

    fn within(&self, name: &str) -> bool {
        self.open.iter().any(|open| open == name)
    }

    fn enter(&mut self, name: &str, place: Place) {
        match name {
            "STMTTRNRS" | "CCSTMTTRNRS" | "INVSTMTTRNRS" | "SONRS" => self.status = Default::default(),
            "STMTRS" | "CCSTMTRS" | "INVSTMTRS" => {
                self.statement += 1;
                self.account.clear();
                self.currency.clear();
            }
            "STMTTRN" => self.transaction = Some(place),
            "LEDGERBAL" | "AVAILBAL" => self.balance = (String::new(), String::new(), place),
            _ => {}
        }
        if self.open.len() < limits::NESTING_MAX {
            self.open.push(name.to_owned());
        }
    }

    fn leaf(&mut self, name: &str, value: &str) {
        if self.transaction.is_some() {
            return self.transaction_leaf(name, value);
        }
        match name {
            "CURDEF" => value.clone_into(&mut self.currency),
            "ACCTID"
                if self.within("BANKACCTFROM") || self.within("CCACCTFROM") || self.within("INVACCTFROM") =>
            {
                value.clone_into(&mut self.account);
            }
            "BALAMT" => self.balance.0 = decimal(value),
            "DTASOF" => value.clone_into(&mut self.balance.1),
            "CODE" => value.clone_into(&mut self.status.0),
            "SEVERITY" => value.clone_into(&mut self.status.1),
            "MESSAGE" => value.clone_into(&mut self.status.2),
            _ => {}
        }
    }

    fn transaction_leaf(&mut self, name: &str, value: &str) {
        let column = match name {
            "TRNTYPE" => "type",
            "DTPOSTED" => "booked_date",
            "DTAVAIL" => "value_date",
            "TRNAMT" => return self.table.set("amount", &decimal(value)),
            "FITID" => "external_id",
            "CHECKNUM" if value.bytes().all(|byte| byte == b'0') => return,
            "CHECKNUM" => "reference.check",
            "REFNUM" => "reference",
            "NAME" | "PAYEE" => "counterparty",
            "MEMO" => "text",
            "CURSYM" if self.within("CURRENCY") => "currency",
            "CURSYM" => "original_currency",
            other => return self.table.set(&format!("ofx.{}", other.to_lowercase()), value),
        };
        self.table.set(column, value);
    }

    fn leave(&mut self, name: &str, row: &mut Row) -> Option<Item> {
        if let Some(at) = self.open.iter().rposition(|open| open == name) {
            self.open.truncate(at);
        }
        match name {
            "STMTTRN" => return self.end_transaction(row),
            "BANKTRANLIST" | "STMTRS" | "CCSTMTRS" if self.transaction.is_some() => {
                return self.end_transaction(row);
            }
            "LEDGERBAL" => self.end_balance(),
            "STATUS" => self.end_status(),
            _ => {}
        }
        None
    }

    fn end_transaction(&mut self, row: &mut Row) -> Option<Item> {
        let place = self.transaction.take()?;
        if self.table.get("amount").is_empty() {
            let raw = self.table.abandon();
            return Some(Item::Rejected(Rejection::new(
                place,
                "the transaction has no amount (TRNAMT)",
                &raw,
            )));
        }
        let (statement, account, currency) =
            (self.statement.to_string(), self.account.clone(), self.currency.clone());
        self.table.set("statement", &statement);
        self.table.set("account", &account);
        if self.table.get("currency").is_empty() {
            self.table.set("currency", &currency);
        }
        self.table.finish(row, place);
        Some(Item::Row)
    }

    fn end_balance(&mut self) {
        let (amount, date, place) = std::mem::take(&mut self.balance);
        let currency: Currency = self.currency.parse().unwrap_or(Currency::NONE);
        let amount = numbers::parse(&amount, NumberFormat::Point).ok().flatten();
        let Some(amount) = amount.map(|amount: Decimal| amount.in_currency(currency)) else { return };
        let date = dates::parse(&date, DateFormat::YearMonthDay, None).ok().flatten().map(|read| read.day);
        // A ledger balance is of a moment that need not be the end of the list: shown, not used in a proof.
        let (statement, account) = (self.statement, self.account.clone());
        self.pending.push_back(Item::Balance(Balance {
            place,
            kind: BalanceKind::Other,
            statement,
            account,
            currency,
            amount,
            date,
        }));
    }

    fn end_status(&mut self) {
        let (code, severity, message) = std::mem::take(&mut self.status);
        if severity.eq_ignore_ascii_case("ERROR")
            || (!code.is_empty()
                && code.parse() != Ok(0)
                && !severity.eq_ignore_ascii_case("INFO")
                && !severity.eq_ignore_ascii_case("WARN"))
        {
            let text = format!(
                "the sender reports error {code}: {}",
                if message.is_empty() { "no message" } else { &message }
            );
            self.refusal = Some((self.at, text.clone()));
            self.pending.push_back(Item::Warning(Warning { place: self.at, message: text }));
        }
    }

    fn finish(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        if let Some(item) = self.end_transaction(row) {
            return Ok(Some(item));
        }
        self.at_end = true;
        if let (Some((place, message)), 0) = (self.refusal.take(), self.statement) {
            self.pending.clear();
            return Err(ReadError::Refused { place, message });
        }
        if !self.any_tag {
            return Err(ReadError::Malformed {
                place: self.at,
                message: "there is no OFX tag in the file".to_owned(),
            });
        }
        if self.statement == 0 {
            self.pending.push_back(Item::Warning(Warning {
                place: self.at,
                message: "the file has no statement".to_owned(),
            }));
        }
        if !self.open.is_empty() {
            let message = format!(
                "the file ends inside <{}>; it may be cut off",
                self.open.last().map_or("", String::as_str)
            );
            self.pending.push_back(Item::Warning(Warning { place: self.at, message }));
        }
        Ok(None)
    }
}

/// OFX allows a comma as the decimal point and no group separators.
fn decimal(value: &str) -> String {
    match (value.contains('.'), value.matches(',').count()) {
        (false, 1) => value.replace(',', "."),
        _ => value.to_owned(),
    }
}

fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        match after.split_once(';').filter(|(name, _)| {
            name.len() <= 8
                && !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'#')
        }) {
            Some((name, tail)) => {
                out.push_str(&resolve(name));
                rest = tail;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

impl RowReader for Ofx {
    fn columns(&self) -> &[String] {
        self.table.columns()
    }

    fn next(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Ok(Some(item));
            }
            if self.at_end {
                return Ok(None);
            }
            if let Some(item) = self.step(row)? {
                return Ok(Some(item));
            }
        }
    }

    fn position(&self) -> u64 {
        self.at.byte
    }
}
