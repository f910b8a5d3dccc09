#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stoa_fuzz::read(stoa_reconciliation::source::Format::Camt, bytes));
