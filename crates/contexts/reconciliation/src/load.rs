//! Loads files into a side: rows become records, what cannot be read stays visible, and the sums are kept for the proof.

use std::collections::BTreeMap;

use stoa_kernel::currency::Currency;
use stoa_kernel::money::Decimal;

use crate::field::Field;
use crate::matching::outcome::Sums;
use crate::profile::{Profile, RowError};
use crate::row::{
    Balance, BalanceKind, ControlTotal, Item, Place, ReadError, Rejection, Row, RowReader, Warning,
};
use crate::side::{AddError, Added, Builder};

/// The most rejected rows and warnings of a file that are kept in full; all of them are counted.
pub const NOTES_MAX: usize = 100_000;

/// What is known of a file before its first row.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Facts {
    /// Its name, for people.
    pub name: String,
    /// Its format.
    pub format: crate::source::Format,
    /// Its length in bytes.
    pub bytes: u64,
    /// BLAKE3 hash of its content, in hexadecimal.
    pub hash: String,
    /// Its encoding, and how that is known.
    pub encoding: String,
    /// The delimiter and whether there is a header, for delimited text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// Which column is which field, as `field = column`.
    pub mapping: Vec<String>,
    /// What was inferred, as sentences.
    pub inferred: Vec<String>,
}

/// What one file has brought.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// Rows that became records.
    pub loaded: u64,
    /// Rows that an earlier file had brought already.
    pub known: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// The rejected rows, up to [`NOTES_MAX`].
    pub rejections: Vec<Rejection>,
    /// Oddities, up to [`NOTES_MAX`].
    pub warnings: Vec<Warning>,
    /// Control totals that do not agree.
    pub control_totals: Vec<ControlTotal>,
    /// Balances, as stated.
    pub balances: Vec<Balance>,
    /// Statements whose balances do not agree with their lines, or with the statement before.
    pub gaps: Vec<BalanceGap>,
    /// Sums of the records.
    pub sums: Sums,
    /// Sums of the rejected rows whose amount could be read.
    pub rejected_sums: Sums,
    /// Rejected rows whose amount could not be read.
    pub rejected_without_amount: u64,
}

/// A balance that does not agree.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BalanceGap {
    /// The statement, from 1.
    pub statement: u32,
    /// The account, as written.
    pub account: String,
    /// The currency.
    pub currency: Currency,
    /// Where the balance stands.
    pub place: Place,
    /// What was expected.
    pub expected: Decimal,
    /// What the file states.
    pub stated: Decimal,
    /// What does not agree, as a sentence.
    pub message: String,
}

/// Why loading a file failed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Temporary storage failed.
    #[error("temporary storage failed")]
    Scratch(#[source] std::io::Error),
    /// In strict mode, one rejected row refuses the file.
    #[error("{}: {} (strict mode loads all rows or none)", .0.place, .0.reason)]
    Strict(Rejection),
    /// More records than a side can number.
    #[error("one side of an execution takes at most {} records", stoa_kernel::limits::RECORDS_MAX)]
    TooMany,
    /// Somebody asked to stop.
    #[error("loading was stopped")]
    Stopped,
}

impl stoa_kernel::error::Coded for LoadError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read(error) => error.code(),
            Self::Scratch(error) if error.kind() == std::io::ErrorKind::StorageFull => "storage_full",
            Self::Scratch(_) => "file_unreadable",
            Self::Strict(_) => "file_malformed",
            Self::TooMany => "too_large",
            Self::Stopped => "usage",
        }
    }
}

/// Adds an amount to a sum of its currency.
pub fn add_to(sums: &mut Sums, currency: Currency, amount: Decimal) {
    let sum = sums.entry(currency).or_insert(Decimal::new(0, currency.exponent()));
    *sum = sum.checked_add(amount).unwrap_or(*sum);
}

/// Loads one file. `progress` is told the position after every few thousand rows and answers whether to go on.
///
/// # Errors
/// [`LoadError`]; rows that cannot be read are no error, they are in the batch.
pub fn load(
    reader: &mut dyn RowReader,
    profile: Profile,
    strict: bool,
    into: &mut Builder,
    mut progress: impl FnMut(u64) -> bool,
) -> Result<Batch, LoadError> {
    let mut batch = Batch::default();
    let mut row = Row::default();
    let mut statements: BTreeMap<(u32, Currency), Decimal> = BTreeMap::new();
    let mut units = FastSums::default();
    into.next_file(profile);
    let mut rows = 0u64;
    while let Some(item) = reader.next(&mut row)? {
        match item {
            Item::Row => {
                rows += 1;
                if rows.is_multiple_of(8_192) && !progress(reader.position()) {
                    return Err(LoadError::Stopped);
                }
                into.extend_columns(reader.columns());
                match into.add(&row) {
                    Ok(Added::New) => {
                        batch.loaded += 1;
                        let (amount, currency) = into.last_amount();
                        units.add(currency, amount);
                        if let Some(profile) = into.profile() {
                            prove_line(&mut statements, profile, &row, currency, amount);
                        }
                    }
                    // A line that is known already belongs to the proof of its statement all the same.
                    Ok(Added::Known) => {
                        batch.known += 1;
                        if let Some(profile) = into.profile()
                            && let Ok(core) = profile.core(&row)
                        {
                            prove_line(&mut statements, profile, &row, core.currency, core.amount);
                        }
                    }
                    Err(AddError::Row(error)) => {
                        let rejection = into.profile().map(|profile| reject(profile, &row, &error));
                        note_rejection(
                            &mut batch,
                            rejection.unwrap_or_else(|| Rejection::new(row.place, error.to_string(), "")),
                            strict,
                        )?;
                    }
                    Err(AddError::Io(error)) => return Err(LoadError::Scratch(error)),
                    Err(AddError::TooMany) => return Err(LoadError::TooMany),
                }
            }
            Item::Rejected(rejection) => note_rejection(&mut batch, rejection, strict)?,
            Item::Warning(warning) if batch.warnings.len() < NOTES_MAX => batch.warnings.push(warning),
            Item::Warning(_) => {}
            Item::ControlTotal(total) => batch.control_totals.push(total),
            Item::Balance(balance) => batch.balances.push(balance),
        }
    }
    units.into_sums(&mut batch.sums);
    batch.gaps = prove(&batch.balances, &statements);
    Ok(batch)
}

/// Adds a line to what its statement has moved, where the file numbers its statements.
fn prove_line(
    statements: &mut BTreeMap<(u32, Currency), Decimal>,
    profile: &Profile,
    row: &Row,
    currency: Currency,
    amount: Decimal,
) {
    if let Ok(statement) = profile.cell(row, Field::Statement).parse() {
        let sum = statements.entry((statement, currency)).or_insert(Decimal::ZERO);
        *sum = sum.checked_add(amount).unwrap_or(*sum);
    }
}

fn reject(profile: &Profile, row: &Row, error: &RowError) -> Rejection {
    profile.reject(row, error)
}

fn note_rejection(batch: &mut Batch, rejection: Rejection, strict: bool) -> Result<(), LoadError> {
    if strict {
        return Err(LoadError::Strict(rejection));
    }
    batch.rejected += 1;
    match rejection.amount {
        Some((amount, currency)) => add_to(&mut batch.rejected_sums, currency, amount),
        None => batch.rejected_without_amount += 1,
    }
    if batch.rejections.len() < NOTES_MAX {
        batch.rejections.push(rejection);
    }
    Ok(())
}

/// Sums by currency and exponent; the last pair is kept at hand, since rows come in runs.
#[derive(Default)]
struct FastSums {
    sums: Vec<((Currency, u8), i128)>,
}

impl FastSums {
    #[inline]
    fn add(&mut self, currency: Currency, amount: Decimal) {
        let key = (currency, amount.exponent);
        match self.sums.iter_mut().find(|(known, _)| *known == key) {
            Some((_, sum)) => *sum = sum.saturating_add(amount.units),
            None => self.sums.push((key, amount.units)),
        }
    }

    fn into_sums(self, sums: &mut Sums) {
        for ((currency, exponent), units) in self.sums {
            add_to(sums, currency, Decimal::new(units, exponent));
        }
    }
}

/// Opening + Σ = closing for each statement and currency, and each opening equals the closing before it.
#[must_use]
pub fn prove(balances: &[Balance], statements: &BTreeMap<(u32, Currency), Decimal>) -> Vec<BalanceGap> {
    let mut gaps = Vec::new();
    let mut last_closing: BTreeMap<(String, Currency), &Balance> = BTreeMap::new();
    let mut numbers: Vec<u32> = balances.iter().map(|balance| balance.statement).collect();
    numbers.dedup();
    for number in numbers {
        let of = |kind: BalanceKind| {
            balances.iter().filter(move |balance| balance.statement == number && balance.kind == kind)
        };
        // A statement may state two openings, booked and previously closed: one that fits is a proof.
        let fits = |opening: &Balance, closing: &Balance| {
            let moved = statements.get(&(number, opening.currency)).copied().unwrap_or(Decimal::ZERO);
            opening.amount.checked_add(moved) == Some(closing.amount)
        };
        let mut proven: Vec<Currency> = Vec::new();
        for opening in of(BalanceKind::Opening) {
            if of(BalanceKind::Closing)
                .any(|closing| closing.currency == opening.currency && fits(opening, closing))
            {
                proven.push(opening.currency);
            }
        }
        let mut judged: Vec<Currency> = Vec::new();
        for opening in of(BalanceKind::Opening) {
            let key = (opening.account.clone(), opening.currency);
            let gap = |balance: &Balance, expected: Decimal, message: String| BalanceGap {
                statement: number,
                account: balance.account.clone(),
                currency: balance.currency,
                place: balance.place,
                expected,
                stated: balance.amount,
                message,
            };
            if let Some(before) = last_closing.get(&key)
                && before.amount != opening.amount
            {
                gaps.push(gap(
                    opening,
                    before.amount,
                    format!(
                        "opens with {} but the statement before it closed with {}",
                        opening.amount, before.amount
                    ),
                ));
            }
            let Some(closing) = of(BalanceKind::Closing).find(|closing| closing.currency == opening.currency)
            else {
                continue;
            };
            let moved = statements.get(&(number, opening.currency)).copied().unwrap_or(Decimal::ZERO);
            let expected = opening.amount.checked_add(moved).unwrap_or(opening.amount);
            if expected != closing.amount
                && !proven.contains(&opening.currency)
                && !judged.contains(&opening.currency)
            {
                judged.push(opening.currency);
                gaps.push(gap(
                    closing,
                    expected,
                    format!(
                        "opening {} and lines {} make {}, but it closes with {}",
                        opening.amount, moved, expected, closing.amount
                    ),
                ));
            }
        }
        for closing in of(BalanceKind::Closing) {
            last_closing.insert((closing.account.clone(), closing.currency), closing);
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(statement: u32, kind: BalanceKind, amount: &str) -> Balance {
        Balance {
            place: Place::default(),
            kind,
            statement,
            account: "A".to_owned(),
            currency: Currency::NONE,
            amount: amount.parse().unwrap(),
            date: None,
        }
    }

    #[test]
    fn a_statement_proves_itself_and_follows_the_one_before() {
        let moved = |amount: &str| {
            BTreeMap::from([
                ((1, Currency::NONE), amount.parse().unwrap()),
                ((2, Currency::NONE), Decimal::ZERO),
            ])
        };
        let balances = |closing: &str, next: &str| {
            [
                balance(1, BalanceKind::Opening, "100.00"),
                balance(1, BalanceKind::Closing, closing),
                balance(2, BalanceKind::Opening, next),
                balance(2, BalanceKind::Closing, next),
            ]
        };
        assert_eq!(prove(&balances("90.00", "90.00"), &moved("-10.00")), []);
        let gaps = prove(&balances("91.00", "90.00"), &moved("-10.00"));
        assert_eq!(gaps.iter().map(|gap| gap.statement).collect::<Vec<_>>(), [1, 2]);
        assert!(gaps[0].message.contains("make 90.00, but it closes with 91.00"));
    }
}
