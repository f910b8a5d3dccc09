//! Time as a port. Nothing else in the workspace may ask the machine what time it is.

use std::sync::atomic::{AtomicI64, Ordering};

/// An instant: microseconds since 1970-01-01T00:00:00Z. Negative before that.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// The instant `micros` later; saturates at the ends of the range.
    #[must_use]
    pub const fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to `self`; zero when `earlier` is in fact later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        let elapsed = self.0.saturating_sub(earlier.0);
        if elapsed < 0 { 0 } else { elapsed }
    }

    /// Whole milliseconds since the Unix epoch, rounded towards minus infinity.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

/// The port through which code learns what time it is.
pub trait Clock: Send + Sync {
    /// The current instant (wall clock, UTC). It may step back: callers that need order must not rely on it.
    fn now(&self) -> Micros;

    /// An instant of a clock that never steps back, for how long something took or may still last. Only differences mean anything.
    fn steady(&self) -> Micros {
        self.now()
    }
}

/// A clock that stands still until it is told to move: for tests and for replay.
#[derive(Debug)]
pub struct Manual(AtomicI64);

impl Manual {
    /// A clock that shows `start`.
    #[must_use]
    pub const fn at(start: Micros) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves the clock by `micros`, which may be negative.
    pub fn advance(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for Manual {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}
