//! The machine's clock: the only place that asks it.

use std::sync::OnceLock;
use std::time::Instant;

use stoa_kernel::clock::{Clock, Micros};

/// The wall clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port's implementation")]
    fn now(&self) -> Micros {
        let now = std::time::SystemTime::now();
        let micros = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros());
        Micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port's implementation")]
    fn steady(&self) -> Micros {
        static START: OnceLock<Instant> = OnceLock::new();
        let elapsed = START.get_or_init(Instant::now).elapsed();
        Micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
    }
}
