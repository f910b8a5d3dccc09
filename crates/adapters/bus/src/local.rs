//! Signals within the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use stoa_kernel::store::BoxFuture;
use stoa_outbox::{Heard, Signals, Unheard};
use tokio::sync::broadcast;

use crate::WAITING_MAX;

/// Carries signals within the process.
#[derive(Debug, Default)]
pub struct LocalSignals {
    subjects: Mutex<HashMap<String, broadcast::Sender<Arc<[u8]>>>>,
}

impl LocalSignals {
    fn subjects(&self) -> std::sync::MutexGuard<'_, HashMap<String, broadcast::Sender<Arc<[u8]>>>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signals for LocalSignals {
    fn send<'a>(&'a self, subject: &'a str, payload: &'a [u8]) -> BoxFuture<'a, Result<(), Unheard>> {
        let mut subjects = self.subjects();
        // Nobody listens any more: the subject is forgotten.
        if subjects.get(subject).is_some_and(|heard| heard.send(payload.into()).is_err()) {
            subjects.remove(subject);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn listen<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Heard, Unheard>> {
        let mut subjects = self.subjects();
        let sender =
            subjects.entry(subject.to_owned()).or_insert_with(|| broadcast::Sender::new(WAITING_MAX));
        Box::pin(std::future::ready(Ok(sender.subscribe())))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), Unheard>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
