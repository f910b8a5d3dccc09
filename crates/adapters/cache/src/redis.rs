//! The connection to Redis or Valkey.

use std::time::Duration;

use redis::Client;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use stoa_runtime::limiter::Unreachable;

/// How long connecting and answering may take, before the request goes on without Redis.
const TIMEOUT: Duration = Duration::from_millis(250);

/// An address that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisError(String);

impl std::fmt::Display for RedisError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RedisError {}

/// A connection to Redis or Valkey; clones share it. It is made when it is first needed, and again after it was lost.
#[derive(Clone)]
pub struct RedisLink {
    pub(crate) connection: ConnectionManager,
    pub(crate) prefix: String,
}

impl std::fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisLink").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

pub(crate) fn unreachable(error: &redis::RedisError) -> Unreachable {
    // The text of the driver names the server, never its password.
    Unreachable(format!("Redis: {error}"))
}

impl RedisLink {
    /// To an address, `redis://[user:password@]host:port/[database]` or `rediss://` with TLS. Keys start with `prefix`.
    ///
    /// # Errors
    /// [`RedisError`] when the address cannot be read. A server that is away is no error here.
    pub fn new(url: &str, prefix: &str) -> Result<Self, RedisError> {
        let client = Client::open(url).map_err(|error| RedisError(error.to_string()))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(10))
            .set_max_delay(Duration::from_millis(100));
        let connection = ConnectionManager::new_lazy_with_config(client, config)
            .map_err(|error| RedisError(error.to_string()))?;
        Ok(Self { connection, prefix: prefix.to_owned() })
    }

    /// A round trip to the server.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub async fn ping(&self) -> Result<(), Unreachable> {
        let mut connection = self.connection.clone();
        redis::cmd("PING").exec_async(&mut connection).await.map_err(|error| unreachable(&error))
    }
}
