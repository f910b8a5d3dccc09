//! The store on PostgreSQL passes what every store must, with prepared statements and behind a pooler.

mod direct {
    stoa_conformance::store_suite!(crate::setup::fresh);
}

mod pooled {
    stoa_conformance::store_suite!(crate::setup::behind_a_pooler);
}
