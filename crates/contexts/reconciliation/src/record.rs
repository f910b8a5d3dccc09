//! A record: one normalised line, immutable.

use std::collections::BTreeMap;

use stoa_kernel::currency::Currency;
use stoa_kernel::date::Day;
use stoa_kernel::money::{Decimal, Money};

use crate::normalise::fingerprint::Content;
use crate::row::Place;

/// Something about a record that a person should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The amount has more decimals than its currency; they are kept.
    MoreDecimalsThanCurrency,
    /// The date was one that the calendar lacks (30 February); the last day of the month was taken.
    DateClamped,
}

/// One normalised line of a source.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Record {
    /// Where in the file it stands.
    pub place: Place,
    /// The id that the source gives it.
    pub external_id: Option<String>,
    /// The account that it belongs to; empty where the source names none.
    pub account: String,
    /// The day on which it was booked.
    pub booked: Day,
    /// The day from which it counts.
    pub value: Option<Day>,
    /// The instant, in microseconds since the Unix epoch, where the source states one with its offset.
    pub instant: Option<i64>,
    /// How much; credit to the account is positive.
    pub amount: Decimal,
    /// Of which currency.
    pub currency: Currency,
    /// The mark of debit or credit, as written.
    pub direction: Option<String>,
    /// The amount before conversion.
    pub original_amount: Option<Decimal>,
    /// The currency before conversion.
    pub original_currency: Option<Currency>,
    /// The fee that was taken.
    pub fee: Option<Money>,
    /// References, as written, in the order of their extractors.
    pub references: Vec<String>,
    /// The other party, as written.
    pub counterparty: Option<String>,
    /// Free text, as written.
    pub text: Option<String>,
    /// The kind of transaction, as written.
    pub kind: Option<String>,
    /// The statement or batch inside the file.
    pub statement: Option<String>,
    /// Every other column that is not blank.
    pub attributes: BTreeMap<String, String>,
    /// What a person should know.
    pub flags: Vec<Flag>,
    /// The content hash.
    #[serde(skip)]
    pub content: Content,
}
