//! Office Open XML workbooks: one sheet is a table. Numbers come as Excel shows them, to 15 digits; dates as dates.

use std::fs::File;
use std::io::BufReader;

use calamine::{Data, Range, Reader as _, Xlsx, open_workbook_from_rs};
use stoa_kernel::limits;
use stoa_reconciliation::row::{Item, Place, ReadError, Row, RowReader};
use stoa_reconciliation::source::SourceSpec;

/// Reads one sheet of a workbook.
pub(crate) struct Sheet {
    range: Range<Data>,
    columns: Vec<String>,
    next_row: usize,
}

impl Sheet {
    pub(crate) fn open(file: File, spec: &SourceSpec) -> Result<Self, ReadError> {
        let malformed = |message: String| ReadError::Malformed { place: Place { line: 1, byte: 0 }, message };
        let bytes = file.metadata()?.len();
        if bytes > limits::SPREADSHEET_BYTES_MAX {
            return Err(malformed(format!(
                "the workbook has {bytes} bytes; at most {} are opened",
                limits::SPREADSHEET_BYTES_MAX
            )));
        }
        let mut workbook: Xlsx<BufReader<File>> = open_workbook_from_rs(BufReader::new(file))
            .map_err(|error| malformed(format!("the workbook cannot be opened: {error}")))?;
        let names = workbook.sheet_names();
        let name = match &spec.sheet {
            Some(name) if names.contains(name) => name.clone(),
            Some(name) => {
                return Err(malformed(format!(
                    "there is no sheet \"{name}\"; there are {}",
                    names.join(", ")
                )));
            }
            None => {
                names.first().cloned().ok_or_else(|| malformed("the workbook has no sheet".to_owned()))?
            }
        };
        let range = workbook
            .worksheet_range(&name)
            .map_err(|error| malformed(format!("the sheet \"{name}\" cannot be read: {error}")))?;
        let mut sheet = Self { range, columns: Vec::new(), next_row: spec.skip_lines.unwrap_or(0) as usize };
        sheet.name_columns(spec.header);
        Ok(sheet)
    }

    /// The first row whose cells are all texts, and more than one, names the columns.
    fn name_columns(&mut self, header: Option<bool>) {
        let width = self.range.width();
        let numbered = |number: usize| format!("column {}", number + 1);
        if header == Some(false) {
            self.columns = (0..width).map(numbered).collect();
            return;
        }
        let is_header = |row: &[Data]| {
            let filled: Vec<&Data> = row.iter().filter(|cell| !matches!(cell, Data::Empty)).collect();
            filled.len() > 1 && filled.iter().all(|cell| matches!(cell, Data::String(_)))
        };
        let found =
            self.range.rows().enumerate().skip(self.next_row).take(50).find(|(_, row)| is_header(row));
        match found {
            Some((at, row)) => {
                self.columns = row
                    .iter()
                    .enumerate()
                    .map(|(number, cell)| match cell {
                        Data::String(name) if !name.trim().is_empty() => name.trim().to_owned(),
                        _ => numbered(number),
                    })
                    .collect();
                self.next_row = at + 1;
            }
            None => self.columns = (0..width).map(numbered).collect(),
        }
    }
}

/// A cell as text. Excel stores numbers as binary floats and shows 15 significant digits; so do we.
fn shown(cell: &Data) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Bool(yes) => yes.to_string(),
        Data::Int(number) => number.to_string(),
        Data::Float(number) => fifteen_digits(*number),
        Data::DateTime(date) => {
            let (year, month, day, ..) = date.to_ymd_hms_milli();
            format!("{year:04}-{month:02}-{day:02}")
        }
        other => other.to_string(),
    }
}

fn fifteen_digits(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    // The exponent of scientific notation tells how many decimals 15 digits leave.
    let scientific = format!("{number:.14e}");
    let exponent: i32 = scientific.rsplit('e').next().and_then(|exponent| exponent.parse().ok()).unwrap_or(0);
    let decimals = usize::try_from((14 - exponent).clamp(0, 20)).unwrap_or(0);
    let fixed = format!("{number:.decimals$}");
    if fixed.contains('.') { fixed.trim_end_matches('0').trim_end_matches('.').to_owned() } else { fixed }
}

impl RowReader for Sheet {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn next(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        loop {
            let at = self.next_row;
            let Some(cells) = self.range.rows().nth(at) else { return Ok(None) };
            self.next_row += 1;
            let first = self.range.start().map_or(0, |(row, _)| u64::from(row));
            row.restart(Place { line: first + at as u64 + 1, byte: 0 });
            for cell in cells.iter().take(self.columns.len()) {
                row.push(&shown(cell));
            }
            if row.cells().any(|cell| !cell.trim().is_empty()) {
                return Ok(Some(Item::Row));
            }
        }
    }

    fn position(&self) -> u64 {
        self.next_row as u64
    }
}

#[cfg(test)]
mod tests {
    use super::fifteen_digits;

    #[test]
    fn numbers_are_what_excel_shows() {
        for (number, text) in [
            (0.1 + 0.2, "0.3"),
            (1234.5, "1234.5"),
            (1e15, "1000000000000000"),
            (-0.07, "-0.07"),
            (97.1, "97.1"),
            (0.0, "0"),
        ] {
            assert_eq!(fifteen_digits(number), text);
        }
    }
}
