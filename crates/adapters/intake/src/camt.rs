//! ISO 20022 bank to customer cash management: camt.052 (report), camt.053 (statement), camt.054 (notification), versions
//! 1 to 13. Names are the same in all of them but for a few, which are looked up in both places.

use std::collections::VecDeque;
use std::fs::File;

use stoa_kernel::currency::Currency;
use stoa_kernel::money::Decimal;
use stoa_reconciliation::normalise::dates::{self, DateFormat};
use stoa_reconciliation::normalise::numbers::{self, NumberFormat};
use stoa_reconciliation::profile::Profile;
use stoa_reconciliation::row::{
    Balance, BalanceKind, ControlTotal, Item, Place, ReadError, Rejection, Row, RowReader, Warning,
};

use crate::table::Table;
use crate::xml::{Element, Pulled, Xml};

const COLUMNS: [&str; 18] = [
    "statement",
    "account",
    "booked_date",
    "value_date",
    "direction",
    "amount",
    "currency",
    "original_amount",
    "original_currency",
    "type",
    "reference.end_to_end",
    "reference.transaction",
    "reference.servicer",
    "reference.creditor",
    "reference.uetr",
    "counterparty",
    "text",
    "status",
];

/// How camt rows become records.
pub(crate) fn profile() -> Profile {
    Profile::canonical(&COLUMNS, NumberFormat::Point, DateFormat::YearMonthDay)
}

/// Reads camt.052, camt.053 and camt.054.
pub(crate) struct Camt {
    xml: Xml,
    table: Table,
    pending: VecDeque<Item>,
    /// Details of a batch entry that are still to be given out: each fills one row.
    details: VecDeque<Vec<(&'static str, String)>>,
    detail_place: Place,
    extras: Vec<(String, String)>,
    account: String,
    currency: String,
    statement: u32,
    at_end: bool,
}

fn is_statement(name: &str) -> bool {
    matches!(name, "Stmt" | "Rpt" | "Ntfctn")
}

impl Camt {
    pub(crate) fn new(file: File, offset: u64) -> std::io::Result<Self> {
        Ok(Self {
            xml: Xml::new(file, offset)?,
            table: Table::with(&COLUMNS),
            pending: VecDeque::new(),
            details: VecDeque::new(),
            detail_place: Place::default(),
            extras: Vec::new(),
            account: String::new(),
            currency: String::new(),
            statement: 0,
            at_end: false,
        })
    }

    fn account(&mut self, element: &Element) {
        let id = element.first_of(&["Id/IBAN", "Id/Othr/Id", "Id/PrtryAcct/Id", "Id/BBAN", "Id/UPIC"]);
        id.clone_into(&mut self.account);
        element.text_at("Ccy").clone_into(&mut self.currency);
    }

    fn balance(&mut self, element: &Element) {
        let code = element.first_of(&["Tp/CdOrPrtry/Cd", "Tp/Cd", "Tp/CdOrPrtry/Prtry"]);
        let kind = match code {
            "OPBD" | "PRCD" => BalanceKind::Opening,
            "CLBD" => BalanceKind::Closing,
            _ => BalanceKind::Other,
        };
        let amount = element.find("Amt");
        let currency: Option<Currency> = amount.and_then(|amount| amount.attribute("Ccy").parse().ok());
        let units = numbers::parse(element.text_at("Amt"), NumberFormat::Point).ok().flatten();
        let (Some(currency), Some(units)) = (currency, units) else {
            let message = format!("the balance {code} has no amount or no known currency");
            return self.pending.push_back(Item::Warning(Warning { place: element.place, message }));
        };
        let sign = if element.text_at("CdtDbtInd") == "DBIT" { -1 } else { 1 };
        let amount = Decimal::new(units.units * sign, units.exponent).in_currency(currency);
        let date = element.first_of(&["Dt/Dt", "Dt/DtTm"]);
        let date = dates::parse(date, DateFormat::YearMonthDay, None).ok().flatten().map(|read| read.day);
        let (statement, account) = (self.statement, self.account.clone());
        self.pending.push_back(Item::Balance(Balance {
            place: element.place,
            kind,
            statement,
            account,
            currency,
            amount,
            date,
        }));
    }

    /// An entry becomes one row, or one for each of its details where they add up to it.
    fn entry(&mut self, entry: &Element) {
        let amount = entry.find("Amt");
        let currency = amount.map_or("", |amount| amount.attribute("Ccy")).to_owned();
        let direction = entry.text_at("CdtDbtInd").to_owned();
        let is_booked = !matches!(entry.first_of(&["Sts", "Sts/Cd"]), "PDNG" | "INFO" | "FUTR");
        let mut common: Vec<(&'static str, String)> = vec![
            // What is pending or for information is no part of the balances.
            ("statement", if is_booked { self.statement.to_string() } else { String::new() }),
            ("account", self.account.clone()),
            ("booked_date", day(entry, "BookgDt")),
            ("value_date", day(entry, "ValDt")),
            ("status", entry.first_of(&["Sts", "Sts/Cd", "Sts/Prtry"]).to_owned()),
            ("type", transaction_code(entry)),
            ("reference.servicer", entry.text_at("AcctSvcrRef").to_owned()),
            ("reference.entry", entry.text_at("NtryRef").to_owned()),
        ];
        if entry.text_at("RvslInd") == "true" {
            common.push(("reversal", "true".to_owned()));
        }
        let details: Vec<&Element> =
            entry.all("NtryDtls").flat_map(|details| details.all("TxDtls")).collect();
        let parts: Option<Vec<Decimal>> =
            details.iter().map(|detail| detail_amount(detail, &currency, &direction)).collect();
        let total = numbers::parse(entry.text_at("Amt"), NumberFormat::Point).ok().flatten();
        let split = match (parts, total) {
            (Some(parts), Some(total)) if parts.len() > 1 => {
                let sum = parts
                    .iter()
                    .try_fold(Decimal::ZERO, |sum, part| sum.checked_add(*part))
                    .unwrap_or(Decimal::ZERO);
                if sum == total {
                    Some(parts)
                } else {
                    self.pending.push_back(Item::ControlTotal(ControlTotal {
                        place: entry.place,
                        of: "sum of the details of a batch entry".to_owned(),
                        stated: format!("{total} {currency}"),
                        found: format!("{sum} {currency}"),
                    }));
                    None
                }
            }
            _ => None,
        };
        self.detail_place = entry.place;
        match split {
            Some(parts) => {
                for (detail, part) in details.iter().zip(parts) {
                    let mut cells = common.clone();
                    let part_direction =
                        if part.units < 0 { opposite(&direction) } else { direction.as_str() };
                    cells.push(("direction", part_direction.to_owned()));
                    cells.push(("amount", part.abs().to_string()));
                    cells.push(("currency", currency.clone()));
                    detail_cells(detail, &direction, &mut cells);
                    self.details.push_back(cells);
                }
            }
            None => {
                let mut cells = common;
                cells.push(("direction", direction.clone()));
                cells.push(("amount", entry.text_at("Amt").to_owned()));
                cells.push(("currency", currency));
                for detail in details.iter().take(20) {
                    detail_cells(detail, &direction, &mut cells);
                }
                cells.push(("text", entry.text_at("AddtlNtryInf").to_owned()));
                self.details.push_back(cells);
            }
        }
        self.extras.clear();
        let extras = &mut self.extras;
        entry.leaves("", &mut |path, text| {
            if !text.is_empty() && !is_read(path) && extras.len() < 64 {
                extras.push((format!("camt.{path}"), text.to_owned()));
            }
        });
    }

    fn give_row(&mut self, row: &mut Row) -> Option<Item> {
        let cells = self.details.pop_front()?;
        for (column, value) in &cells {
            // References of several details of one entry: the first one counts, the text keeps them all.
            if column.starts_with("reference") && !self.table.get(column).is_empty() {
                continue;
            }
            self.table.set(column, value);
        }
        for (column, value) in &self.extras {
            self.table.set(column, value);
        }
        if self.table.get("amount").is_empty() {
            let raw = self.table.abandon();
            return Some(Item::Rejected(Rejection::new(self.detail_place, "the entry has no amount", &raw)));
        }
        self.table.finish(row, self.detail_place);
        Some(Item::Row)
    }
}

/// Whether a leaf of an entry is already in a cell of its own.
fn is_read(path: &str) -> bool {
    let names = [
        "Amt",
        "CdtDbtInd",
        "Sts",
        "BookgDt/",
        "ValDt/",
        "AcctSvcrRef",
        "BkTxCd/",
        "NtryRef",
        "AddtlNtryInf",
        "RvslInd",
        "NtryDtls/TxDtls/Refs/",
        "NtryDtls/TxDtls/RmtInf/",
        "NtryDtls/TxDtls/RltdPties/",
        "NtryDtls/TxDtls/Amt",
        "NtryDtls/TxDtls/CdtDbtInd",
    ];
    names.iter().any(|name| if name.ends_with('/') { path.starts_with(name) } else { path == *name })
}

fn opposite(direction: &str) -> &'static str {
    if direction == "DBIT" { "CRDT" } else { "DBIT" }
}

fn day(entry: &Element, name: &str) -> String {
    entry.first_of(&[&format!("{name}/Dt"), &format!("{name}/DtTm"), name]).to_owned()
}

fn transaction_code(entry: &Element) -> String {
    let domain = [
        entry.text_at("BkTxCd/Domn/Cd"),
        entry.text_at("BkTxCd/Domn/Fmly/Cd"),
        entry.text_at("BkTxCd/Domn/Fmly/SubFmlyCd"),
    ];
    let domain: Vec<&str> = domain.into_iter().filter(|code| !code.is_empty()).collect();
    if domain.is_empty() { entry.text_at("BkTxCd/Prtry/Cd").to_owned() } else { domain.join("/") }
}

/// The amount of a detail in the currency of its entry, negative when it runs against it.
fn detail_amount(detail: &Element, currency: &str, direction: &str) -> Option<Decimal> {
    let element = ["Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/InstdAmt/Amt"]
        .iter()
        .filter_map(|path| detail.find(path))
        .find(|amount| amount.attribute("Ccy") == currency)?;
    let amount = numbers::parse(element.text.trim(), NumberFormat::Point).ok().flatten()?;
    let own = detail.text_at("CdtDbtInd");
    let against = !own.is_empty() && own != direction;
    Some(Decimal::new(if against { -amount.units } else { amount.units }, amount.exponent))
}

fn detail_cells(detail: &Element, direction: &str, cells: &mut Vec<(&'static str, String)>) {
    let mut put = |column: &'static str, text: &str| {
        if !text.is_empty() {
            cells.push((column, text.to_owned()));
        }
    };
    put("reference.end_to_end", detail.text_at("Refs/EndToEndId"));
    put("reference.transaction", detail.first_of(&["Refs/TxId", "Refs/InstrId"]));
    put("reference.uetr", detail.text_at("Refs/UETR"));
    put("reference.servicer", detail.text_at("Refs/AcctSvcrRef"));
    put("mandate", detail.text_at("Refs/MndtId"));
    put("cheque", detail.text_at("Refs/ChqNb"));
    let party = if direction == "DBIT" { "Cdtr" } else { "Dbtr" };
    let name = |party: &str| {
        detail
            .first_of(&[
                &format!("RltdPties/{party}/Nm"),
                &format!("RltdPties/{party}/Pty/Nm"),
                &format!("RltdPties/Ultmt{party}/Nm"),
                &format!("RltdPties/Ultmt{party}/Pty/Nm"),
            ])
            .to_owned()
    };
    put("counterparty", &name(party));
    let account = |party: &str| {
        detail
            .first_of(&[
                &format!("RltdPties/{party}Acct/Id/IBAN"),
                &format!("RltdPties/{party}Acct/Id/Othr/Id"),
            ])
            .to_owned()
    };
    put("counterparty_account", &account(party));
    if let Some(information) = detail.find("RmtInf") {
        for text in information.all("Ustrd") {
            put("text", text.text.trim());
        }
        for structured in information.all("Strd") {
            put("reference.creditor", structured.first_of(&["CdtrRefInf/Ref", "CdtrRefInf/CdtrRef"]));
            for text in structured.all("AddtlRmtInf") {
                put("text", text.text.trim());
            }
        }
    }
    put("text", detail.text_at("AddtlTxInf"));
    if let Some(original) = detail.find("AmtDtls/InstdAmt/Amt") {
        put("original_amount", original.text.trim());
        put("original_currency", original.attribute("Ccy"));
    }
}

impl RowReader for Camt {
    fn columns(&self) -> &[String] {
        self.table.columns()
    }

    fn next(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Ok(Some(item));
            }
            if let Some(item) = self.give_row(row) {
                return Ok(Some(item));
            }
            if self.at_end {
                return Ok(None);
            }
            let in_statement = |path: &[String], name: &str| {
                path.last().is_some_and(|parent| is_statement(parent)) && !is_statement(name)
            };
            match self.xml.next(in_statement)? {
                Pulled::Enter => {
                    if self.xml.path().last().is_some_and(|name| is_statement(name)) {
                        self.statement += 1;
                        self.account.clear();
                        self.currency.clear();
                    }
                }
                Pulled::Whole(element) => match element.name.as_str() {
                    "Acct" => self.account(&element),
                    "Bal" => self.balance(&element),
                    "Ntry" => self.entry(&element),
                    _ => {}
                },
                Pulled::Leave(_) => {}
                Pulled::End => {
                    self.at_end = true;
                    if self.statement == 0 {
                        let place = self.xml.place()?;
                        let message =
                            "the file has no statement (Stmt), report (Rpt) or notification (Ntfctn)"
                                .to_owned();
                        return Err(ReadError::Malformed { place, message });
                    }
                }
            }
        }
    }

    fn position(&self) -> u64 {
        self.xml.position()
    }
}
