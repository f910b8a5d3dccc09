//! `report.html`: one page without any other file, readable on paper too. Everything that comes from a file is escaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::terminal::grouped;
use super::{SourceFile, Summary};
use crate::field::Field;
use crate::matching::outcome::{Outcome, Reason, Standing};
use crate::side::{RecordNo, Side};
use crate::source::SideName;
use stoa_kernel::limits::REPORT_ROWS_MAX;

const STYLE: &str = "
:root{--ink:#1c2430;--dim:#5b6675;--line:#dfe4ea;--paper:#fff;--soft:#f5f7f9;--good:#1a7f5a;--warn:#b7791f;--bad:#b3372f;--info:#2b6cb0}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--dim:#9aa6b5;--line:#313a46;--paper:#12171e;--soft:#1a212b;--good:#4fc08d;--warn:#e0a948;--bad:#ef7a70;--info:#6fb0f0}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;max-width:72rem;padding:2rem 1.5rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}p.sub{color:var(--dim);margin:.2rem 0 1.4rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:1rem}.card{border:1px solid var(--line);border-radius:.6rem;padding:1rem}
.card b.big{font-size:1.7rem;display:block}.card span{color:var(--dim)}
table{border-collapse:collapse;width:100%;font-size:.86rem}th,td{text-align:left;padding:.32rem .5rem;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th{color:var(--dim);font-weight:600;white-space:nowrap}td.t{white-space:nowrap}svg{max-width:40rem}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
details{border:1px solid var(--line);border-radius:.5rem;margin:.5rem 0;padding:.4rem .8rem}summary{cursor:pointer;font-weight:600}summary i{font-style:normal;color:var(--dim);font-weight:400}
pre{background:var(--soft);padding:.8rem;border-radius:.5rem;overflow:auto;font-size:.82rem}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.scroll{overflow-x:auto}svg text{fill:var(--ink);font:13px system-ui,sans-serif}
@media print{body{max-width:none;padding:0;font-size:11px}details{break-inside:avoid;border:0;padding:0}details>summary{list-style:none}h2{break-after:avoid}tr{break-inside:avoid}}
";

/// Escapes text for HTML, attributes included.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Characters that change the direction of text could make a report read as what it does not say.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn percent(basis_points: u64) -> String {
    format!("{}.{:02} %", basis_points / 100, basis_points % 100)
}

/// Writes the report.
///
/// # Errors
/// Of the writer or the scratch storage.
pub fn write_html(
    out: &mut dyn Write,
    summary: &Summary,
    outcome: &Outcome,
    sides: [&Side; 2],
    files: &[SourceFile],
    rules_yaml: &str,
) -> io::Result<()> {
    let mut page = String::new();
    head(&mut page, summary);
    cards(&mut page, summary);
    charts(&mut page, summary);
    sums(&mut page, summary);
    passes(&mut page, summary);
    out.write_all(page.as_bytes())?;
    page.clear();
    exceptions(&mut page, outcome, sides)?;
    matches(&mut page, outcome, sides)?;
    rejected(&mut page, files);
    sources(&mut page, summary, files);
    let _ = write!(
        page,
        "<h2>Rules</h2><details><summary>{} <i>as they were run</i></summary><pre>{}</pre></details>",
        escape(&summary.rules),
        escape(rules_yaml)
    );
    if let Some(hash) = &summary.decisions_hash {
        let _ = write!(
            page,
            "<p class=sub>Decisions {} · rules {}</p>",
            escape(hash),
            escape(&summary.rules_hash)
        );
    }
    page.push_str("</body></html>\n");
    out.write_all(page.as_bytes())?;
    out.flush()
}

fn head(page: &mut String, summary: &Summary) {
    let verdict = if summary.clean {
        "<span class=good>clean</span>"
    } else {
        "<span class=warn>with exceptions</span>"
    };
    let names = |side: SideName| {
        let names: Vec<String> = summary
            .files
            .iter()
            .filter(|file| file.side == side)
            .map(|file| escape(&file.facts.name))
            .collect();
        names.join(" + ")
    };
    let _ = write!(
        page,
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Reconciliation: {}</title><style>{STYLE}</style></head><body>\
         <h1>Reconciliation {verdict}</h1><p class=sub>{} against {}</p>",
        escape(&summary.rules),
        names(SideName::Left),
        names(SideName::Right)
    );
}

fn cards(page: &mut String, summary: &Summary) {
    page.push_str("<div class=cards>");
    for (name, side) in [("left", &summary.left), ("right", &summary.right)] {
        let _ = write!(
            page,
            "<div class=card><span>{name}</span><b class=big>{} matched</b>{} of {} records · {} open{}{}</div>",
            percent(side.matched_basis_points),
            grouped(&side.matched.to_string()),
            grouped(&side.records.to_string()),
            grouped(&side.open.to_string()),
            if side.suggested > 0 {
                format!(", {} suggested", grouped(&side.suggested.to_string()))
            } else {
                String::new()
            },
            if side.rejected > 0 {
                format!(" · <span class=bad>{} rows rejected</span>", grouped(&side.rejected.to_string()))
            } else {
                String::new()
            },
        );
    }
    page.push_str("</div>");
}

/// A bar for each row, with its label and number; widths are in thousandths of the widest.
fn bars(page: &mut String, title: &str, rows: &[(String, u64, &str)]) {
    let most = rows.iter().map(|(_, count, _)| *count).max().unwrap_or(0).max(1);
    let height = rows.len() * 26 + 4;
    let _ = write!(
        page,
        "<figure style=\"margin:0\"><svg viewBox=\"0 0 640 {height}\" width=\"100%\" role=img aria-label=\"{}\">",
        escape(title)
    );
    for (index, (label, count, colour)) in rows.iter().enumerate() {
        let y = index * 26 + 4;
        let width = (count * 300 / most).max(u64::from(*count > 0) * 2);
        let _ = write!(
            page,
            "<text x=0 y={}>{}</text><rect x=200 y={y} width={width} height=18 rx=3 fill=\"var(--{colour})\"/><text x={} y={}>{}</text>",
            y + 14,
            escape(label),
            208 + width,
            y + 14,
            grouped(&count.to_string())
        );
    }
    page.push_str("</svg></figure>");
}

fn charts(page: &mut String, summary: &Summary) {
    page.push_str("<h2>Outcome</h2>");
    let mut rows = Vec::new();
    for (name, side) in [("left", &summary.left), ("right", &summary.right)] {
        rows.push((format!("{name} matched"), side.matched, "good"));
        rows.push((format!("{name} suggested"), side.suggested, "info"));
        rows.push((format!("{name} open"), side.open - side.suggested, "warn"));
        if side.rejected > 0 {
            rows.push((format!("{name} rejected"), side.rejected, "bad"));
        }
    }
    bars(page, "Records by outcome", &rows);
    if !summary.exceptions.is_empty() {
        page.push_str("<h2>Exceptions by reason</h2>");
        let rows: Vec<_> = summary
            .exceptions
            .iter()
            .map(|(reason, count)| ((*reason).replace('_', " "), *count, "warn"))
            .collect();
        bars(page, "Exceptions by reason", &rows);
    }
    for bounded in &summary.bounded {
        let _ =
            write!(page, "<p class=warn>Pass “{}”: {}</p>", escape(&bounded.pass), escape(&bounded.message));
    }
}

fn sums(page: &mut String, summary: &Summary) {
    page.push_str(
        "<h2>Sums</h2><p class=sub>For each side and currency: ingested = matched + open + rejected, asserted exactly.</p><div class=scroll><table><tr><th>side<th>currency<th class=n>ingested<th class=n>matched<th class=n>open<th class=n>rejected<th class=n>matched by value</tr>",
    );
    for (name, side) in [("left", &summary.left), ("right", &summary.right)] {
        for (currency, sums) in &side.sums {
            let show = |amount: stoa_kernel::money::Decimal| grouped(&amount.to_string());
            let _ = write!(
                page,
                "<tr><td>{name}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
                escape(currency),
                show(sums.ingested),
                show(sums.matched),
                show(sums.open),
                show(sums.rejected),
                percent(sums.matched_value_basis_points)
            );
        }
    }
    page.push_str("</table></div>");
}

fn passes(page: &mut String, summary: &Summary) {
    page.push_str("<h2>Passes</h2><table><tr><th>pass<th>outcome<th class=n>matches<th class=n>of them groups<th class=n>left<th class=n>right</tr>");
    for pass in &summary.passes {
        let count = |number: u64| grouped(&number.to_string());
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            escape(&pass.name),
            if pass.confirmed { "confirmed" } else { "suggested" },
            count(pass.matches),
            count(pass.groups),
            count(pass.left),
            count(pass.right)
        );
    }
    page.push_str("</table>");
}

/// The cells that describe a record: id, place, date, amount, references, who, what.
fn record_cells(
    page: &mut String,
    side: &Side,
    cursor: &mut crate::side::Cursor<'_>,
    record: RecordNo,
) -> io::Result<()> {
    let id = cursor.id(record)?;
    let (row, profile) = cursor.row(record)?;
    let mut references = Vec::new();
    profile.references(row, |reference| references.push(escape(reference)));
    let _ = write!(
        page,
        "<td>{}<td class=n>{}<td class=t>{}<td class=n>{} {}<td>{}<td>{}<td>{}",
        escape(&id),
        row.place.line,
        side.booked(record),
        grouped(&side.amount(record).to_string()),
        side.currency(record),
        references.join(" "),
        escape(profile.cell(row, Field::Counterparty).trim()),
        escape(&profile.joined(row, Field::Text)),
    );
    Ok(())
}

const RECORD_HEAD: &str =
    "<th>id<th class=n>line<th>date<th class=n>amount<th>references<th>counterparty<th>text";

fn exceptions(page: &mut String, outcome: &Outcome, sides: [&Side; 2]) -> io::Result<()> {
    let [left, right] = sides;
    let mut by_reason: BTreeMap<Reason, (u64, Vec<(SideName, RecordNo)>)> = BTreeMap::new();
    for (name, standings) in [(SideName::Left, &outcome.left), (SideName::Right, &outcome.right)] {
        for (record, _) in (0..).zip(standings).filter(|(_, standing)| **standing == Standing::Open) {
            let (count, shown) = by_reason.entry(outcome.reason(name, record)).or_default();
            *count += 1;
            if shown.len() < REPORT_ROWS_MAX {
                shown.push((name, record));
            }
        }
    }
    if by_reason.is_empty() {
        return Ok(());
    }
    page.push_str("<h2>Open records</h2>");
    let (mut left_cursor, mut right_cursor) = (left.cursor(), right.cursor());
    for (reason, (count, shown)) in by_reason {
        let rest = count.saturating_sub(shown.len() as u64);
        let _ = write!(
            page,
            "<details{}><summary>{} <i>{}</i></summary><div class=scroll><table><tr><th>side{RECORD_HEAD}<th>nearest<th>why</tr>",
            if count <= 50 { " open" } else { "" },
            reason.name().replace('_', " "),
            grouped(&count.to_string())
        );
        for (name, record) in shown {
            let _ = write!(page, "<tr><td class=t>{}", name.name());
            let (own, cursor) =
                if name == SideName::Left { (left, &mut left_cursor) } else { (right, &mut right_cursor) };
            record_cells(page, own, cursor, record)?;
            let diagnosis = outcome.diagnoses.get(&(name, record));
            let other = if name == SideName::Left { &mut right_cursor } else { &mut left_cursor };
            let mut nearest = Vec::new();
            for &candidate in diagnosis
                .map_or(&[][..], |diagnosis| &diagnosis.candidates)
                .iter()
                .take(stoa_kernel::limits::CANDIDATES_SHOWN)
            {
                nearest.push(escape(&other.id(candidate)?));
            }
            let _ = write!(
                page,
                "<td>{}<td>{}</tr>",
                nearest.join("<br>"),
                escape(
                    diagnosis.map_or("nothing shares its key, or its amount and day", |diagnosis| &diagnosis
                        .detail)
                )
            );
        }
        page.push_str("</table></div>");
        if rest > 0 {
            let _ = write!(
                page,
                "<p class=sub>and {} more, all of them in exceptions.csv</p>",
                grouped(&rest.to_string())
            );
        }
        page.push_str("</details>");
    }
    Ok(())
}

fn matches(page: &mut String, outcome: &Outcome, sides: [&Side; 2]) -> io::Result<()> {
    let [left, right] = sides;
    page.push_str("<h2>Matches</h2>");
    let (mut left_cursor, mut right_cursor) = (left.cursor(), right.cursor());
    for (number, (pass, confirmed)) in (0u8..).zip(&outcome.passes) {
        let mut shown: Vec<(Vec<RecordNo>, Vec<RecordNo>)> = outcome
            .groups
            .iter()
            .filter(|group| group.pass == number)
            .take(REPORT_ROWS_MAX / 5)
            .map(|group| (group.left.clone(), group.right.clone()))
            .collect();
        let groups = shown.len();
        let pairs = (0..).zip(&outcome.left).filter_map(|(record, standing)| match standing {
            Standing::Pair(partner, pass) if *pass == number => Some((vec![record], vec![*partner])),
            _ => None,
        });
        shown.extend(pairs.take(REPORT_ROWS_MAX / 5));
        if shown.is_empty() {
            continue;
        }
        let _ = write!(
            page,
            "<details><summary>{} <i>{}, the first {} groups and {} pairs; all are in matches.csv</i></summary><div class=scroll><table><tr><th>side{RECORD_HEAD}</tr>",
            escape(pass),
            if *confirmed { "confirmed" } else { "suggested" },
            groups,
            shown.len() - groups
        );
        for (lefts, rights) in shown {
            for record in lefts {
                page.push_str("<tr><td class=t>left");
                record_cells(page, left, &mut left_cursor, record)?;
            }
            for record in rights {
                page.push_str("<tr><td class=t>right");
                record_cells(page, right, &mut right_cursor, record)?;
            }
            page.push_str("<tr><td colspan=8 style=\"padding:0;border-bottom:2px solid var(--line)\"></tr>");
        }
        page.push_str("</table></div></details>");
    }
    Ok(())
}

fn rejected(page: &mut String, files: &[SourceFile]) {
    let total: u64 = files.iter().map(|file| file.batch.rejected).sum();
    if total == 0 {
        return;
    }
    let _ = write!(
        page,
        "<h2>Rejected rows</h2><p class=sub>{} rows were not read; they are in no match.</p><div class=scroll><table><tr><th>file<th class=n>line<th class=n>byte<th>why<th>row</tr>",
        grouped(&total.to_string())
    );
    for (file, rejection) in files
        .iter()
        .flat_map(|file| file.batch.rejections.iter().map(move |rejection| (file, rejection)))
        .take(REPORT_ROWS_MAX)
    {
        let _ = write!(
            page,
            "<tr><td>{}<td class=n>{}<td class=n>{}<td>{}<td>{}</tr>",
            escape(&file.facts.name),
            rejection.place.line,
            rejection.place.byte,
            escape(&rejection.reason),
            escape(&rejection.raw)
        );
    }
    page.push_str("</table></div>");
}

fn sources(page: &mut String, summary: &Summary, files: &[SourceFile]) {
    page.push_str("<h2>Files</h2>");
    for (file, numbers) in files.iter().zip(&summary.files) {
        let facts = &file.facts;
        let _ = write!(
            page,
            "<details><summary>{} <i>{} side, {}, {} rows</i></summary><p>{} bytes, {}, BLAKE3 {}</p><p>{}</p><ul>",
            escape(&facts.name),
            file.side.name(),
            facts.format.name(),
            grouped(&numbers.loaded.to_string()),
            grouped(&facts.bytes.to_string()),
            escape(&facts.encoding),
            escape(&facts.hash),
            escape(&facts.mapping.join(" · ")),
        );
        for sentence in &facts.inferred {
            let _ = write!(page, "<li>{}", escape(sentence));
        }
        for gap in &numbers.balance_gaps {
            let _ = write!(
                page,
                "<li class=bad>{}, statement {}: {}",
                escape(&gap.account),
                gap.statement,
                escape(&gap.message)
            );
        }
        for total in &numbers.control_totals {
            let _ = write!(
                page,
                "<li class=bad>{}: {} is stated as {}, found {}",
                total.place,
                escape(&total.of),
                escape(&total.stated),
                escape(&total.found)
            );
        }
        for warning in file.batch.warnings.iter().take(REPORT_ROWS_MAX) {
            let _ = write!(page, "<li>{}: {}", warning.place, escape(&warning.message));
        }
        page.push_str("</ul></details>");
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_from_a_file_becomes_markup() {
        assert_eq!(
            escape("<script>alert('x')</script>\"&"),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"
        );
        assert_eq!(escape("a\u{202e}b\u{7}"), "a\u{fffd}b\u{fffd}");
    }
}
