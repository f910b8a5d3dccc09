//! Holds the workspace to its own rules: who may depend on whom, under which licences, from which sources.
//!
//! The tests read `cargo metadata`; there is nothing to call here.
