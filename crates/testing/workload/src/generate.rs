use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use stoa_kernel::date::Day;
use stoa_kernel::random::SplitMix64;

/// What is made.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Events; each is about one row on each side.
    pub events: u32,
    /// All randomness follows from it.
    pub seed: u64,
    /// The parts of a split lose their reference.
    pub unkeyed_splits: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    OneToOne,
    OneToMany,
    LeftOnly,
    RightOnly,
    AmountConflict,
    DateConflict,
    RefTypo,
    DuplicateRight,
}

impl Class {
    const fn name(self) -> &'static str {
        match self {
            Self::OneToOne => "one_to_one",
            Self::OneToMany => "one_to_many",
            Self::LeftOnly => "left_only",
            Self::RightOnly => "right_only",
            Self::AmountConflict => "amount_conflict",
            Self::DateConflict => "date_conflict",
            Self::RefTypo => "ref_typo",
            Self::DuplicateRight => "duplicate_right",
        }
    }
}

const CURRENCIES: [(&str, u8, u64); 6] =
    [("USD", 2, 46), ("EUR", 2, 30), ("GBP", 2, 12), ("JPY", 0, 6), ("KWD", 3, 2), ("CHF", 2, 4)];
const DIGITS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const SYLLABLES: [&str; 16] = [
    "al", "ber", "cas", "dor", "em", "fal", "gir", "hal", "ist", "jor", "kal", "lum", "mir", "nes", "ost",
    "pra",
];
const FORMS: [&str; 6] = ["Ltd", "GmbH", "SA", "Inc", "BV", "AB"];
const COUNTERPARTIES: u64 = 5_000;
const FIRST_DAY: i32 = 20_089;

/// What is drawn for one event; a function of the seed and its number alone.
struct Draw {
    seed: u64,
    event: u64,
}

impl Draw {
    fn bits(&self, stream: u64) -> u64 {
        SplitMix64::mix(
            SplitMix64::mix(self.seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(self.event),
        )
    }

    fn below(&self, stream: u64, bound: u64) -> u64 {
        self.bits(stream) % bound.max(1)
    }
}

struct Event {
    class: Class,
    reference: u64,
    currency: &'static str,
    decimals: u8,
    /// Minor units, signed.
    amount: i64,
    day: i32,
    counterparty: u64,
    /// Days until it settles, 0 to 3.
    lag: i32,
    /// Difference inside the tolerance.
    drift: i64,
    tolerance: i64,
}

fn class_of(draw: &Draw) -> Class {
    let percentile = draw.below(1, 10_000);
    if percentile < 100 {
        return Class::OneToMany;
    }
    if percentile >= 300 {
        return Class::OneToOne;
    }
    match draw.below(2, 100) {
        0..20 => Class::LeftOnly,
        20..40 => Class::RightOnly,
        40..60 => Class::AmountConflict,
        60..75 => Class::DateConflict,
        75..90 => Class::RefTypo,
        _ => Class::DuplicateRight,
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn event(settings: &Settings, number: u32) -> Event {
    let own = Draw { seed: settings.seed, event: u64::from(number) };
    let class = class_of(&own);
    // Of a hundredth of the pairs of neighbours, both have the reference, the currency and the sign of the first.
    let even = Draw { seed: settings.seed, event: u64::from(number & !1) };
    let odd = Draw { seed: settings.seed, event: u64::from(number | 1) };
    let shared = number | 1 < settings.events
        && even.below(3, 10_000) < 100
        && class_of(&even) == Class::OneToOne
        && class_of(&odd) == Class::OneToOne;
    let draw = if shared { &even } else { &own };
    let mut pick = draw.below(4, 100);
    let &(currency, decimals, _) = CURRENCIES
        .iter()
        .find(|(.., weight)| {
            let here = pick < *weight;
            pick = pick.saturating_sub(*weight);
            here
        })
        .unwrap_or(&("USD", 2, 46));
    let magnitude = 10u64.pow(2 + u32::try_from(draw.below(5, 5)).unwrap_or(0));
    let mut amount = 1 + draw.below(6, 1_000_003) % (magnitude * 10) + magnitude;
    amount = match decimals {
        0 => amount / 10 + 1,
        3 => amount * 10 + 5,
        _ => amount,
    };
    if shared && number & 1 == 1 {
        amount += 700 * 10u64.pow(u32::from(decimals.saturating_sub(1)));
    }
    let parts = 2 + own.below(14, 4);
    if class == Class::OneToMany && amount < 10 * parts {
        amount = 10 * parts + 1;
    }
    let negative = draw.below(7, 100) < 8;
    let scale = match decimals {
        0 => 0,
        3 => 10,
        _ => 1,
    };
    let drift = if own.below(10, 100) < 10 { (signed(own.below(11, 5)) - 2) * scale } else { 0 };
    Event {
        class,
        reference: draw.bits(8),
        currency,
        decimals,
        amount: if negative { -signed(amount) } else { signed(amount) },
        day: FIRST_DAY + i32::try_from(own.below(9, 90)).unwrap_or(0),
        counterparty: draw.below(12, COUNTERPARTIES),
        lag: i32::try_from(own.below(13, 4)).unwrap_or(0),
        drift,
        tolerance: 2 * scale,
    }
}

fn reference_text(bits: u64) -> String {
    let digit = |place: u64| {
        DIGITS
            .get(usize::try_from((bits >> (5 * place)) & 31).unwrap_or(0))
            .map_or('A', |&byte| char::from(byte))
    };
    std::iter::once("INV-".to_owned()).chain((0..10).map(|place| digit(place).to_string())).collect()
}

fn money(units: i64, decimals: u8) -> String {
    stoa_kernel::money::Decimal::new(i128::from(units), decimals).to_string()
}

fn name(number: u64) -> String {
    let bits = SplitMix64::mix(number + 77);
    let syllable = |shift: u32| {
        SYLLABLES.get(usize::try_from((bits >> shift) & 15).unwrap_or(0)).copied().unwrap_or("al")
    };
    let word = [syllable(0), syllable(8), syllable(16)].concat();
    let form = FORMS.get(usize::try_from((bits >> 24) % 6).unwrap_or(0)).copied().unwrap_or("Ltd");
    let (first, rest) = word.split_at(1);
    format!("{}{rest} {form}", first.to_uppercase())
}

/// A row on the right before it has its number: amount, day, whether its reference is mistyped or missing.
struct RightRow {
    amount: i64,
    day: i32,
    reference: String,
}

fn right_rows(settings: &Settings, draw: &Draw, event: &Event) -> Vec<RightRow> {
    let reference = reference_text(event.reference);
    let one =
        |amount: i64, day: i32, reference: &str| RightRow { amount, day, reference: reference.to_owned() };
    let settled = event.day + event.lag;
    match event.class {
        Class::LeftOnly => Vec::new(),
        Class::OneToOne => vec![one(event.amount + event.drift, settled, &reference)],
        Class::RightOnly => vec![one(event.amount, settled, &reference)],
        Class::AmountConflict => {
            let off = event.tolerance + 1 + signed(draw.below(20, 5_000));
            let off = if draw.below(21, 2) == 0 { off } else { -off };
            vec![one(event.amount + off, settled, &reference)]
        }
        Class::DateConflict => {
            let late = 10 + i32::try_from(draw.below(22, 21)).unwrap_or(0);
            vec![one(event.amount, event.day + late, &reference)]
        }
        Class::RefTypo => {
            let place = 4 + usize::try_from(draw.below(23, 10)).unwrap_or(0);
            let drawn = DIGITS
                .get(usize::try_from(draw.below(24, 32)).unwrap_or(0))
                .map_or('A', |&byte| char::from(byte));
            let mistyped: String = reference
                .chars()
                .enumerate()
                .map(|(at, c)| match (at == place, c == drawn) {
                    (false, _) => c,
                    (true, false) => drawn,
                    (true, true) => {
                        if c == 'A' {
                            'B'
                        } else {
                            'A'
                        }
                    }
                })
                .collect();
            vec![one(event.amount + event.drift, settled, &mistyped)]
        }
        Class::DuplicateRight => vec![
            one(event.amount + event.drift, settled, &reference),
            one(event.amount + event.drift, settled, &reference),
        ],
        Class::OneToMany => {
            let count = 2 + draw.below(14, 4);
            let kept = if settings.unkeyed_splits { "" } else { &reference };
            let mut rest = event.amount.abs();
            (0..count)
                .map(|part| {
                    let after = signed(count - part - 1);
                    let room = (rest - after).max(1);
                    let share = 1 + signed(draw.bits(30 + part) >> 24) % (room / (after + 1)).max(1);
                    let amount = if after == 0 { rest } else { share.min(room) };
                    rest -= amount;
                    let day = event.day + i32::try_from(draw.below(40 + part, 4)).unwrap_or(0);
                    one(amount * event.amount.signum(), day, kept)
                })
                .collect()
        }
    }
}

/// Writes `left.csv`, `right.csv` and `truth.csv` into a folder, which is made if it is not there.
///
/// # Errors
/// Of the operating system.
pub fn generate(settings: &Settings, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let create =
        |name: &str| File::create(folder.join(name)).map(|file| BufWriter::with_capacity(1 << 20, file));
    let (mut left, mut right, mut truth) = (create("left.csv")?, create("right.csv")?, create("truth.csv")?);
    let header = "id,date,ref,amount,currency,counterparty,description\n";
    left.write_all(header.as_bytes())?;
    right.write_all(header.as_bytes())?;
    truth.write_all(b"event,class,left_id,right_id\n")?;
    // The right side is in another order than the left one: by a hash of event and part.
    let mut order: Vec<(u64, u32, u8)> = Vec::new();
    let mut left_number = 0u32;
    let mut left_numbers = vec![u32::MAX; settings.events as usize];
    for number in 0..settings.events {
        let draw = Draw { seed: settings.seed, event: u64::from(number) };
        let event = event(settings, number);
        let rows = right_rows(settings, &draw, &event).len();
        for part in 0..u8::try_from(rows).unwrap_or(u8::MAX) {
            order.push((SplitMix64::mix(draw.bits(50).wrapping_add(u64::from(part))), number, part));
        }
        if event.class == Class::RightOnly {
            continue;
        }
        let reference = reference_text(event.reference);
        writeln!(
            left,
            "L{left_number:08},{},{reference},{},{},{},Invoice {reference}",
            Day::from_days(event.day),
            money(event.amount, event.decimals),
            event.currency,
            name(event.counterparty)
        )?;
        if rows == 0 {
            writeln!(truth, "{number},{},L{left_number:08},", event.class.name())?;
        }
        if let Some(slot) = left_numbers.get_mut(number as usize) {
            *slot = left_number;
        }
        left_number += 1;
    }
    order.sort_unstable();
    for (right_number, &(_, number, part)) in order.iter().enumerate() {
        let draw = Draw { seed: settings.seed, event: u64::from(number) };
        let event = event(settings, number);
        let rows = right_rows(settings, &draw, &event);
        let Some(row) = rows.get(usize::from(part)) else { continue };
        let name = name(event.counterparty);
        writeln!(
            right,
            "R{right_number:08},{},{},{},{},{name},TRF {} {}",
            Day::from_days(row.day),
            row.reference,
            money(row.amount, event.decimals),
            event.currency,
            row.reference,
            name.to_uppercase()
        )?;
        let left_id = left_numbers
            .get(number as usize)
            .filter(|&&left| left != u32::MAX)
            .map(|left| format!("L{left:08}"))
            .unwrap_or_default();
        writeln!(truth, "{number},{},{left_id},R{right_number:08}", event.class.name())?;
    }
    left.flush()?;
    right.flush()?;
    truth.flush()
}
