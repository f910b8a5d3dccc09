//! Office Open XML workbooks: one sheet is a table. Numbers come as Excel shows them, to 15 digits; dates as dates.

use std::fs::File;
use std::io::BufReader;

use calamine::{Data, Reader as _, Xlsx, XlsxError, open_workbook_from_rs};
use stoa_kernel::limits;
use stoa_reconciliation::field::Field;
use stoa_reconciliation::row::{Item, Place, ReadError, Row, RowReader};
use stoa_reconciliation::source::SourceSpec;

/// Reads one sheet of a workbook.
pub(crate) struct Sheet {
    /// The rows that have cells: number from 1, cells from the first column.
    rows: Vec<(u32, Vec<Data>)>,
    columns: Vec<String>,
    next_row: usize,
}

impl Sheet {
    pub(crate) fn open(file: File, spec: &SourceSpec) -> Result<Self, ReadError> {
        let malformed = |message: String| ReadError::Malformed { place: Place { line: 1, byte: 0 }, message };
        let bytes = file.metadata()?.len();
        if bytes > limits::SPREADSHEET_BYTES_MAX {
            let most = limits::SPREADSHEET_BYTES_MAX;
            return Err(malformed(format!("the workbook has {bytes} bytes; at most {most} are opened")));
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
        let unreadable =
            |error: XlsxError| malformed(format!("the sheet \"{name}\" cannot be read: {error}"));
        let mut rows: Vec<(u32, Vec<Data>)> = Vec::new();
        let mut cells = 0usize;
        {
            // Cell by cell: what a sheet claims to span says nothing about what is in it.
            let mut reader = workbook.worksheet_cells_reader(&name).map_err(unreadable)?;
            while let Some(cell) = reader.next_cell().map_err(unreadable)? {
                let (row, column) = cell.get_position();
                let value = Data::from(cell.get_value().clone());
                let column = column as usize;
                if matches!(value, Data::Empty) {
                    continue;
                }
                cells += 1;
                if column >= limits::COLUMNS_MAX || cells > limits::SPREADSHEET_CELLS_MAX {
                    let (columns, most) = (limits::COLUMNS_MAX, limits::SPREADSHEET_CELLS_MAX);
                    return Err(malformed(format!(
                        "the sheet has more than {columns} columns or {most} cells"
                    )));
                }
                if rows.last().is_none_or(|(last, _)| *last != row + 1) {
                    rows.push((row + 1, Vec::new()));
                }
                if let Some((_, line)) = rows.last_mut() {
                    line.resize(line.len().max(column + 1), Data::Empty);
                    if let Some(slot) = line.get_mut(column) {
                        *slot = value;
                    }
                }
            }
        }
        rows.sort_by_key(|(row, _)| *row);
        let skipped = spec.skip_lines.unwrap_or(0);
        let next_row = rows.iter().take_while(|(row, _)| *row <= skipped).count();
        let mut sheet = Self { rows, columns: Vec::new(), next_row };
        sheet.name_columns(spec.header);
        Ok(sheet)
    }

    /// Among the first rows, the columns are named by the first one of texts that has a known name in it, else by the
    /// first one of texts.
    fn name_columns(&mut self, header: Option<bool>) {
        let width = self.rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
        let numbered = |number: usize| format!("column {}", number + 1);
        let texts = |cells: &[Data]| {
            let filled = || cells.iter().filter(|cell| !matches!(cell, Data::Empty));
            filled().count() > 1 && filled().all(|cell| matches!(cell, Data::String(_)))
        };
        let known = |cells: &[Data]| {
            cells
                .iter()
                .filter(|cell| matches!(cell, Data::String(name) if Field::of_header(name).is_some()))
                .count()
                > 1
        };
        let candidates = || {
            self.rows.iter().enumerate().skip(self.next_row).take(50).filter(|(_, (_, cells))| texts(cells))
        };
        let found = candidates().find(|(_, (_, cells))| known(cells)).or_else(|| candidates().next());
        match found.filter(|_| header != Some(false)) {
            Some((at, (_, cells))) => {
                self.columns = (0..width)
                    .map(|number| match cells.get(number) {
                        Some(Data::String(name)) if !name.trim().is_empty() => name.trim().to_owned(),
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
            let Some((number, cells)) = self.rows.get(self.next_row) else { return Ok(None) };
            self.next_row += 1;
            row.restart(Place { line: u64::from(*number), byte: 0 });
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
