//! Letters through an SMTP server (RFC 5321).

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use stoa_kernel::store::BoxFuture;
use stoa_runtime::mail::{Letter, Mailer, Unsent};

use crate::message::message;

/// The most that a step of the exchange may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An SMTP server.
#[derive(Debug, Clone)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    /// Whether these can be those of a server, without connecting to it.
    ///
    /// # Errors
    /// As [`Smtp::new`].
    pub fn check(url: &str, from: &str) -> Result<(), String> {
        from.parse::<Mailbox>().map_err(|error| format!("\"{from}\": {error}"))?;
        AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map(drop).map_err(|error| error.to_string())
    }

    /// The server at `smtps://user:password@host`, `smtp://…?tls=required`, or `smtp://host:25` without TLS.
    ///
    /// # Errors
    /// What is wrong with the address or with `from`.
    ///
    /// # Panics
    /// Outside of a runtime: its pool of connections is a task.
    pub fn new(url: &str, from: &str) -> Result<Self, String> {
        let from = from.parse().map_err(|error| format!("\"{from}\": {error}"))?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|error| error.to_string())?
            .timeout(Some(TIMEOUT))
            .build();
        Ok(Self { transport, from })
    }
}

impl Mailer for Smtp {
    fn send<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), Unsent>> {
        Box::pin(async move {
            let message = message(&self.from, letter)?;
            match self.transport.send(message).await {
                Ok(_) => Ok(()),
                Err(error) if error.is_permanent() => Err(Unsent::Never(error.to_string())),
                Err(error) => Err(Unsent::Later(error.to_string())),
            }
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match self.transport.test_connection().await {
                Ok(true) => Ok(()),
                Ok(false) => Err("the server does not answer".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}
