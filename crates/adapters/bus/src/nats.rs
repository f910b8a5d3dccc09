//! Signals through NATS: its core, which keeps nothing.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use futures_util::StreamExt as _;
use stoa_kernel::store::BoxFuture;
use stoa_outbox::{Heard, Signals, Unheard};
use tokio::sync::broadcast;

use crate::WAITING_MAX;

/// How long a round trip may take.
const TIMEOUT: Duration = Duration::from_millis(500);
/// How long is waited between two attempts to connect, at most.
const RECONNECT: Duration = Duration::from_secs(1);

/// An address that is none, or a server that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsError(String);

impl std::fmt::Display for NatsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NatsError {}

/// Carries signals through NATS. It connects in the background, again and again; listeners stay subscribed.
pub struct NatsSignals {
    client: Client,
    prefix: String,
}

impl std::fmt::Debug for NatsSignals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsSignals").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl NatsSignals {
    /// Signals through the servers at these addresses (`nats://[user:password@]host:port`, several separated by commas; `tls://`).
    /// Subjects start with `prefix`.
    ///
    /// # Errors
    /// [`NatsError`] when an address cannot be read. A server that is away is no error here.
    pub async fn new(urls: &str, prefix: &str) -> Result<Self, NatsError> {
        let fail = |error: &dyn std::fmt::Display| NatsError(error.to_string());
        let servers = urls
            .split(',')
            .map(|url| url.trim().parse::<async_nats::ServerAddr>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| fail(&error))?;
        let client = ConnectOptions::new()
            .name("stoa")
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(TIMEOUT))
            .ping_interval(Duration::from_secs(10))
            .reconnect_delay_callback(|attempts| RECONNECT.min(Duration::from_millis(50 << attempts.min(5))))
            .event_callback(|event| async move {
                match event {
                    Event::Connected => tracing::info!("the bus is there"),
                    Event::Disconnected => tracing::warn!("the bus is away; followers poll until it is back"),
                    event => tracing::debug!(%event, "the bus"),
                }
            })
            .connect(servers)
            .await
            .map_err(|error| fail(&error))?;
        Ok(Self { client, prefix: prefix.to_owned() })
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn is_connected(&self) -> Result<(), Unheard> {
        match self.client.connection_state() {
            async_nats::connection::State::Connected => Ok(()),
            _ => Err(Unheard("NATS is not connected".to_owned())),
        }
    }
}

impl Signals for NatsSignals {
    fn send<'a>(&'a self, subject: &'a str, payload: &'a [u8]) -> BoxFuture<'a, Result<(), Unheard>> {
        Box::pin(async move {
            // What is sent while the server is away would wait in memory, and come too late to be of use.
            self.is_connected()?;
            let subject = format!("{}.{subject}", self.prefix);
            let sent = self.client.publish(subject, payload.to_vec().into()).await;
            sent.map_err(|error| Unheard(error.to_string()))
        })
    }

    fn listen<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Heard, Unheard>> {
        Box::pin(async move {
            let subject = format!("{}.{subject}", self.prefix);
            let mut messages =
                self.client.subscribe(subject).await.map_err(|error| Unheard(error.to_string()))?;
            let (heard, listener) = broadcast::channel::<Arc<[u8]>>(WAITING_MAX);
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        () = heard.closed() => break,
                        message = messages.next() => match message {
                            Some(message) => drop(heard.send(message.payload.as_ref().into())),
                            None => break,
                        },
                    }
                }
            });
            Ok(listener)
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), Unheard>> {
        Box::pin(async move {
            self.is_connected()?;
            // To itself, through the server.
            let round_trip = async {
                let inbox = self.client.new_inbox();
                let mut heard =
                    self.client.subscribe(inbox.clone()).await.map_err(|error| Unheard(error.to_string()))?;
                let sent = self.client.publish(inbox, Bytes::new()).await;
                sent.map_err(|error| Unheard(error.to_string()))?;
                heard.next().await.map(|_| ()).ok_or_else(|| Unheard("NATS closed the connection".to_owned()))
            };
            let answered = tokio::time::timeout(TIMEOUT, round_trip).await;
            answered.unwrap_or_else(|_| Err(Unheard("NATS does not answer".to_owned())))
        })
    }
}
