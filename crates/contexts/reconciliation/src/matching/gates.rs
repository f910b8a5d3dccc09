//! The gates of a pass: sign, currency, amount, date, text. Hard and inclusive; only what passes all of them is scored.
//! A grade cannot stand in for a gate.

use std::io;

use stoa_kernel::calendar::Calendar;
use stoa_kernel::currency::Currency;
use stoa_kernel::date::Day;
use stoa_kernel::money::{Decimal, Money, pow10};

use super::key::{Key, Selector};
use super::likeness::likeness;
use super::miss::Miss;
use super::rates::{Rate, Rates};
use super::tolerance::{allowed, scheduled_fee, tolerance, within};
use crate::field::Field;
use crate::profile::Profile;
use crate::row::Row;
use crate::rules::{Condition, DateField, DateRule, DayUnit, Pass, RuleSet, SignRule, Weekday};
use crate::side::{Cursor, RecordNo, Side};
use crate::source::SideName;

/// The cost of the worst pair that still passes all gates: thousandths of a point of score.
pub const COST_MAX: u32 = 1_000_000;
const COST_UNIT: i128 = 1_000;

/// A pair that passed all gates.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fit {
    /// Left minus right, after conversion and fees.
    pub delta: Decimal,
    /// Right date minus left date, in the unit of the rule; absent where the pass has no window.
    pub days: Option<i32>,
    /// The fee that was added to the net side.
    pub fee: Option<Decimal>,
    /// The rate at which the left amount was converted.
    pub rate: Option<Rate>,
    /// The likeness of each text rule, in thousandths.
    pub likeness: Vec<u32>,
    /// How much worse than perfect, 0 to [`COST_MAX`]: amount up to a half, text up to three tenths, date up to a fifth.
    pub cost: u32,
}

impl Fit {
    /// 1000 for a perfect pair.
    #[must_use]
    pub const fn score(&self) -> u32 {
        1000 - self.cost / 1000
    }
}

/// The rows of two records, and scratch space, for gates that need more than the columns.
#[derive(Debug)]
pub struct Eyes<'s> {
    /// On the first side.
    pub left: Cursor<'s>,
    /// On the second side.
    pub right: Cursor<'s>,
    folded: String,
}

impl<'s> Eyes<'s> {
    /// Eyes on two sides (or twice on the same one, for reversals).
    #[must_use]
    pub fn on(left: &'s Side, right: &'s Side) -> Self {
        Self { left: left.cursor(), right: right.cursor(), folded: String::new() }
    }
}

/// A condition that is ready to run.
#[derive(Debug)]
struct Check {
    selector: Selector,
    condition: Condition,
    pattern: Option<regex::Regex>,
    at_least: Option<Decimal>,
    at_most: Option<Decimal>,
}

impl Check {
    fn compile(condition: &Condition) -> Option<Self> {
        let bound = |bound: &Option<String>| bound.as_ref().and_then(|bound| bound.parse().ok());
        Some(Self {
            selector: Selector::parse(&condition.field).ok()?,
            condition: condition.clone(),
            pattern: condition
                .matches
                .as_ref()
                .and_then(|pattern| regex::RegexBuilder::new(pattern).case_insensitive(true).build().ok()),
            at_least: bound(&condition.at_least),
            at_most: bound(&condition.at_most),
        })
    }

    fn holds(&self, row: &Row, profile: &Profile, amount: Decimal, folded: &mut String) -> bool {
        let mut values: Vec<String> = Vec::new();
        self.selector.values(row, profile, folded, |value| values.push(value.to_owned()));
        let any = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
        let fold = |text: &String| crate::normalise::text::fold(text);
        let condition = &self.condition;
        condition.filled.is_none_or(|filled| filled != values.is_empty())
            && (condition.one_of.is_empty()
                || condition.one_of.iter().map(fold).any(|wanted| any(&|value| value == wanted)))
            && condition.contains.as_ref().map(fold).is_none_or(|part| any(&|value| value.contains(&part)))
            && condition
                .starts_with
                .as_ref()
                .map(fold)
                .is_none_or(|start| any(&|value| value.starts_with(&start)))
            && self.pattern.as_ref().is_none_or(|pattern| any(&|value| pattern.is_match(value)))
            && self.at_least.is_none_or(|bound| amount >= bound)
            && self.at_most.is_none_or(|bound| amount <= bound)
    }
}

#[derive(Debug)]
struct TextGate {
    left: Selector,
    right: Selector,
    rule: crate::rules::TextRule,
}

/// A pass that is ready to run.
#[derive(Debug)]
pub struct Plan<'r> {
    /// Its number.
    pub number: u8,
    /// The rules of it.
    pub pass: &'r Pass,
    /// How the signs of the two sides are related.
    sign: SignRule,
    /// The window of days, inclusive.
    window: Option<(i32, i32)>,
    /// For reversals, the one side that both records are of.
    pub within: Option<SideName>,
    /// Keys of the left and of the right side.
    pub keys: [Key; 2],
    calendar: Calendar,
    texts: Vec<TextGate>,
    noise: Vec<String>,
    conditions: [Vec<Check>; 2],
    exclusions: [Vec<Check>; 2],
    rates: &'r Rates,
}

const fn slot(side: SideName) -> usize {
    match side {
        SideName::Left => 0,
        SideName::Right => 1,
    }
}

impl<'r> Plan<'r> {
    /// Compiles a pass of checked rules.
    #[must_use]
    pub fn compile(number: u8, pass: &'r Pass, rules: &'r RuleSet, rates: &'r Rates) -> Self {
        let blanks = pass.minimum_evidence.is_some();
        let key = |side| Key::of(&pass.key, side, blanks, |_| true);
        let named = pass.date.as_ref().and_then(|date| date.calendar.as_deref());
        let calendar = named.or(rules.sources.left.calendar.as_deref()).unwrap_or("default");
        let checks = |conditions: &[Condition]| conditions.iter().filter_map(Check::compile).collect();
        let texts = pass
            .text
            .iter()
            .filter_map(|rule| {
                let (left, right) = (Selector::parse(&rule.left).ok()?, Selector::parse(&rule.right).ok()?);
                Some(TextGate { left, right, rule: rule.clone() })
            })
            .collect();
        let noise = rules.sources.left.noise.iter().chain(&rules.sources.right.noise);
        Self {
            number,
            pass,
            sign: pass.amount.sign,
            window: pass.date.as_ref().map(|date| (date.from, date.to)),
            within: None,
            keys: [key(SideName::Left), key(SideName::Right)],
            calendar: calendar_of(rules, calendar),
            texts,
            noise: noise.map(|word| crate::normalise::text::fold(word)).collect(),
            conditions: [checks(&pass.conditions.left), checks(&pass.conditions.right)],
            exclusions: [checks(&pass.exclude.left), checks(&pass.exclude.right)],
            rates,
        }
    }

    /// The plan for reversals within one side: opposite signs, and the window in both directions.
    #[must_use]
    pub fn reversals(mut self, side: SideName) -> Self {
        self.within = Some(side);
        self.sign = SignRule::Opposite;
        self.window = self.window.map(|(from, to)| {
            let widest = from.saturating_abs().max(to.saturating_abs());
            (-widest, widest)
        });
        self
    }

    /// The key of a side.
    #[must_use]
    pub fn key(&self, side: SideName) -> &Key {
        let [left, right] = &self.keys;
        if slot(side) == 0 { left } else { right }
    }

    /// What twins have in common: their content, and whatever else this pass looks at.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn twin_key(&self, cursor: &mut Cursor<'_>, record: RecordNo) -> io::Result<u128> {
        let content = cursor.content(record)?.0;
        let selectors = || self.texts.iter().flat_map(|gate| [&gate.left, &gate.right]);
        let beyond = |selector: &Selector| {
            matches!(
                selector,
                Selector::Column(_) | Selector::Field(Field::ExternalId | Field::Type | Field::Statement)
            )
        };
        if !selectors().any(beyond) {
            return Ok(content);
        }
        let (row, profile) = cursor.row(record)?;
        let mut folded = String::new();
        let mut text = content.to_string();
        for selector in selectors() {
            selector.values(row, profile, &mut folded, |value| {
                text.push('\u{1f}');
                text.push_str(value);
            });
        }
        Ok(xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
    }

    /// The gates that each member of a group passes against the whole: text and evidence.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn check_member(&self, eyes: &mut Eyes<'_>, left: RecordNo, right: RecordNo) -> io::Result<bool> {
        if self.texts.is_empty() && self.pass.minimum_evidence.is_none() {
            return Ok(true);
        }
        let Ok(likeness) = self.check_texts(eyes, left, right)? else { return Ok(false) };
        let Some(needed) = self.pass.minimum_evidence else { return Ok(true) };
        let found = self.evidence(eyes, left, right)? + u32::try_from(likeness.len()).unwrap_or(0);
        Ok(found >= needed)
    }

    /// Whether the sum of a group fits its whole; both of the same sign. `whole_is_left`: the whole stands on the left.
    #[must_use]
    pub fn accepts_sum(&self, whole: Decimal, sum: Decimal, currency: Currency, whole_is_left: bool) -> bool {
        let (left, right) = if whole_is_left { (whole, sum) } else { (sum, whole) };
        left.checked_sub(right)
            .is_some_and(|delta| delta.units == 0 || within(&self.pass.amount, left, right, delta, currency))
    }

    /// Whether every record of a side takes part.
    #[must_use]
    pub fn takes_all(&self, side: SideName) -> bool {
        let at = slot(side);
        [&self.conditions, &self.exclusions].iter().all(|checks| checks.get(at).is_none_or(Vec::is_empty))
    }

    /// Whether a record takes part.
    pub fn takes(
        &self,
        side: SideName,
        row: &Row,
        profile: &Profile,
        amount: Decimal,
        folded: &mut String,
    ) -> bool {
        let at = slot(side);
        let mut holds = |check: &Check| check.holds(row, profile, amount, folded);
        let wanted = self.conditions.get(at).is_none_or(|checks| checks.iter().all(&mut holds));
        let excluded =
            self.exclusions.get(at).is_some_and(|checks| !checks.is_empty() && checks.iter().all(&mut holds));
        wanted && !excluded
    }

    /// The date of a record that the window looks at.
    #[must_use]
    pub fn day(&self, side: SideName, records: &Side, record: RecordNo) -> Day {
        let field =
            self.pass.date.as_ref().map(|date| if side == SideName::Left { date.left } else { date.right });
        match field {
            Some(DateField::ValueDate) => records.value(record),
            _ => records.booked(record),
        }
    }

    /// The distance of two days in the unit of the window.
    #[must_use]
    pub fn distance(&self, rule: &DateRule, left: Day, right: Day) -> i32 {
        match rule.unit {
            DayUnit::CalendarDays => right.since(left),
            DayUnit::BusinessDays => self.calendar.business_days_between(left, right),
        }
    }

    /// The date gate.
    ///
    /// # Errors
    /// [`Miss::Date`].
    pub fn check_days(&self, left: Day, right: Day) -> Result<Option<i32>, Miss> {
        let (Some(rule), Some((from, to))) = (&self.pass.date, self.window) else { return Ok(None) };
        let days = self.distance(rule, left, right);
        if (from..=to).contains(&days) { Ok(Some(days)) } else { Err(Miss::Date { days, from, to }) }
    }

    /// The amount gate for two amounts of one currency, fees and conversion done: returns left minus right.
    ///
    /// # Errors
    /// [`Miss::Sign`], [`Miss::Amount`].
    #[inline]
    pub fn check_amounts(&self, left: Decimal, right: Decimal, currency: Currency) -> Result<Decimal, Miss> {
        let rule = &self.pass.amount;
        let (l, r) = match self.sign {
            SignRule::Same => (left, right),
            SignRule::Opposite => (left, Decimal::new(-right.units, right.exponent)),
            SignRule::Ignore => (left.abs(), right.abs()),
        };
        if l.units.signum() * r.units.signum() < 0 {
            return Err(Miss::Sign { left, right });
        }
        // The usual case: equal to the last digit.
        if l.exponent == r.exponent && l.units == r.units {
            return Ok(Decimal::new(0, l.exponent));
        }
        let miss = |delta: Decimal| Miss::Amount { left, right, delta, allowed: allowed(rule, currency) };
        let delta = l.checked_sub(r).ok_or_else(|| miss(Decimal::new(i128::MAX, 0)))?;
        if delta.units == 0 || within(rule, l, r, delta, currency) { Ok(delta) } else { Err(miss(delta)) }
    }

    /// The window of days, where the pass has one.
    #[must_use]
    pub const fn window(&self) -> Option<(i32, i32)> {
        self.window
    }

    /// The amount by which candidates of `amount` are looked up: its negative or its magnitude where signs differ.
    #[must_use]
    pub const fn sought(&self, units: i128) -> i128 {
        match self.sign {
            SignRule::Same => units,
            SignRule::Opposite => -units,
            SignRule::Ignore => units.abs(),
        }
    }

    /// Whether amounts are compared by magnitude only.
    #[must_use]
    pub fn ignores_sign(&self) -> bool {
        self.sign == SignRule::Ignore
    }

    /// The amount of a record as the pass counts it: a net amount with its fee. `None` where the fee is not known or in
    /// another currency, so that the record can be in no group.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn effective(
        &self,
        side: SideName,
        cursor: &mut Cursor<'_>,
        records: &Side,
        record: RecordNo,
    ) -> io::Result<Option<Decimal>> {
        let amount = records.amount(record);
        if self.pass.amount.fee.as_ref().is_none_or(|rule| rule.net != side) {
            return Ok(Some(amount));
        }
        let (row, profile) = cursor.row(record)?;
        let currency = records.currency(record);
        let schedule = self.pass.amount.fee.as_ref().and_then(|rule| rule.schedule.as_ref());
        let fee = match profile.fee(row) {
            Some((fee, own)) if own == currency => Some(fee),
            Some(_) => None,
            // The schedule is of gross amounts; net is near enough to tell which tier applies only for flat fees.
            None => schedule.map(|schedule| scheduled_fee(schedule, amount, currency)),
        };
        Ok(fee.and_then(|fee| amount.checked_add(fee)))
    }

    /// The largest absolute difference that the amount gate can let through for an amount of this size, at `exponent`;
    /// `None` when there is no such bound. Used to find candidates, never to decide.
    #[must_use]
    pub fn reach(&self, amount: Decimal, currency: Currency, exponent: u8) -> Option<i128> {
        let rule = &self.pass.amount;
        if rule.fee.is_some() || rule.fx.is_some() {
            return None;
        }
        self.bound(amount, currency, exponent)
    }

    /// The largest absolute difference for an amount, whatever it is made of. It bounds a search, and decides nothing.
    #[must_use]
    pub fn bound(&self, amount: Decimal, currency: Currency, exponent: u8) -> Option<i128> {
        let rule = &self.pass.amount;
        let absolute = tolerance(rule, currency).0.rounded_up(exponent);
        let Some(percent) = rule.percent else { return Some(absolute) };
        // |l - r| <= p% of the other one is at most p / (100 - p) of this one; twice p% is above that below 50 %.
        let units = amount.abs().units_at(exponent)?;
        let relative =
            units.checked_mul(percent.0.units)?.checked_mul(2)? / (100 * pow10(percent.0.exponent)) + 1;
        if percent.0 >= Decimal::new(50, 0) {
            return None;
        }
        Some(absolute.max(relative))
    }

    /// All gates for a pair.
    ///
    /// # Errors
    /// The outer error is of the scratch storage; the inner one is the first gate that did not let the pair through.
    pub fn check(
        &self,
        eyes: &mut Eyes<'_>,
        sides: [&Side; 2],
        left: RecordNo,
        right: RecordNo,
    ) -> io::Result<Result<Fit, Miss>> {
        let [l, r] = sides;
        let rule = &self.pass.amount;
        let (lc, rc) = (l.currency(left), r.currency(right));
        if lc != rc && rule.fx.is_none() {
            return Ok(Err(Miss::Currency { left: lc, right: rc }));
        }
        let (mut la, mut ra) = (l.amount(left), r.amount(right));
        let (left_day, right_day) = (self.day(SideName::Left, l, left), self.day(SideName::Right, r, right));
        let mut rate = None;
        if let Some(fx) = &rule.fx
            && lc != rc
        {
            let day = if fx.date == SideName::Left { left_day } else { right_day };
            let missing = Miss::FxRate { from: lc, to: rc, day, age_days_max: fx.age_days_max };
            let Some(found) = self.rates.find(lc, rc, day, fx.age_days_max, fx.inverse) else {
                return Ok(Err(missing));
            };
            let Some(converted) = found.convert(la, rc.exponent()) else { return Ok(Err(missing)) };
            if converted.units == 0 && la.units != 0 {
                let allowed = format!("nothing: {la} {lc} is less than half of the smallest unit of {rc}");
                return Ok(Err(Miss::Amount { left: converted, right: ra, delta: ra, allowed }));
            }
            (la, rate) = (converted, Some(found));
        }
        let mut fee = None;
        if let Some(fee_rule) = &rule.fee {
            let net_is_left = fee_rule.net == SideName::Left;
            let (cursor, record) =
                if net_is_left { (&mut eyes.left, left) } else { (&mut eyes.right, right) };
            let (row, profile) = cursor.row(record)?;
            let (net, gross) = if net_is_left { (la, ra) } else { (ra, la) };
            let stated = match (profile.fee(row), &fee_rule.schedule) {
                (Some((_, currency)), _) if currency != rc => return Ok(Err(Miss::FeeCurrency(currency))),
                (Some((fee, _)), _) => fee,
                (None, Some(schedule)) => scheduled_fee(schedule, gross, rc),
                (None, None) => return Ok(Err(Miss::FeeMissing)),
            };
            let total = net.checked_add(stated).unwrap_or(net);
            let delta = gross.checked_sub(total).unwrap_or(gross);
            if let Err(Miss::Amount { .. }) = self.check_amounts(gross, total, rc) {
                return Ok(Err(Miss::Fee { gross, net, fee: stated, delta }));
            }
            if net_is_left {
                la = total;
            } else {
                ra = total;
            }
            fee = Some(stated);
        }
        let delta = match self.check_amounts(la, ra, rc) {
            Ok(delta) => delta,
            Err(miss) => return Ok(Err(miss)),
        };
        let days = match self.check_days(left_day, right_day) {
            Ok(days) => days,
            Err(miss) => return Ok(Err(miss)),
        };
        let likeness = match self.check_texts(eyes, left, right)? {
            Ok(likeness) => likeness,
            Err(miss) => return Ok(Err(miss)),
        };
        if let Some(needed) = self.pass.minimum_evidence {
            let found = self.evidence(eyes, left, right)? + u32::try_from(likeness.len()).unwrap_or(0);
            if found < needed {
                return Ok(Err(Miss::Evidence { found, needed }));
            }
        }
        let cost = self.cost(delta, days, &likeness, la, rc);
        Ok(Ok(Fit { delta, days, fee, rate, likeness, cost }))
    }

    fn check_texts(
        &self,
        eyes: &mut Eyes<'_>,
        left: RecordNo,
        right: RecordNo,
    ) -> io::Result<Result<Vec<u32>, Miss>> {
        let mut scores = Vec::with_capacity(self.texts.len());
        for gate in &self.texts {
            let (mut lefts, mut rights) = (Vec::new(), Vec::new());
            let (row, profile) = eyes.left.row(left)?;
            gate.left.values(row, profile, &mut eyes.folded, |value| lefts.push(value.to_owned()));
            let (row, profile) = eyes.right.row(right)?;
            gate.right.values(row, profile, &mut eyes.folded, |value| rights.push(value.to_owned()));
            let best = lefts
                .iter()
                .flat_map(|a| rights.iter().map(move |b| (a, b)))
                .map(|(a, b)| likeness(gate.rule.measure, a, b, &self.noise))
                .max()
                .unwrap_or(0);
            if best < gate.rule.at_least {
                let (left, right) = (gate.rule.left.clone(), gate.rule.right.clone());
                return Ok(Err(Miss::Text { left, right, likeness: best, at_least: gate.rule.at_least }));
            }
            scores.push(best);
        }
        Ok(Ok(scores))
    }

    /// How many key parts are filled on both sides (they agree, or the pair would not be in one block).
    fn evidence(&self, eyes: &mut Eyes<'_>, left: RecordNo, right: RecordNo) -> io::Result<u32> {
        let (row, profile) = eyes.left.row(left)?;
        let filled: Vec<bool> =
            self.key(SideName::Left).shown(row, profile).iter().map(|value| !value.is_empty()).collect();
        let (row, profile) = eyes.right.row(right)?;
        let shown = self.key(SideName::Right).shown(row, profile);
        let count = shown.iter().zip(filled).filter(|(value, filled)| *filled && !value.is_empty()).count();
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn cost(
        &self,
        delta: Decimal,
        days: Option<i32>,
        likeness: &[u32],
        amount: Decimal,
        currency: Currency,
    ) -> u32 {
        let mut cost = 0;
        if delta.units != 0 {
            let bound =
                self.bound(amount, currency, delta.exponent).unwrap_or_else(|| delta.units.abs()).max(1);
            let share = delta.units.abs().saturating_mul(500 * COST_UNIT) / bound;
            cost += u32::try_from(share.clamp(1, 500 * COST_UNIT)).unwrap_or(u32::MAX);
        }
        if let (Some(days), Some((from, to))) = (days, self.window) {
            let widest = from.unsigned_abs().max(to.unsigned_abs()).max(1);
            let share = i128::from(days.unsigned_abs()) * 200 * COST_UNIT / i128::from(widest);
            cost += u32::try_from(share.min(200 * COST_UNIT)).unwrap_or(u32::MAX);
        }
        if !likeness.is_empty() {
            let count = u32::try_from(likeness.len()).unwrap_or(1);
            let mean = likeness.iter().sum::<u32>() / count;
            cost += (1000 - mean.min(1000)) * 300;
        }
        cost.min(COST_MAX)
    }

    /// The values of the key of a record, as people read them.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn shown_key(
        &self,
        side: SideName,
        cursor: &mut Cursor<'_>,
        record: RecordNo,
    ) -> io::Result<Vec<String>> {
        let (row, profile) = cursor.row(record)?;
        Ok(self.key(side).shown(row, profile))
    }
}

/// Builds a calendar of the rules; the usual one when there is none of that name.
fn calendar_of(rules: &RuleSet, name: &str) -> Calendar {
    let number = |day: Weekday| match day {
        Weekday::Monday => 0,
        Weekday::Tuesday => 1,
        Weekday::Wednesday => 2,
        Weekday::Thursday => 3,
        Weekday::Friday => 4,
        Weekday::Saturday => 5,
        Weekday::Sunday => 6,
    };
    rules.calendars.get(name).map_or_else(Calendar::default, |spec| {
        let weekend: Vec<u8> = spec.weekend.iter().map(|&day| number(day)).collect();
        Calendar::new(&weekend, spec.holidays.iter().copied())
    })
}

/// An amount with its currency, as people read it.
#[must_use]
pub fn shown(amount: Decimal, currency: Currency) -> String {
    Money { amount, currency }.to_string()
}
