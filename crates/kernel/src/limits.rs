//! Every bound that input or work can meet, by name. A bound that is met is always reported, never silent.

/// The longest row that a line-based format may have, in bytes. A longer row is rejected, not loaded.
pub const ROW_BYTES_MAX: usize = 16 << 20;
/// The most columns that a table may have.
pub const COLUMNS_MAX: usize = 1_024;
/// The deepest nesting that JSON and XML may have.
pub const NESTING_MAX: usize = 128;
/// The most filled cells of a sheet that are read.
pub const SPREADSHEET_CELLS_MAX: usize = 32 << 20;
/// The largest XLSX file that is opened, in bytes.
pub const SPREADSHEET_BYTES_MAX: u64 = 1 << 30;
/// The most records that one side of an execution may have (record numbers are 32 bits).
pub const RECORDS_MAX: usize = (u32::MAX - 1) as usize;
/// The longest distance between two days that is counted in business days.
pub const BUSINESS_DAYS_MAX: i32 = 40_000;
/// The most candidate pairs that one block may produce before it is reported instead of searched.
pub const BLOCK_PAIRS_MAX: usize = 4_000_000;
/// The most nodes that one subset search may visit by default.
pub const SUBSET_NODES_MAX: u64 = 200_000;
/// The largest rules file, in bytes.
pub const RULES_BYTES_MAX: u64 = 1 << 20;
/// The largest FX rate table, in bytes.
pub const RATES_BYTES_MAX: u64 = 256 << 20;
/// The most rows of a table that the HTML report shows; the CSV files have all of them.
pub const REPORT_ROWS_MAX: usize = 500;
/// The number of nearest candidates that an explanation names.
pub const CANDIDATES_SHOWN: usize = 3;
