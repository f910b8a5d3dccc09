use std::fmt::Write as _;

use super::Summary;
use crate::source::SideName;

/// A number with blanks between its thousands: `1 234 567`.
#[must_use]
pub fn grouped(number: &str) -> String {
    let (sign, rest) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, decimals) =
        rest.split_once('.').map_or((rest, None), |(whole, decimals)| (whole, Some(decimals)));
    let mut out = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(' ');
        }
        out.push(digit);
    }
    if let Some(decimals) = decimals {
        out.push('.');
        out.push_str(decimals);
    }
    out
}

fn percent(basis_points: u64) -> String {
    format!("{}.{:02} %", basis_points / 100, basis_points % 100)
}

/// The summary as it is shown in a terminal.
#[must_use]
pub fn terminal(summary: &Summary) -> String {
    let mut out = String::new();
    let _ = write_all(&mut out, summary);
    out
}

fn write_all(out: &mut String, summary: &Summary) -> std::fmt::Result {
    for file in &summary.files {
        let facts = &file.facts;
        write!(
            out,
            "{:<6}{}: {}, {} rows",
            file.side.name(),
            facts.name,
            facts.format.name(),
            grouped(&file.loaded.to_string())
        )?;
        if file.known > 0 {
            write!(out, ", {} known already", grouped(&file.known.to_string()))?;
        }
        if file.rejected > 0 {
            write!(out, ", {} rejected", grouped(&file.rejected.to_string()))?;
        }
        if file.warnings > 0 {
            write!(out, ", {} warnings", file.warnings)?;
        }
        writeln!(out)?;
        for sentence in &facts.inferred {
            writeln!(out, "      {sentence}")?;
        }
        for gap in &file.balance_gaps {
            writeln!(
                out,
                "      balance gap, statement {} of {} at {}: {}",
                gap.statement, gap.account, gap.place, gap.message
            )?;
        }
        for total in &file.control_totals {
            writeln!(
                out,
                "      control total at {}: {} is stated as {}, found {}",
                total.place, total.of, total.stated, total.found
            )?;
        }
    }
    writeln!(out, "\nRules: {}", summary.rules)?;
    writeln!(out, "  {:<32} {:>12} {:>8} {:>12} {:>12}", "pass", "matches", "groups", "left", "right")?;
    for pass in &summary.passes {
        let name = if pass.confirmed { pass.name.clone() } else { format!("{} (suggested)", pass.name) };
        let count = |number: u64| grouped(&number.to_string());
        writeln!(
            out,
            "  {name:<32} {:>12} {:>8} {:>12} {:>12}",
            count(pass.matches),
            count(pass.groups),
            count(pass.left),
            count(pass.right)
        )?;
    }
    for (side, numbers) in [(SideName::Left, &summary.left), (SideName::Right, &summary.right)] {
        let count = |number: u64| grouped(&number.to_string());
        writeln!(
            out,
            "\n{}: {} records, {} matched ({}), {} open{}{}",
            side.name(),
            count(numbers.records),
            count(numbers.matched),
            // Of nothing, everything and nothing is matched.
            if numbers.records == 0 { "–".to_owned() } else { percent(numbers.matched_basis_points) },
            count(numbers.open),
            if numbers.suggested > 0 {
                format!(", {} of them suggested", count(numbers.suggested))
            } else {
                String::new()
            },
            if numbers.rejected > 0 {
                format!(", {} rows rejected", count(numbers.rejected))
            } else {
                String::new()
            },
        )?;
        if !numbers.sums.is_empty() {
            writeln!(
                out,
                "  {:<4} {:>22} {:>22} {:>18} {:>16}  matched by value",
                "", "ingested", "matched", "open", "rejected"
            )?;
        }
        for (currency, sums) in &numbers.sums {
            let show = |amount: stoa_kernel::money::Decimal| grouped(&amount.to_string());
            writeln!(
                out,
                "  {currency:<4} {:>22} {:>22} {:>18} {:>16}  {}",
                show(sums.ingested),
                show(sums.matched),
                show(sums.open),
                show(sums.rejected),
                percent(sums.matched_value_basis_points)
            )?;
        }
        if numbers.shared_ids > 0 {
            writeln!(out, "  {} records share their id with another one", count(numbers.shared_ids))?;
        }
    }
    if !summary.exceptions.is_empty() {
        writeln!(out, "\nExceptions")?;
        for (reason, count) in &summary.exceptions {
            writeln!(out, "  {reason:<26} {:>12}", grouped(&count.to_string()))?;
        }
    }
    for bounded in &summary.bounded {
        writeln!(out, "\nBounded: pass \"{}\": {}", bounded.pass, bounded.message)?;
    }
    writeln!(
        out,
        "\n{}",
        if summary.clean { "Clean: everything is matched." } else { "There are exceptions." }
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(super::grouped("1234567.89"), "1 234 567.89");
        assert_eq!(super::grouped("-123"), "-123");
    }
}
