//! Settles how a table is to be read, from its column names and a sample of its rows. What was inferred is stated.

use crate::field::{Field, Mapping};
use crate::normalise::dates::{self, DateFormat};
use crate::normalise::numbers::{self, NumberFormat};
use crate::profile::Profile;
use crate::row::Row;
use crate::source::SourceSpec;

/// Why a table cannot be read. Code `column_missing`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// A field that every record needs has no column.
    #[error("no column looks like {what}; the file has {columns}")]
    ColumnMissing {
        /// What is missing.
        what: &'static str,
        /// The columns that there are.
        columns: String,
    },
    /// The configuration cannot be applied.
    #[error("{0}")]
    Configuration(String),
}

impl stoa_kernel::error::Coded for InferError {
    fn code(&self) -> &'static str {
        "column_missing"
    }

    fn way_out(&self) -> Option<String> {
        match self {
            Self::ColumnMissing { what, .. } => {
                let field = if what.contains("date") { "booked_date" } else { "amount" };
                Some(format!(
                    "name it: --left {field}=COLUMN (or --right), or sources.left.columns in the rules"
                ))
            }
            Self::Configuration(_) => None,
        }
    }
}

/// The profile of a table with these columns. `comma_hint`: the file looks like one with decimal commas.
///
/// # Errors
/// [`InferError`].
pub fn profile(
    columns: &[String],
    sample: &[Row],
    spec: &SourceSpec,
    comma_hint: bool,
) -> Result<Profile, InferError> {
    let mut profile =
        Profile { columns: columns.to_vec(), mapping: Mapping::of_headers(columns), ..Profile::default() };
    profile.numbers = vec![NumberFormat::Point; columns.len()];
    profile.dates = vec![DateFormat::YearMonthDay; columns.len()];
    profile.configure(spec).map_err(InferError::Configuration)?;
    find_by_content(&mut profile, sample);
    settle_numbers(&mut profile, sample, spec, comma_hint);
    settle_dates(&mut profile, sample, spec);
    drop_unreadable(&mut profile, sample, spec);
    let missing = |what| InferError::ColumnMissing { what, columns: columns.join(", ") };
    let mapping = &profile.mapping;
    let has = |field| mapping.column(field).is_some();
    if !has(Field::Amount) && !has(Field::Debit) && !has(Field::Credit) {
        return Err(missing("an amount"));
    }
    if !has(Field::BookedDate) && !has(Field::ValueDate) {
        return Err(missing("a date"));
    }
    Ok(profile)
}

fn cells(sample: &[Row], column: usize) -> Vec<&str> {
    sample.iter().map(|row| row.cell(column)).collect()
}

/// Finds the date and the amount by what the cells look like, where no name gave them away.
fn find_by_content(profile: &mut Profile, sample: &[Row]) {
    let free: Vec<usize> =
        (0..profile.columns.len()).filter(|&column| profile.mapping.field_of(column).is_none()).collect();
    let is_date = |column: usize| {
        let cells = cells(sample, column);
        cells.iter().any(|cell| cell.contains(['-', '/', '.'])) && dates::infer(&cells).is_some()
    };
    let name = |profile: &Profile, column: usize| profile.columns.get(column).cloned().unwrap_or_default();
    if profile.mapping.column(Field::BookedDate).is_none()
        && profile.mapping.column(Field::ValueDate).is_none()
        && let Some(&column) = free.iter().find(|&&column| is_date(column))
    {
        profile.mapping.set(Field::BookedDate, column);
        profile
            .stated
            .push(format!("\"{}\" is taken as the booked date, by its content", name(profile, column)));
    }
    let amounts = [Field::Amount, Field::Debit, Field::Credit];
    if amounts.iter().all(|&field| profile.mapping.column(field).is_none()) {
        let is_amount = |column: usize| {
            let cells: Vec<&str> =
                cells(sample, column).into_iter().filter(|cell| !cell.trim().is_empty()).collect();
            let format = numbers::infer(cells.iter().copied(), false).format;
            !cells.is_empty()
                && cells.iter().all(|cell| numbers::parse(cell, format).is_ok())
                && cells.iter().any(|cell| cell.contains(['.', ',']))
        };
        let one_sided = |column: usize| Field::names_one_side(&name(profile, column));
        if let Some(&column) =
            free.iter().find(|&&column| !one_sided(column) && !is_date(column) && is_amount(column))
        {
            profile.mapping.set(Field::Amount, column);
            profile
                .stated
                .push(format!("\"{}\" is taken as the amount, by its content", name(profile, column)));
        }
    }
}

/// Objects of an API whose amounts are whole numbers of the smallest unit.
const OBJECTS: [&str; 7] =
    ["balance_transaction", "charge", "payment_intent", "payout", "refund", "transfer", "invoice"];

fn is_of_an_api_in_minor_units(profile: &Profile, sample: &[Row], of_amounts: &[usize]) -> bool {
    let Some(kind) = profile.columns.iter().position(|column| column == "object") else { return false };
    let kinds = cells(sample, kind);
    let is_whole = |cell: &str| cell.trim().trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    !kinds.is_empty()
        && kinds.iter().all(|kind| OBJECTS.contains(kind))
        && of_amounts.iter().all(|&column| cells(sample, column).into_iter().all(is_whole))
}

fn settle_numbers(profile: &mut Profile, sample: &[Row], spec: &SourceSpec, comma_hint: bool) {
    if spec.numbers.is_some() {
        return;
    }
    let amounts = [Field::Amount, Field::Debit, Field::Credit, Field::Fee, Field::OriginalAmount];
    let of_amounts: Vec<usize> = amounts.iter().filter_map(|&field| profile.mapping.column(field)).collect();
    if is_of_an_api_in_minor_units(profile, sample, &of_amounts) {
        for &column in &of_amounts {
            if let Some(slot) = profile.numbers.get_mut(column) {
                *slot = NumberFormat::MinorUnits;
            }
        }
        let stated =
            "amounts are in minor units, as in the API of Stripe (numbers=point settles that they are not)";
        profile.stated.push(stated.to_owned());
        return;
    }
    for field in amounts {
        let Some(column) = profile.mapping.column(field) else { continue };
        let inferred = numbers::infer(cells(sample, column).into_iter(), comma_hint);
        if let Some(slot) = profile.numbers.get_mut(column) {
            *slot = inferred.format;
        }
        let name = profile.columns.get(column).cloned().unwrap_or_default();
        let mark = if inferred.format == NumberFormat::Comma { "comma" } else { "point" };
        if !inferred.proven {
            profile.stated.push(format!("\"{name}\" is read with a decimal {mark}; the sample does not prove it (numbers={mark} or the other settles it)"));
        } else if inferred.format == NumberFormat::Comma {
            profile.stated.push(format!("\"{name}\" has a decimal comma"));
        }
    }
}

fn settle_dates(profile: &mut Profile, sample: &[Row], spec: &SourceSpec) {
    if spec.dates.is_some() {
        return;
    }
    for field in [Field::BookedDate, Field::ValueDate] {
        let Some(column) = profile.mapping.column(field) else { continue };
        let Some(inferred) = dates::infer(&cells(sample, column)) else { continue };
        if let Some(slot) = profile.dates.get_mut(column) {
            *slot = inferred.format;
        }
        let name = profile.columns.get(column).cloned().unwrap_or_default();
        let order = match inferred.format {
            DateFormat::DayMonthYear => "day, month, year",
            DateFormat::MonthDayYear => "month, day, year",
            DateFormat::UnixSeconds => "seconds since 1970",
            DateFormat::ShortYearMonthDay => "YYMMDD",
            DateFormat::YearMonthDay | DateFormat::MonthDay => continue,
        };
        let doubt = if inferred.proven {
            ""
        } else {
            "; the sample does not prove it (dates=day_month_year or month_day_year settles it)"
        };
        profile.stated.push(format!("\"{name}\" is read as {order}{doubt}"));
    }
}

/// A second date or a fee whose cells cannot be read after all is not what its name says.
fn drop_unreadable(profile: &mut Profile, sample: &[Row], spec: &SourceSpec) {
    let configured = |field| spec.columns.contains_key(&field);
    if let Some(column) = profile.mapping.column(Field::ValueDate)
        && profile.mapping.column(Field::BookedDate).is_some()
        && !configured(Field::ValueDate)
        && cells(sample, column).iter().any(|cell| !cell.trim().is_empty())
        && dates::infer(&cells(sample, column)).is_none()
    {
        profile.mapping.unset(Field::ValueDate);
    }
    let codes = |field: Field| {
        profile.mapping.column(field).is_some_and(|column| {
            let filled: Vec<&str> =
                cells(sample, column).into_iter().map(str::trim).filter(|cell| !cell.is_empty()).collect();
            !filled.is_empty()
                && filled
                    .iter()
                    .all(|cell| stoa_kernel::currency::Currency::from_bytes(cell.as_bytes()).is_none())
        })
    };
    if !configured(Field::Currency) && codes(Field::Currency) {
        profile.mapping.unset(Field::Currency);
    }
    let marks = profile.mapping.column(Field::Direction).is_some_and(|column| {
        cells(sample, column)
            .iter()
            .any(|cell| !cell.trim().is_empty() && numbers::Direction::parse(cell).is_none())
    });
    if !configured(Field::Direction) && marks {
        profile.mapping.unset(Field::Direction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: &[&[&str]]) -> Vec<Row> {
        cells
            .iter()
            .map(|cells| {
                let mut row = Row::default();
                cells.iter().for_each(|cell| row.push(cell));
                row
            })
            .collect()
    }

    fn infer(columns: &[&str], cells: &[&[&str]]) -> Result<Profile, InferError> {
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        profile(&columns, &rows(cells), &SourceSpec::default(), false)
    }

    #[test]
    fn a_german_statement_is_read_by_its_names_and_its_content() {
        let profile =
            infer(&["Buchungstag", "Betrag", "Zweck"], &[&["31.01.2025", "1.234,56", "Miete"]]).unwrap();
        let row = &rows(&[&["01.02.2025", "-7,5", "x"]])[0];
        let core = profile.core(row).unwrap();
        assert_eq!((core.booked.to_string(), core.amount.to_string()), ("2025-02-01".into(), "-7.50".into()));
    }

    #[test]
    fn a_table_without_helpful_names_is_read_by_content() {
        let profile = infer(
            &["column 1", "column 2", "column 3"],
            &[&["a", "2025-01-31", "12.50"], &["b", "2025-02-01", "3.00"]],
        )
        .unwrap();
        assert_eq!(profile.mapping.column(Field::BookedDate), Some(1));
        assert_eq!(profile.mapping.column(Field::Amount), Some(2));
        assert_eq!(profile.stated.len(), 2, "and it says so");
    }

    #[test]
    fn a_table_without_an_amount_is_refused_with_its_columns() {
        let error = infer(&["date", "who"], &[&["2025-01-31", "me"]]).unwrap_err();
        assert_eq!(error.to_string(), "no column looks like an amount; the file has date, who");
    }
}
