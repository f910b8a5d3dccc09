//! What an attacker tries: one named test for each.

mod crossing;
mod forging;
mod guessing;
mod leaking;
mod passkeys;
mod providers;
mod racing;
