//! Rate limits that all processes count together, in Redis or Valkey: one script, one round trip, by the clock of the server.

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script};
use std::time::Duration;
use stoa_kernel::store::BoxFuture;
use stoa_runtime::limiter::{Ask, Limit, RateLimiter, Unreachable, Verdict};

/// How long connecting and answering may take, before the request goes on without Redis.
const TIMEOUT: Duration = Duration::from_millis(250);

/// Looks at every limit, then charges all of them or none. A bucket is the one instant at which it is full again (the generic cell
/// rate algorithm, ITU-T I.371), a window is a hash of its sixteenths. What holds nothing any more expires.
///
/// For each key: its kind, the most, and the microseconds for one token of a bucket or of a whole window.
/// Answers allowed, limit, remaining and the microseconds to the reset, of the strictest.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local best, charges = nil, {}
for i = 1, #KEYS do
  local kind, most, span = ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local left, reset
  if kind == 'b' then
    local full = math.max(tonumber(redis.call('GET', KEYS[i]) or '0'), now)
    left = math.floor((most * span - (full - now)) / span)
    reset = full - now
    if left < 1 then reset = full + span - now - most * span end
    charges[i] = function()
      local ttl = math.ceil((full + span - now) / 1000) + 1
      redis.call('SET', KEYS[i], string.format('%.0f', full + span), 'PX', ttl)
    end
  else
    local slot = span / 16
    local index, used = math.floor(now / slot), 0
    local slots = redis.call('HGETALL', KEYS[i])
    for j = 1, #slots, 2 do
      if (tonumber(slots[j]) + 1) * slot + span <= now then redis.call('HDEL', KEYS[i], slots[j])
      else used = used + tonumber(slots[j + 1]) end
    end
    left = most - used
    reset = span
    charges[i] = function()
      redis.call('HINCRBY', KEYS[i], string.format('%.0f', index), 1)
      redis.call('PEXPIRE', KEYS[i], math.ceil(span * 2 / 1000))
    end
  end
  local allowed = left >= 1 and 1 or 0
  local remaining = math.max(left - 1, 0)
  if not best or allowed < best[1] or (allowed == best[1] and remaining < best[3]) then
    best = {allowed, most, remaining, math.ceil(reset)}
  end
end
if best[1] == 1 then for i = 1, #KEYS do charges[i]() end end
return best
";

/// An address that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisError(String);

impl std::fmt::Display for RedisError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RedisError {}

/// Rate limits in Redis. It connects when it is first asked, and again after the connection was lost.
pub struct RedisLimiter {
    connection: ConnectionManager,
    script: Script,
    prefix: String,
}

impl std::fmt::Debug for RedisLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisLimiter").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn unreachable(error: &redis::RedisError) -> Unreachable {
    // The text of the driver names the server, never its password.
    Unreachable(format!("Redis: {error}"))
}

impl RedisLimiter {
    /// A limiter at an address, `redis://[user:password@]host:port/[database]` or `rediss://` with TLS. Keys start with `prefix`.
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
        Ok(Self { connection, script: Script::new(TAKE), prefix: prefix.to_owned() })
    }

    async fn run(&self, asks: &[Ask]) -> Result<Verdict, Unreachable> {
        if asks.is_empty() {
            return Ok(Verdict { allowed: true, limit: u32::MAX, remaining: u32::MAX, reset_s: 0 });
        }
        let mut call = self.script.prepare_invoke();
        for ask in asks {
            let caller: String = ask.caller.0.iter().map(|byte| format!("{byte:02x}")).collect();
            let (kind, most, span) = match ask.limit {
                Limit::Bucket(rate) => ("b", rate.burst, u64::from(1_000_000 / rate.per_second.max(1))),
                Limit::Window { most, seconds } => ("w", most, u64::from(seconds) * 1_000_000),
            };
            call.key(format!("{}:limit:{kind}:{caller}", self.prefix)).arg(kind).arg(most).arg(span);
        }
        let mut connection = self.connection.clone();
        let (allowed, limit, remaining, reset_us): (u8, u32, u32, u64) =
            call.invoke_async(&mut connection).await.map_err(|error| unreachable(&error))?;
        let reset_s = u32::try_from(reset_us.div_ceil(1_000_000)).unwrap_or(u32::MAX);
        let allowed = allowed == 1;
        Ok(Verdict { allowed, limit, remaining, reset_s: reset_s.max(u32::from(!allowed)) })
    }
}

impl RateLimiter for RedisLimiter {
    fn take<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Result<Verdict, Unreachable>> {
        Box::pin(self.run(asks))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), Unreachable>> {
        Box::pin(async move {
            let mut connection = self.connection.clone();
            redis::cmd("PING").exec_async(&mut connection).await.map_err(|error| unreachable(&error))
        })
    }
}
