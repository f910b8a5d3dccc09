//! The fields of a record, and how columns of a file are recognised as them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stoa_kernel::currency::Currency;

/// A field of a record that a column can be mapped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The id that the source gives the line.
    ExternalId,
    /// The account that the line belongs to.
    Account,
    /// The day on which it was booked; may be an instant.
    BookedDate,
    /// The day from which it counts.
    ValueDate,
    /// The amount, signed or with a direction beside it.
    Amount,
    /// The amount when it is a debit (money leaves the account).
    Debit,
    /// The amount when it is a credit (money enters the account).
    Credit,
    /// Whether it is a debit or a credit: `D`, `C`, `RD`, `RC`, `DR`, `CR`, `debit`, `credit`, `-`, `+`.
    Direction,
    /// The currency of the amount.
    Currency,
    /// The amount before conversion.
    OriginalAmount,
    /// The currency before conversion.
    OriginalCurrency,
    /// A fee that was taken from the amount.
    Fee,
    /// The currency of the fee, if it is not that of the amount.
    FeeCurrency,
    /// A reference: invoice number, order number, end-to-end id. May be mapped more than once.
    Reference,
    /// The other party.
    Counterparty,
    /// Free text. May be mapped more than once.
    Text,
    /// The kind of transaction.
    Type,
    /// The statement or batch inside the file.
    Statement,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 18] = [
        Self::ExternalId,
        Self::Account,
        Self::BookedDate,
        Self::ValueDate,
        Self::Amount,
        Self::Debit,
        Self::Credit,
        Self::Direction,
        Self::Currency,
        Self::OriginalAmount,
        Self::OriginalCurrency,
        Self::Fee,
        Self::FeeCurrency,
        Self::Reference,
        Self::Counterparty,
        Self::Text,
        Self::Type,
        Self::Statement,
    ];

    /// The name, as in rules files and in the columns of bank formats.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExternalId => "external_id",
            Self::Account => "account",
            Self::BookedDate => "booked_date",
            Self::ValueDate => "value_date",
            Self::Amount => "amount",
            Self::Debit => "debit",
            Self::Credit => "credit",
            Self::Direction => "direction",
            Self::Currency => "currency",
            Self::OriginalAmount => "original_amount",
            Self::OriginalCurrency => "original_currency",
            Self::Fee => "fee",
            Self::FeeCurrency => "fee_currency",
            Self::Reference => "reference",
            Self::Counterparty => "counterparty",
            Self::Text => "text",
            Self::Type => "type",
            Self::Statement => "statement",
        }
    }

    /// Column names that mean this field, folded by [`fold_header`]: English, German, French, Dutch, Spanish, Italian,
    /// and the exports of Stripe, PayPal, Shopify, Square, QuickBooks, Xero and Adyen. Best first.
    const fn synonyms(self) -> &'static [&'static str] {
        match self {
            Self::ExternalId => &[
                "id",
                "externalid",
                "transactionid",
                "txid",
                "txnid",
                "entryid",
                "recordid",
                "lineid",
                "rowid",
                "fitid",
                "balancetransactionid",
                "pspreference",
                "uuid",
                "paymentid",
                "transaktionsid",
                "transaktionscode",
                "journalid",
                "num",
                "transactienummer",
            ],
            Self::Account => &[
                "account",
                "accountnumber",
                "iban",
                "konto",
                "kontonummer",
                "auftragskonto",
                "rekening",
                "compte",
                "cuenta",
                "conto",
                "accountid",
                "accountname",
                "merchantaccount",
            ],
            Self::BookedDate => &[
                "date",
                "bookeddate",
                "bookingdate",
                "postingdate",
                "posteddate",
                "posted",
                "transactiondate",
                "buchungstag",
                "buchungsdatum",
                "datum",
                "boekdatum",
                "fecha",
                "data",
                "entrydate",
                "created",
                "createdutc",
                "createdat",
                "invoicedate",
                "paymentdate",
                "datecomptable",
                "dateoperation",
                "fechaoperacion",
                "creationdate",
                "day",
                "transactiondateutc",
                "timestamp",
            ],
            Self::ValueDate => &[
                "valuedate",
                "valuta",
                "valutadatum",
                "wertstellung",
                "datevaleur",
                "fechavalor",
                "availableon",
                "availableonutc",
                "effectivedate",
                "settlementdate",
                "payoutdate",
                "rentedatum",
            ],
            Self::Amount => &[
                "amount",
                "betrag",
                "bedrag",
                "montant",
                "importe",
                "importo",
                "value",
                "net",
                "gross",
                "total",
                "umsatz",
                "transactionamount",
                "sum",
                "amountgross",
                "netamount",
                "totalamount",
                "betrageur",
                "bedrageur",
                "grosscreditgc",
                "netcreditnc",
            ],
            Self::Debit => &[
                "debit",
                "soll",
                "withdrawal",
                "moneyout",
                "paidout",
                "debet",
                "cargo",
                "debitamount",
                "lastschrift",
                "spent",
            ],
            Self::Credit => &[
                "credit",
                "haben",
                "deposit",
                "moneyin",
                "paidin",
                "abono",
                "creditamount",
                "gutschrift",
                "received",
            ],
            Self::Direction => &[
                "direction",
                "debitcredit",
                "creditdebit",
                "drcr",
                "crdr",
                "dc",
                "cdtdbtind",
                "sollhaben",
                "afbij",
                "sign",
                "sens",
                "debitorcredit",
                "indicator",
            ],
            Self::Currency => &[
                "currency",
                "ccy",
                "waehrung",
                "wahrung",
                "valuta",
                "devise",
                "munt",
                "moneda",
                "divisa",
                "currencycode",
                "cur",
            ],
            Self::OriginalAmount => &[
                "originalamount",
                "customerfacingamount",
                "foreignamount",
                "amountoriginal",
                "instructedamount",
            ],
            Self::OriginalCurrency => &["originalcurrency", "customerfacingcurrency", "foreigncurrency"],
            Self::Fee => &[
                "fee",
                "fees",
                "feeamount",
                "gebuehr",
                "gebuhr",
                "commission",
                "charges",
                "processingfee",
                "frais",
            ],
            Self::FeeCurrency => &["feecurrency"],
            Self::Reference => &[
                "ref",
                "reference",
                "referenz",
                "referentie",
                "invoice",
                "invoiceno",
                "invoicenumber",
                "invoiceid",
                "rechnungsnummer",
                "order",
                "orderid",
                "ordernumber",
                "ordernr",
                "orderno",
                "documentno",
                "documentnumber",
                "belegnummer",
                "endtoendid",
                "e2eid",
                "kundenreferenz",
                "kundenreferenzendtoend",
                "mandatsreferenz",
                "merchantreference",
                "customerreference",
                "paymentreference",
                "checkno",
                "checknumber",
                "betalingskenmerk",
                "sourceid",
                "numerofacture",
                "docno",
                "voucher",
                "referenzschluessel",
            ],
            Self::Counterparty => &[
                "counterparty",
                "name",
                "payee",
                "payer",
                "customer",
                "customername",
                "vendor",
                "supplier",
                "beneficiary",
                "debtor",
                "creditor",
                "auftraggeberempfanger",
                "auftraggeberempfaenger",
                "beguenstigterzahlungspflichtiger",
                "beguenstigter",
                "begunstigterzahlungspflichtiger",
                "zahlungspflichtiger",
                "naam",
                "naamomschrijving",
                "tegenpartij",
                "nom",
                "contact",
                "contactname",
                "counterpartyname",
                "partner",
                "kontrahent",
                "billingname",
                "customeremail",
            ],
            Self::Text => &[
                "text",
                "description",
                "memo",
                "narrative",
                "details",
                "verwendungszweck",
                "buchungstext",
                "omschrijving",
                "mededelingen",
                "libelle",
                "concepto",
                "descrizione",
                "remittance",
                "remittanceinformation",
                "note",
                "notes",
                "particulars",
                "purpose",
                "transactiondetails",
                "comment",
                "subject",
                "communication",
                "motif",
            ],
            Self::Type => &[
                "type",
                "transactiontype",
                "category",
                "reportingcategory",
                "trntype",
                "code",
                "mutatiesoort",
                "buchungsschluessel",
                "kind",
            ],
            Self::Statement => &[
                "statement",
                "statementnumber",
                "batch",
                "batchid",
                "payout",
                "payoutid",
                "automaticpayoutid",
                "settlementbatchid",
            ],
        }
    }

    /// Whether more than one column may be mapped to it.
    #[must_use]
    pub const fn is_many(self) -> bool {
        matches!(self, Self::Reference | Self::Text)
    }

    /// The field that a column of this name most likely is.
    #[must_use]
    pub fn of_header(name: &str) -> Option<Self> {
        let folded = fold_header(name);
        if folded.is_empty() {
            return None;
        }
        Self::ALL
            .into_iter()
            .filter_map(|field| field.rank_of(&folded).map(|rank| (rank, field)))
            .min()
            .map(|(_, field)| field)
    }

    /// How well a column name stands for this field: 0 is best; `None` when it does not.
    #[must_use]
    pub fn rank(self, name: &str) -> Option<usize> {
        self.rank_of(&fold_header(name))
    }

    /// Whether a column name speaks of debits or of credits alone, so that its numbers are no signed amounts.
    #[must_use]
    pub fn names_one_side(name: &str) -> bool {
        let folded = fold_header(name);
        let has =
            |field: Self| field.synonyms().iter().any(|known| known.len() > 4 && folded.contains(known));
        has(Self::Debit) != has(Self::Credit)
    }

    fn rank_of(self, folded: &str) -> Option<usize> {
        let position = |name: &str| self.synonyms().iter().position(|&known| known == name);
        position(folded).or_else(|| {
            let is_amount = matches!(self, Self::Amount | Self::Debit | Self::Credit | Self::Fee);
            // After every exact name, so that `Credit` wins over `Net credit EUR`.
            bare_amount(folded).filter(|_| is_amount).and_then(position).map(|rank| rank + 1_000)
        })
    }
}

/// The name of an amount without what currency, unit or kind it is of: `withdrawalamt`, `gutschriftinchf`, `grossdebit`.
fn bare_amount(folded: &str) -> Option<&str> {
    let mut bare = folded;
    for currency in ["euros", "euro"] {
        bare = bare.strip_suffix(currency).unwrap_or(bare);
    }
    if let Some(at) = bare.len().checked_sub(3)
        && let Some(code) = bare.get(at..)
        && Currency::from_bytes(code.as_bytes()).is_some()
        && at > 3
    {
        bare = bare.get(..at).unwrap_or(bare);
    }
    for suffix in ["in", "amt", "amount", "betrag", "s"] {
        bare = bare.strip_suffix(suffix).unwrap_or(bare);
    }
    for prefix in ["gross", "net"] {
        bare = bare.strip_prefix(prefix).unwrap_or(bare);
    }
    (bare != folded && bare.len() > 3).then_some(bare)
}

/// A header without case, accents, blanks, punctuation and bracketed units: `Betrag (EUR)` becomes `betrag`.
#[must_use]
pub fn fold_header(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    let bare = name.split(['(', '[']).next().filter(|bare| !bare.trim().is_empty()).unwrap_or(name);
    bare.nfkd().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Which columns are which fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    pairs: Vec<(Field, usize)>,
}

impl Mapping {
    /// Adds a column; replaces the earlier one unless the field takes many.
    pub fn set(&mut self, field: Field, column: usize) {
        if !field.is_many() {
            self.pairs.retain(|&(mapped, _)| mapped != field);
        }
        self.pairs.push((field, column));
    }

    /// Removes a field.
    pub fn unset(&mut self, field: Field) {
        self.pairs.retain(|&(mapped, _)| mapped != field);
    }

    /// The column of a field: the first where there are more.
    #[must_use]
    pub fn column(&self, field: Field) -> Option<usize> {
        self.pairs.iter().find(|&&(mapped, _)| mapped == field).map(|&(_, column)| column)
    }

    /// All columns of a field.
    pub fn columns(&self, field: Field) -> impl Iterator<Item = usize> + '_ {
        self.pairs.iter().filter(move |&&(mapped, _)| mapped == field).map(|&(_, column)| column)
    }

    /// The fields of a column.
    #[must_use]
    pub fn field_of(&self, column: usize) -> Option<Field> {
        self.pairs.iter().find(|&&(_, mapped)| mapped == column).map(|&(field, _)| field)
    }

    /// All pairs, in the order in which they were set.
    #[must_use]
    pub fn pairs(&self) -> &[(Field, usize)] {
        &self.pairs
    }

    /// Infers the mapping from column names: the best synonym wins each single field.
    #[must_use]
    pub fn of_headers(columns: &[String]) -> Self {
        let mut mapping = Self::default();
        for field in Field::ALL {
            let mut ranked: Vec<(usize, usize)> = columns
                .iter()
                .enumerate()
                .filter(|(_, name)| Field::of_header(name) == Some(field) || field.name() == name.as_str())
                .map(|(column, name)| (field.rank(name).unwrap_or(0), column))
                .collect();
            ranked.sort_unstable();
            let take = if field.is_many() { ranked.len() } else { 1 };
            for &(_, column) in ranked.iter().take(take) {
                mapping.pairs.push((field, column));
            }
        }
        mapping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(headers: &[&str]) -> Vec<(Field, usize)> {
        let columns: Vec<String> = headers.iter().map(|&name| name.to_owned()).collect();
        Mapping::of_headers(&columns).pairs().to_vec()
    }

    #[test]
    fn headers_of_common_exports_are_recognised() {
        assert_eq!(
            mapped(&["id", "date", "ref", "amount", "currency", "counterparty", "description"]),
            [
                (Field::ExternalId, 0),
                (Field::BookedDate, 1),
                (Field::Amount, 3),
                (Field::Currency, 4),
                (Field::Reference, 2),
                (Field::Counterparty, 5),
                (Field::Text, 6)
            ]
        );
        let german = mapped(&["Buchungstag", "Wertstellung", "Verwendungszweck", "Betrag (EUR)", "Währung"]);
        assert!(german.contains(&(Field::BookedDate, 0)) && german.contains(&(Field::ValueDate, 1)));
        assert!(german.contains(&(Field::Amount, 3)) && german.contains(&(Field::Currency, 4)));
    }

    #[test]
    fn debit_and_credit_are_known_with_their_currency_unit_and_kind() {
        for [debit, credit] in [
            ["Withdrawal Amt (INR)", "Deposit Amt (INR)"],
            ["Débit euros", "Crédit euros"],
            ["Lastschrift in CHF", "Gutschrift in CHF"],
            ["Gross Debit (GC)", "Gross Credit (GC)"],
            ["Debits", "Credits"],
        ] {
            assert_eq!(
                mapped(&["Date", debit, credit]).get(1..),
                Some(&[(Field::Debit, 1), (Field::Credit, 2)][..]),
                "{debit}"
            );
        }
        assert_eq!(mapped(&["Gross Debit", "Debit"]), [(Field::Debit, 1)]);
    }

    #[test]
    fn names_are_read_without_case_accents_and_units() {
        assert_eq!(fold_header(" Währung [ISO] "), "wahrung");
        assert_eq!(fold_header("Money In (£)"), "moneyin");
        assert_eq!(Field::of_header("gibberish"), None);
    }

    #[test]
    fn no_name_stands_for_two_fields_at_the_same_rank() {
        for field in Field::ALL {
            assert_eq!(Field::of_header(field.name()), Some(field), "{}", field.name());
        }
    }
}
