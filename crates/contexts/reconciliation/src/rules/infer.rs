use super::{
    AmountRule, Cardinality, DateRule, Exact, FeeRule, GroupRule, KeyPart, Pass, PassOutcome, RuleSet,
    Sources, TextMeasure, TextRule,
};
use crate::source::SideName;

/// What the inferred rules go by.
#[derive(Debug, Clone, Copy, Default)]
pub struct InferOptions {
    /// The largest difference of amounts, in units of the currency; 0 by default.
    pub tolerance: Option<Exact>,
    /// How many days the two sides may lie apart, either way; 3 by default.
    pub days: Option<u32>,
    /// Both sides have ids, and ids of one side occur on the other.
    pub ids_shared: bool,
    /// Both sides have references, in columns or by extractors.
    pub references: bool,
    /// Both sides have texts or counterparties.
    pub texts: bool,
    /// The side whose amounts are net of a fee that it states.
    pub net: Option<SideName>,
}

/// Rules that serve most pairs of a statement and a ledger: by reference first, then by amount and date, then likely
/// pairs as suggestions.
#[must_use]
pub fn infer(options: InferOptions) -> RuleSet {
    let days = i32::try_from(options.days.unwrap_or(3)).unwrap_or(i32::MAX / 2);
    let tolerance = options.tolerance.unwrap_or(Exact::ZERO);
    let window = |days: i32| {
        Some(DateRule {
            from: -days,
            to: days,
            unit: Default::default(),
            calendar: None,
            left: Default::default(),
            right: Default::default(),
        })
    };
    let amount = |tolerance: Exact| AmountRule { tolerance: Some(tolerance), ..AmountRule::default() };
    let field = |name: &str| KeyPart { left: name.to_owned(), right: name.to_owned(), transform: Vec::new() };
    let pass = |name: &str, key: Vec<KeyPart>| Pass {
        name: name.to_owned(),
        key,
        amount: amount(tolerance),
        date: window(days),
        text: Vec::new(),
        cardinality: vec![Cardinality::OneToOne],
        groups: GroupRule::default(),
        conditions: Default::default(),
        exclude: Default::default(),
        minimum_evidence: None,
        outcome: PassOutcome::Confirmed,
        ambiguity: Default::default(),
        margin: 0,
        assignment: Default::default(),
    };
    let groups = vec![Cardinality::OneToOne, Cardinality::OneToMany, Cardinality::ManyToOne];
    let mut passes = Vec::new();
    if options.ids_shared {
        passes.push(Pass {
            cardinality: groups.clone(),
            ..pass("same id", vec![field("external_id"), field("currency")])
        });
    }
    if options.references {
        let far = days.saturating_mul(10).max(30);
        passes.push(Pass {
            cardinality: groups,
            date: window(far),
            ..pass("same reference", vec![field("references"), field("currency")])
        });
    }
    passes.push(pass("same amount and date", vec![field("currency")]));
    if let Some(net) = options.net {
        let gross = |name: &str, key: Vec<KeyPart>| {
            let plain = pass(name, key);
            Pass {
                amount: AmountRule { fee: Some(FeeRule { net, schedule: None }), ..plain.amount.clone() },
                ..plain
            }
        };
        if options.references {
            passes.push(gross("same reference, net and fee", vec![field("references"), field("currency")]));
        }
        passes.push(gross("same amount and date, net and fee", vec![field("currency")]));
    }
    if options.texts {
        passes.push(Pass {
            text: vec![TextRule {
                left: "text".to_owned(),
                right: "text".to_owned(),
                measure: TextMeasure::TokenSet,
                at_least: 700,
            }],
            date: window(days.saturating_mul(4).max(10)),
            outcome: PassOutcome::Suggested,
            ..pass("same amount, alike text", vec![field("currency")])
        });
    }
    RuleSet {
        version: 1,
        name: "inferred".to_owned(),
        description: Some("Inferred from the two files; save, edit and pass with --rules.".to_owned()),
        sources: Sources::default(),
        calendars: Default::default(),
        passes,
    }
}
