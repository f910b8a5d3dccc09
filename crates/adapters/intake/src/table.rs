//! Rows with named cells, for formats whose rows do not all have the same cells: columns are added as they appear.

use std::collections::HashMap;

use stoa_kernel::limits;
use stoa_reconciliation::row::{Place, Row};

/// The columns of a table and the row that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<String>,
    numbers: HashMap<String, usize>,
    cells: Vec<String>,
}

impl Table {
    /// A table that begins with these columns.
    pub(crate) fn with(columns: &[&str]) -> Self {
        let mut table = Self::default();
        for name in columns {
            table.column(name);
        }
        table
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    fn column(&mut self, name: &str) -> Option<usize> {
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        if self.columns.len() >= limits::COLUMNS_MAX {
            return None;
        }
        self.columns.push(name.to_owned());
        self.numbers.insert(name.to_owned(), self.columns.len() - 1);
        Some(self.columns.len() - 1)
    }

    /// Sets a cell of the current row; appends with a blank between where it is filled already.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        let Some(number) = self.column(name) else { return };
        if self.cells.len() <= number {
            self.cells.resize(number + 1, String::new());
        }
        if let Some(cell) = self.cells.get_mut(number) {
            if !cell.is_empty() {
                cell.push(' ');
            }
            cell.push_str(value);
        }
    }

    /// What a cell of the current row holds.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.numbers.get(name).and_then(|&number| self.cells.get(number)).map_or("", String::as_str)
    }

    /// Moves the current row to `row`.
    pub(crate) fn finish(&mut self, row: &mut Row, place: Place) {
        row.restart(place);
        for cell in &self.cells {
            row.push(cell);
        }
        self.cells.clear();
    }

    /// Throws the current row away; returns it for showing.
    pub(crate) fn abandon(&mut self) -> String {
        let shown =
            self.cells.iter().filter(|cell| !cell.is_empty()).cloned().collect::<Vec<_>>().join(" | ");
        self.cells.clear();
        shown
    }
}
