//! Messages that NATS keeps: a stream of JetStream.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use futures_util::future::try_join_all;
use stoa_kernel::store::BoxFuture;
use stoa_outbox::{Broker, Message, Unheard};

use crate::nats::NatsSignals;

/// Within this time NATS drops what it has had already.
const DUPLICATES: Duration = Duration::from_secs(600);
/// How long NATS may take to keep what it is given.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A stream that keeps every event for a while.
#[derive(Debug)]
pub struct JetStreamBroker {
    context: Context,
    prefix: String,
    kept: Duration,
}

impl JetStreamBroker {
    /// On the connection of `signals`, with the same prefix; what it keeps, it keeps for so long.
    #[must_use]
    pub fn beside(signals: &NatsSignals, kept: Duration) -> Self {
        let mut context = async_nats::jetstream::new(signals.client().clone());
        context.set_timeout(TIMEOUT);
        Self { context, prefix: signals.prefix().to_owned(), kept }
    }

    /// What the stream is called.
    #[must_use]
    pub fn stream(prefix: &str) -> String {
        format!("{prefix}_events")
    }

    async fn prepared(&self) -> Result<String, Unheard> {
        let config = Config {
            name: Self::stream(&self.prefix),
            subjects: vec![format!("{}.org.>", self.prefix), format!("{}.installation.>", self.prefix)],
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            max_age: self.kept,
            duplicate_window: DUPLICATES.min(self.kept),
            ..Config::default()
        };
        let stream = self.context.get_or_create_stream(config).await;
        let mut stream = stream.map_err(|error| Unheard(error.to_string()))?;
        let found = stream.info().await.map_err(|error| Unheard(error.to_string()))?;
        Ok(found.created.to_string())
    }
}

/// Within a bound: a server that is away is waited for by whoever asks again.
async fn within<T>(work: impl Future<Output = Result<T, Unheard>>) -> Result<T, Unheard> {
    let done = tokio::time::timeout(TIMEOUT, work).await;
    done.unwrap_or_else(|_| Err(Unheard("NATS does not answer".to_owned())))
}

impl Broker for JetStreamBroker {
    fn mark(&self) -> BoxFuture<'_, Result<String, Unheard>> {
        Box::pin(within(self.prepared()))
    }

    fn publish<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Result<(), Unheard>> {
        Box::pin(within(async move {
            let mut kept = Vec::with_capacity(messages.len());
            for message in messages {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Msg-Id", message.id.as_str());
                let subject = format!("{}.{}", self.prefix, message.subject);
                let sent =
                    self.context.publish_with_headers(subject, headers, message.payload.clone().into()).await;
                kept.push(sent.map_err(|error| Unheard(error.to_string()))?);
            }
            // Sent in order, kept in order; the answers are awaited together.
            let answers = kept.into_iter().map(IntoFuture::into_future);
            try_join_all(answers).await.map(drop).map_err(|error| Unheard(error.to_string()))
        }))
    }
}
