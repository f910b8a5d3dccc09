//! The narrative of MT940 and MT942 (field `:86:`): sub-fields with `?nn` or `>nn`, SWIFT code words `/EREF/…/REMI/…`, SEPA
//! marks `EREF+…SVWZ+…`, or free text.

use crate::table::Table;

/// Puts what a narrative says into the cells of the current row.
pub(crate) fn read(lines: &[String], table: &mut Table) {
    let joined: String = lines.iter().map(|line| line.trim_end_matches(['\r', '\n'])).collect();
    for mark in ['?', '>'] {
        if let Some(fields) = sub_fields(&joined, mark) {
            return read_sub_fields(&fields, table);
        }
    }
    if joined.trim_start().starts_with('/') && read_code_words(&joined, table) {
        return;
    }
    let text =
        lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    sepa_marks(&text, table);
    table.set("text", &text);
}

/// Splits `166?00…?20…`: the code before the first mark, then pairs of number and value. `None` without a mark `nn`.
fn sub_fields(joined: &str, mark: char) -> Option<Vec<(u8, String)>> {
    let mut fields: Vec<(u8, String)> = Vec::new();
    let mut rest = joined;
    let first = rest.find(mark)?;
    let head = rest.get(..first)?.trim();
    if head.len() > 4 && !head.bytes().all(|byte| byte.is_ascii_digit() || byte == b'>') {
        return None;
    }
    rest = rest.get(first..)?;
    while let Some(after) = rest.strip_prefix(mark) {
        let number = after.get(..2).and_then(|digits| digits.parse().ok());
        let next = after.char_indices().skip(1).find(|&(at, c)| {
            c == mark
                && after
                    .get(at + 1..at + 3)
                    .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        });
        let end = next.map_or(after.len(), |(at, _)| at);
        match number {
            Some(number) => fields.push((number, after.get(2..end).unwrap_or("").to_owned())),
            None => {
                // A mark that is part of the text.
                let (_, text) = fields.last_mut()?;
                text.push(mark);
                text.push_str(after.get(..end).unwrap_or(""));
            }
        }
        rest = after.get(end..)?;
    }
    (!fields.is_empty()).then(|| {
        if let Ok(code) = head.parse() {
            let _: u16 = code;
            fields.insert(0, (255, head.to_owned()));
        }
        fields
    })
}

fn read_sub_fields(fields: &[(u8, String)], table: &mut Table) {
    let text: String = fields
        .iter()
        .filter(|(number, _)| matches!(number, 20..=29 | 60..=65))
        .map(|(_, value)| value.as_str())
        .collect();
    for (number, value) in fields {
        match number {
            255 => table.set("transaction_code", value),
            0 => table.set("posting_text", value),
            10 => table.set("prima_nota", value),
            30 => table.set("counterparty_bic", value),
            31 | 38 => table.set("counterparty_account", value),
            32 | 33 => table.set("counterparty", value),
            34 => table.set("text_key", value),
            20..=29 | 60..=65 => {}
            other => table.set(&format!("sub_field_{other:02}"), value),
        }
    }
    sepa_marks(&text, table);
    table.set("text", &text);
}

const SEPA_MARKS: [(&str, &str); 7] = [
    ("EREF+", "reference.end_to_end"),
    ("KREF+", "reference.customer"),
    ("MREF+", "mandate"),
    ("CRED+", "creditor_id"),
    ("ABWA+", "ultimate_debtor"),
    ("SVWZ+", "purpose"),
    ("BREF+", "reference.bank"),
];

/// The references of a German SEPA narrative: `EREF+…KREF+…SVWZ+…`.
fn sepa_marks(text: &str, table: &mut Table) {
    let mut found: Vec<(usize, usize, &str)> = SEPA_MARKS
        .iter()
        .filter_map(|(mark, column)| text.find(mark).map(|at| (at, at + mark.len(), *column)))
        .collect();
    found.sort_unstable();
    for (index, &(_, start, column)) in found.iter().enumerate() {
        let end = found.get(index + 1).map_or(text.len(), |&(next, ..)| next);
        if column != "purpose" {
            table.set(column, text.get(start..end).unwrap_or(""));
        }
    }
}

/// `/EREF/x/BENM//NAME/y/REMI/z`: code words of capitals between slashes. `false` when there is none that is known.
fn read_code_words(joined: &str, table: &mut Table) -> bool {
    let parts: Vec<&str> = joined.trim().trim_start_matches('/').split('/').collect();
    let (mut known, mut column, mut value) = (false, "text", String::new());
    let mut text = String::new();
    for part in parts {
        let next = match part {
            "EREF" => Some("reference.end_to_end"),
            "KREF" | "CREF" | "PREF" | "ORDRREF" => Some("reference.customer"),
            "MARF" | "MREF" => Some("mandate"),
            "CSID" => Some("creditor_id"),
            "IBAN" | "ACCT" => Some("counterparty_account"),
            "BIC" => Some("counterparty_bic"),
            "NAME" => Some("counterparty"),
            "REMI" | "UNSTRUCTURED" | "USTD" | "TEXT" => Some("text"),
            "BENM" | "ORDP" | "CNTP" | "ULTC" | "ULTD" | "ISDT" | "RTRN" | "PURP" | "TRTP" | "TRCD"
            | "PT" | "PY" | "CHGS" | "OCMT" | "TRAN" => Some("narrative"),
            _ => None,
        };
        match next {
            Some(next) => {
                put(table, &mut text, column, &value);
                (known, column) = (true, next);
                value.clear();
            }
            None => {
                if !value.is_empty() {
                    value.push('/');
                }
                value.push_str(part);
            }
        }
    }
    if known {
        put(table, &mut text, column, &value);
        table.set("text", &text);
    }
    known
}

fn put(table: &mut Table, text: &mut String, column: &str, value: &str) {
    let value = value.trim_matches(['/', ' ']);
    if column == "text" {
        if !text.is_empty() && !value.is_empty() {
            text.push(' ');
        }
        text.push_str(value);
    } else {
        table.set(column, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(lines: &[&str], name: &str) -> String {
        let mut table = Table::default();
        read(&lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>(), &mut table);
        table.get(name).to_owned()
    }

    #[test]
    fn sub_fields_are_joined_across_wrapped_lines() {
        let lines = ["166?00GUTSCHRIFT?20EREF+A-", "17SVWZ+Rechnung ?21 12?32ACME G", "mbH?31DE02"];
        assert_eq!(cell(&lines, "reference.end_to_end"), "A-17");
        assert_eq!(cell(&lines, "counterparty"), "ACME GmbH");
        assert_eq!(cell(&lines, "text"), "EREF+A-17SVWZ+Rechnung  12");
        assert_eq!(cell(&lines, "transaction_code"), "166");
    }

    #[test]
    fn code_words_and_free_text_are_told_apart() {
        let lines = ["/EREF/E-1/BENM//NAME/JOHN DOE/REMI/Ref 7/ISDT/2013-01-02"];
        assert_eq!(
            (cell(&lines, "reference.end_to_end"), cell(&lines, "counterparty"), cell(&lines, "text")),
            ("E-1".into(), "JOHN DOE".into(), "Ref 7".into())
        );
        assert_eq!(
            cell(&["GIRO  428428 KPN", "is this it? yes"], "text"),
            "GIRO  428428 KPN is this it? yes"
        );
    }
}
