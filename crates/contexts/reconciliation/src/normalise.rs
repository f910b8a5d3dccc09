//! Normalisation: from cells to a record, in seven steps, each of which can be shown.
//!
//! 1. bytes to text (done by intake) · 2. numbers · 3. currency · 4. sign · 5. dates · 6. text · 7. references ·
//!    and at the end the fingerprint.

pub mod dates;
pub mod fingerprint;
pub mod numbers;
pub mod references;
pub mod text;
