//! How the rows of one file become records: the mapping and the formats of its columns, settled before the first row.

use jiff::tz::TimeZone;
use stoa_kernel::currency::Currency;
use stoa_kernel::date::Day;
use stoa_kernel::money::Decimal;

use crate::field::{Field, Mapping};
use crate::normalise::dates::{self, DateFormat};
use crate::normalise::fingerprint::{Content, Hasher};
use crate::normalise::numbers::{self, Direction, NumberFormat};
use crate::normalise::references::{Extractor, is_blank};
use crate::normalise::text;
use crate::record::{Flag, Record};
use crate::row::{Rejection, Row};
use crate::source::SourceSpec;

/// The settled reading of a file.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Which columns are which fields.
    pub mapping: Mapping,
    /// The number format of each column; [`NumberFormat::Point`] where it is missing.
    pub numbers: Vec<NumberFormat>,
    /// The date format of each column; [`DateFormat::YearMonthDay`] where it is missing.
    pub dates: Vec<DateFormat>,
    /// The zone in which instants are cut to days.
    pub zone: Option<TimeZone>,
    /// The currency of rows that name none.
    pub currency: Option<Currency>,
    /// The account of rows that name none.
    pub account: String,
    /// Whether every sign is turned.
    pub flip_sign: bool,
    /// Whether the sign of every fee is turned.
    pub flip_fees: bool,
    /// Where references are found besides the mapped columns.
    pub extractors: Vec<Extractor>,
    /// Words that do not count when texts are compared.
    pub noise: Vec<String>,
    /// What was inferred, as sentences.
    pub stated: Vec<String>,
}

/// What every pass needs of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Core {
    /// The amount, with at least the decimals of its currency; credit is positive.
    pub amount: Decimal,
    /// Its currency.
    pub currency: Currency,
    /// The day on which it was booked; the value date where that is missing.
    pub booked: Day,
    /// The value date, where there is one.
    pub value: Option<Day>,
}

/// Why a row does not become a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// No cell with an amount.
    #[error("there is no amount")]
    AmountMissing,
    /// The amount cannot be read.
    #[error("the amount \"{0}\" is not a number in the format of its column")]
    AmountInvalid(String),
    /// Debit and credit are both filled.
    #[error("both debit and credit are filled")]
    DebitAndCredit,
    /// The mark is neither debit nor credit.
    #[error("\"{0}\" is neither debit nor credit")]
    DirectionUnknown(String),
    /// Not in ISO 4217.
    #[error("\"{0}\" is not an ISO 4217 currency code")]
    CurrencyUnknown(String),
    /// No cell with a date.
    #[error("there is no date")]
    DateMissing,
    /// The date cannot be read.
    #[error("\"{0}\" is not a date in the format of its column")]
    DateInvalid(String),
}

impl Profile {
    /// The profile of a format whose columns have canonical names.
    #[must_use]
    pub fn canonical(columns: &[&str], number: NumberFormat, date: DateFormat) -> Self {
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        let mut mapping = Mapping::default();
        for (column, name) in columns.iter().enumerate() {
            let base = name.split('.').next().unwrap_or(name);
            if let Some(field) = Field::ALL.into_iter().find(|field| field.name() == base) {
                mapping.set(field, column);
            }
        }
        Self {
            numbers: vec![number; columns.len()],
            dates: vec![date; columns.len()],
            columns,
            mapping,
            ..Self::default()
        }
    }

    /// Applies what the configuration says over what was inferred.
    ///
    /// # Errors
    /// A sentence that names the option that cannot be used, with what is possible.
    pub fn configure(&mut self, spec: &SourceSpec) -> Result<(), String> {
        for (&field, names) in &spec.columns {
            self.mapping.unset(field);
            for name in names.names() {
                let column = self.columns.iter().position(|column| column == name).ok_or_else(|| {
                    format!(
                        "there is no column \"{name}\" for {}; the file has {}",
                        field.name(),
                        self.columns.join(", ")
                    )
                })?;
                self.mapping.set(field, column);
            }
        }
        if let Some(format) = spec.numbers {
            self.numbers = vec![format; self.columns.len()];
        }
        if let Some(format) = spec.dates {
            self.dates = vec![format; self.columns.len()];
        }
        if let Some(name) = &spec.zone {
            let zone = TimeZone::get(name).map_err(|_| format!("\"{name}\" is not an IANA time zone"))?;
            self.zone = Some(zone);
        }
        if spec.currency.is_some() {
            self.currency = spec.currency;
        }
        if let Some(account) = &spec.account {
            self.account.clone_from(account);
        }
        self.flip_sign = spec.flip_sign;
        self.flip_fees = spec.flip_fees.unwrap_or(false);
        for extractor in &spec.references {
            self.extractors.push(Extractor::compile(extractor)?);
        }
        self.noise = spec.noise.iter().map(|word| text::fold(word)).collect();
        Ok(())
    }

    /// The first mapped cell of a field; blank where there is none.
    #[must_use]
    #[inline]
    pub fn cell<'r>(&self, row: &'r Row, field: Field) -> &'r str {
        self.mapping.column(field).map_or("", |column| row.cell(column))
    }

    fn number(&self, row: &Row, column: usize) -> Result<Option<Decimal>, RowError> {
        let cell = row.cell(column);
        let format = self.numbers.get(column).copied().unwrap_or_default();
        numbers::parse(cell, format).map_err(|_| RowError::AmountInvalid(cell.to_owned()))
    }

    fn date(&self, row: &Row, field: Field, near: Option<Day>) -> Result<Option<dates::ReadDay>, RowError> {
        let Some(column) = self.mapping.column(field) else { return Ok(None) };
        let cell = row.cell(column);
        let format = self.dates.get(column).copied().unwrap_or_default();
        let read = match (format, near) {
            (DateFormat::MonthDay, _) if cell.trim().is_empty() => Ok(None),
            (DateFormat::MonthDay, Some(near)) => dates::month_day_near(cell.trim(), near).map(Some),
            _ => dates::parse(cell, format, self.zone.as_ref()),
        };
        read.map_err(|_| RowError::DateInvalid(cell.to_owned()))
    }

    /// The column that the amount of a row stands in.
    fn amount_column(&self, row: &Row) -> Option<usize> {
        [Field::Amount, Field::Debit, Field::Credit]
            .into_iter()
            .filter_map(|field| self.mapping.column(field))
            .find(|&column| !row.cell(column).trim().is_empty())
    }

    fn amount(&self, row: &Row) -> Result<Decimal, RowError> {
        let mut amount = None;
        if let Some(column) = self.mapping.column(Field::Amount) {
            amount = self.number(row, column)?;
        }
        if amount.is_none() {
            amount = self.debit_credit(row)?;
        }
        let amount = amount.ok_or(RowError::AmountMissing)?;
        let amount = self.directed(row, amount)?;
        Ok(if self.flip_sign { Decimal::new(-amount.units, amount.exponent) } else { amount })
    }

    /// Debit and credit in columns of their own: a debit is negative whatever its sign says.
    fn debit_credit(&self, row: &Row) -> Result<Option<Decimal>, RowError> {
        let read = |field| self.mapping.column(field).map_or(Ok(None), |column| self.number(row, column));
        let (debit, credit) = (read(Field::Debit)?, read(Field::Credit)?);
        let filled = |amount: Option<Decimal>| amount.filter(|amount| amount.units != 0);
        match (filled(debit), filled(credit)) {
            (Some(_), Some(_)) => Err(RowError::DebitAndCredit),
            (Some(debit), None) => Ok(Some(Decimal::new(-debit.units.abs(), debit.exponent))),
            (None, Some(credit)) => Ok(Some(credit)),
            (None, None) => Ok(debit.or(credit)),
        }
    }

    fn directed(&self, row: &Row, amount: Decimal) -> Result<Decimal, RowError> {
        let mark = self.cell(row, Field::Direction);
        if mark.trim().is_empty() {
            return Ok(amount);
        }
        let direction = Direction::parse(mark).ok_or_else(|| RowError::DirectionUnknown(mark.to_owned()))?;
        let magnitude = amount.units.abs();
        Ok(Decimal::new(if direction.is_negative() { -magnitude } else { magnitude }, amount.exponent))
    }

    /// The currency that a row states in a cell of its own; that of the amount may also stand beside the amount.
    fn row_currency(&self, row: &Row, field: Field) -> Result<Option<Currency>, RowError> {
        let cell = self.cell(row, field).trim();
        if cell.is_empty() {
            let column = self.amount_column(row).filter(|_| field == Field::Currency);
            return Ok(column.and_then(|column| numbers::currency_beside(row.cell(column))));
        }
        Currency::from_bytes(cell.as_bytes())
            .map(Some)
            .ok_or_else(|| RowError::CurrencyUnknown(cell.to_owned()))
    }

    /// The currency of a row that is known to be readable.
    #[must_use]
    #[inline]
    pub fn currency_of(&self, row: &Row) -> Currency {
        self.row_currency(row, Field::Currency).ok().flatten().or(self.currency).unwrap_or(Currency::NONE)
    }

    fn money(&self, amount: Decimal, column: Option<usize>, currency: Currency) -> Decimal {
        let format = column.and_then(|column| self.numbers.get(column).copied()).unwrap_or_default();
        if format == NumberFormat::MinorUnits {
            return Decimal::new(amount.units, currency.exponent());
        }
        if amount.exponent == currency.exponent() { amount } else { amount.in_currency(currency) }
    }

    /// Reads what every pass needs of a row.
    ///
    /// # Errors
    /// [`RowError`]: the row is to be rejected.
    #[inline]
    pub fn core(&self, row: &Row) -> Result<Core, RowError> {
        let currency = self.row_currency(row, Field::Currency)?.or(self.currency).unwrap_or(Currency::NONE);
        let amount = self.money(self.amount(row)?, self.amount_column(row), currency);
        let value = self.date(row, Field::ValueDate, None)?.map(|read| read.day);
        let booked = self
            .date(row, Field::BookedDate, value)?
            .map(|read| read.day)
            .or(value)
            .ok_or(RowError::DateMissing)?;
        Ok(Core { amount, currency, booked, value })
    }

    /// The rejection of a row, with its amount if at least that can be read.
    #[must_use]
    pub fn reject(&self, row: &Row, error: &RowError) -> Rejection {
        let raw = row.cells().collect::<Vec<_>>().join(" | ");
        let mut rejection = Rejection::new(row.place, error.to_string(), &raw);
        if let Ok(amount) = self.amount(row) {
            let currency = self.currency_of(row);
            rejection.amount = Some((self.money(amount, self.amount_column(row), currency), currency));
        }
        rejection
    }

    /// All references of a row: mapped cells first, then what the extractors find; each once, blanks left out.
    pub fn references(&self, row: &Row, mut take: impl FnMut(&str)) {
        for column in self.mapping.columns(Field::Reference) {
            let cell = row.cell(column).trim();
            if !is_blank(cell) {
                take(cell);
            }
        }
        for extractor in &self.extractors {
            for column in self.mapping.columns(extractor.field) {
                for found in extractor.find(row.cell(column)) {
                    take(found);
                }
            }
        }
    }

    /// Whether a row may have more than one reference.
    #[must_use]
    pub fn may_have_several_references(&self) -> bool {
        !self.extractors.is_empty() || self.mapping.columns(Field::Reference).count() > 1
    }

    /// The cells of a field that takes many, joined by blanks.
    #[must_use]
    pub fn joined(&self, row: &Row, field: Field) -> String {
        let cells: Vec<&str> = self
            .mapping
            .columns(field)
            .map(|column| row.cell(column).trim())
            .filter(|cell| !cell.is_empty())
            .collect();
        cells.join(" ")
    }

    /// The account of a row.
    #[must_use]
    pub fn account<'a>(&'a self, row: &'a Row) -> &'a str {
        let cell = self.cell(row, Field::Account).trim();
        if cell.is_empty() { &self.account } else { cell }
    }

    /// The fee of a row, in its currency, positive where it was charged; `None` where it states none.
    #[must_use]
    pub fn fee(&self, row: &Row) -> Option<(Decimal, Currency)> {
        let column = self.mapping.column(Field::Fee)?;
        let fee = self.number(row, column).ok().flatten()?;
        let fee = if self.flip_fees { Decimal::new(-fee.units, fee.exponent) } else { fee };
        let own = self.row_currency(row, Field::FeeCurrency).ok().flatten();
        let currency = own.unwrap_or_else(|| self.currency_of(row));
        Some((self.money(fee, Some(column), currency), currency))
    }

    /// The content of a row, by which it is known again.
    #[must_use]
    pub fn content(&self, row: &Row, core: &Core) -> Content {
        let mut hasher = Hasher::default();
        hasher
            .text(self.account(row))
            .day(Some(core.booked))
            .day(core.value)
            .amount(core.amount, core.currency);
        if let Some((fee, currency)) = self.fee(row) {
            hasher.amount(fee, currency);
        }
        self.references(row, |reference| {
            hasher.text(&text::fold(reference));
        });
        hasher.text(&text::fold(self.cell(row, Field::Counterparty)));
        hasher.text(&text::fold(&self.joined(row, Field::Text)));
        hasher.finish()
    }

    /// The whole record of a row.
    ///
    /// # Errors
    /// [`RowError`], as [`Self::core`].
    pub fn record(&self, row: &Row) -> Result<Record, RowError> {
        let core = self.core(row)?;
        let mut flags = Vec::new();
        if core.amount.exponent > core.currency.exponent() {
            flags.push(Flag::MoreDecimalsThanCurrency);
        }
        let clamped = [(Field::ValueDate, None), (Field::BookedDate, core.value)]
            .into_iter()
            .any(|(field, near)| self.date(row, field, near).ok().flatten().is_some_and(|read| read.clamped));
        if clamped {
            flags.push(Flag::DateClamped);
        }
        let mut references: Vec<String> = Vec::new();
        self.references(row, |reference| {
            if !references.iter().any(|known| known == reference) {
                references.push(reference.to_owned());
            }
        });
        let optional =
            |field| Some(self.cell(row, field).trim()).filter(|cell| !cell.is_empty()).map(str::to_owned);
        let original = self
            .mapping
            .column(Field::OriginalAmount)
            .and_then(|column| self.number(row, column).ok().flatten())
            .map(|amount| (amount, self.row_currency(row, Field::OriginalCurrency).ok().flatten()));
        let attributes = self
            .columns
            .iter()
            .enumerate()
            .filter(|&(column, _)| self.mapping.field_of(column).is_none())
            .map(|(column, name)| (name.clone(), row.cell(column).to_owned()))
            .filter(|(_, cell)| !cell.is_empty())
            .collect();
        Ok(Record {
            place: row.place,
            external_id: optional(Field::ExternalId),
            account: self.account(row).to_owned(),
            booked: core.booked,
            value: core.value,
            instant: dates::instant_micros(self.cell(row, Field::BookedDate)),
            amount: core.amount,
            currency: core.currency,
            direction: optional(Field::Direction),
            original_amount: original.map(|(amount, _)| amount),
            original_currency: original.and_then(|(_, currency)| currency),
            fee: self.fee(row).map(|(fee, currency)| stoa_kernel::money::Money { amount: fee, currency }),
            references,
            counterparty: optional(Field::Counterparty),
            text: Some(self.joined(row, Field::Text)).filter(|text| !text.is_empty()),
            kind: optional(Field::Type),
            statement: optional(Field::Statement),
            attributes,
            flags,
            content: self.content(row, &core),
        })
    }

    /// The seven steps of normalisation for one row, and the fingerprint, each with what came out of it.
    #[must_use]
    pub fn steps(&self, row: &Row) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut note = |name: &'static str, result: String| steps.push(Step { name, result });
        note("1 text", format!("{} cells as UTF-8", row.len()));
        let amounts = [Field::Amount, Field::Debit, Field::Credit, Field::Fee];
        for (field, column) in
            amounts.into_iter().filter_map(|field| Some((field, self.mapping.column(field)?)))
        {
            let read = match self.number(row, column) {
                Ok(Some(number)) => number.to_string(),
                Ok(None) => "absent".to_owned(),
                Err(error) => error.to_string(),
            };
            note("2 numbers", format!("{} \"{}\" → {read}", field.name(), row.cell(column)));
        }
        note("3 currency", format!("\"{}\" → {}", self.cell(row, Field::Currency), self.currency_of(row)));
        let core = match self.core(row) {
            Ok(core) => core,
            Err(error) => {
                note("rejected", error.to_string());
                return steps;
            }
        };
        let mark = self.cell(row, Field::Direction);
        let flip = if self.flip_sign { ", every sign turned" } else { "" };
        note("4 sign", format!("mark \"{mark}\"{flip} → {}", core.amount));
        let value = core.value.map(|value| format!(", value date {value}")).unwrap_or_default();
        note("5 dates", format!("\"{}\" → {}{value}", self.cell(row, Field::BookedDate), core.booked));
        note(
            "6 text",
            text::fold(&format!("{} {}", self.cell(row, Field::Counterparty), self.joined(row, Field::Text))),
        );
        let mut references = Vec::new();
        self.references(row, |reference| references.push(text::fold(reference)));
        note("7 references", references.join(", "));
        let fingerprint =
            crate::normalise::fingerprint::Fingerprint { content: self.content(row, &core), ordinal: 0 };
        note("fingerprint", fingerprint.to_string());
        steps
    }
}

/// A step of normalisation and what came out of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// Which step.
    pub name: &'static str,
    /// From what to what.
    pub result: String,
}
