use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bounds how many calls run at once.
#[derive(Debug, Clone)]
pub struct Bulkhead {
    limit: u32,
    running: Arc<AtomicU32>,
}

/// A place in a [`Bulkhead`]; dropping it gives the place back.
#[derive(Debug)]
pub struct Permit(Arc<AtomicU32>);

impl Bulkhead {
    /// A bulkhead with `limit` places.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, running: Arc::default() }
    }

    /// A place, or `None` when all are taken.
    #[must_use]
    pub fn enter(&self) -> Option<Permit> {
        self.running
            .try_update(Ordering::AcqRel, Ordering::Acquire, |running| {
                (running < self.limit).then_some(running + 1)
            })
            .ok()
            .map(|_| Permit(Arc::clone(&self.running)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_permit_is_dropped() {
        let bulkhead = Bulkhead::new(2);
        let (first, second) = (bulkhead.enter(), bulkhead.enter());
        assert!(first.is_some() && second.is_some() && bulkhead.enter().is_none());
        drop(first);
        assert!(bulkhead.enter().is_some());
    }

    #[test]
    fn threads_never_share_a_place() {
        let bulkhead = Bulkhead::new(3);
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Some(_permit) = bulkhead.enter() {
                            most.fetch_max(bulkhead.running.load(Ordering::Acquire), Ordering::AcqRel);
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::Acquire) <= 3);
        assert_eq!(bulkhead.running.load(Ordering::Acquire), 0);
    }
}
