//! Opens the files of both sides and settles what only both together can tell.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stoa_intake::Opened;
use stoa_kernel::currency::Currency;
use stoa_reconciliation::field::Field;
use stoa_reconciliation::normalise::references::{Extractor, ExtractorSpec};
use stoa_reconciliation::normalise::text;
use stoa_reconciliation::rules::{InferOptions, Sources};
use stoa_reconciliation::source::{Format, SideName, SourceSpec};

use crate::failure::Failure;

/// Opens every file of a side.
pub(crate) fn side(paths: &[PathBuf], spec: &SourceSpec, scratch: &Path) -> Result<Vec<Opened>, Failure> {
    paths
        .iter()
        .map(|path| stoa_intake::open(path, spec, scratch).map_err(|error| Failure::of(&error, "")))
        .collect()
}

/// When one side names no currency and the other has only one, it is that one.
pub(crate) fn adopt_currency(left: &mut [Opened], right: &mut [Opened], sources: &mut Sources) {
    let (left_known, right_known) = (currencies(left), currencies(right));
    for (files, own, other, option) in
        [(left, &left_known, &right_known, "left"), (right, &right_known, &left_known, "right")]
    {
        let mut only = other.iter();
        if let (true, Some(&currency), None) = (own.is_empty(), only.next(), only.next()) {
            let name = if option == "left" { SideName::Left } else { SideName::Right };
            sources.side_mut(name).currency = Some(currency);
            for file in files {
                file.profile.currency = Some(currency);
                file.facts.inferred.push(format!("no currency in the file: {currency} as on the other side (--{option} currency=… sets another)"));
            }
        }
    }
}

/// When fees of money that came in are negative, the source states what a fee changes and not what it costs.
pub(crate) fn adopt_fee_sign(files: &mut [Opened], source: &mut SourceSpec) {
    if source.flip_fees.is_some() {
        return;
    }
    let (mut charged, mut costs) = (false, false);
    for file in files.iter() {
        for row in &file.sample {
            let came_in = file.profile.core(row).is_ok_and(|core| core.amount.units > 0);
            if let (true, Some((fee, _))) = (came_in, file.profile.fee(row)) {
                charged |= fee.units < 0;
                costs |= fee.units > 0;
            }
        }
    }
    if charged && !costs {
        source.flip_fees = Some(true);
        for file in files {
            file.profile.flip_fees = true;
            file.facts.inferred.push("fees are stated as negative amounts; their sign is turned".to_owned());
        }
    }
}

/// The currencies in the first rows.
fn currencies(files: &[Opened]) -> BTreeSet<Currency> {
    files
        .iter()
        .flat_map(|file| file.sample.iter().map(|row| file.profile.currency_of(row)))
        .filter(|&currency| currency != Currency::NONE)
        .collect()
}

/// Finds references in free text, so that inferred rules can use them: in bank statements always, since what they have in
/// columns is the bank's own; in tables where no column has any.
pub(crate) fn find_references(files: &mut [Opened], source: &mut SourceSpec) {
    for file in files {
        let has_column = file.profile.mapping.column(Field::Reference).is_some();
        let has_text = file.profile.mapping.column(Field::Text).is_some();
        let is_filled = file.sample.iter().any(|row| {
            let mut any = false;
            file.profile.references(row, |_| any = true);
            any
        });
        let is_table =
            matches!(file.facts.format, Format::Csv | Format::Xlsx | Format::Json | Format::Ndjson);
        if has_text && !(is_table && has_column && is_filled) {
            let spec = ExtractorSpec { field: Field::Text, pattern: "reference".to_owned() };
            if let Ok(extractor) = Extractor::compile(&spec) {
                if !source.references.contains(&spec) {
                    source.references.push(spec);
                }
                file.profile.extractors.push(extractor);
                file.facts.inferred.push("references are looked for in the text".to_owned());
            }
        }
    }
}

/// What the first rows of both sides say about the rules that fit.
pub(crate) fn infer_options(left: &[Opened], right: &[Opened]) -> InferOptions {
    let ids = |files: &[Opened]| -> BTreeSet<String> {
        files
            .iter()
            .flat_map(|file| {
                file.sample.iter().map(|row| text::fold(file.profile.cell(row, Field::ExternalId)))
            })
            .filter(|id| !id.is_empty())
            .collect()
    };
    let (left_ids, right_ids) = (ids(left), ids(right));
    let shared = left_ids.intersection(&right_ids).count();
    let references = |files: &[Opened]| {
        files.iter().any(|file| {
            file.sample.iter().any(|row| {
                let mut any = false;
                file.profile.references(row, |_| any = true);
                any
            })
        })
    };
    let texts =
        |files: &[Opened]| files.iter().any(|file| file.profile.mapping.column(Field::Text).is_some());
    InferOptions {
        ids_shared: shared * 5 > left_ids.len().min(right_ids.len()).max(1),
        references: references(left) && references(right),
        texts: texts(left) && texts(right),
        net: net_side(left, right),
        ..InferOptions::default()
    }
}

/// The side whose amounts are net of a fee that it states, where the other side states none.
fn net_side(left: &[Opened], right: &[Opened]) -> Option<SideName> {
    let is_net = |files: &[Opened]| {
        files.iter().any(|file| {
            let amount = file
                .profile
                .mapping
                .column(Field::Amount)
                .and_then(|column| file.profile.columns.get(column));
            let has_fees =
                file.sample.iter().any(|row| file.profile.fee(row).is_some_and(|(fee, _)| fee.units != 0));
            has_fees && amount.is_some_and(|name| name.to_lowercase().contains("net"))
        })
    };
    match (is_net(left), is_net(right)) {
        (true, false) => Some(SideName::Left),
        (false, true) => Some(SideName::Right),
        _ => None,
    }
}

/// Applies `name=value` options of the command line.
pub(crate) fn apply(
    spec: &mut SourceSpec,
    options: &[String],
    side: Option<SideName>,
) -> Result<(), Failure> {
    let flag = side.map_or("--set", |side| if side == SideName::Left { "--left" } else { "--right" });
    for option in options {
        spec.set(option).map_err(|message| Failure::new("usage", format!("{flag} {option}: {message}")))?;
    }
    Ok(())
}
