//! Rate limits that all processes count together, in Redis or Valkey: one script, one round trip, by the clock of the server.

use redis::Script;
use stoa_kernel::store::BoxFuture;
use stoa_runtime::limiter::{Ask, Limit, RateLimiter, Unreachable, Verdict};

use crate::redis::{RedisLink, unreachable};

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

/// Rate limits in Redis.
#[derive(Debug)]
pub struct RedisLimiter {
    link: RedisLink,
    script: Script,
}

impl RedisLimiter {
    /// A limiter on a connection.
    #[must_use]
    pub fn on(link: &RedisLink) -> Self {
        Self { link: link.clone(), script: Script::new(TAKE) }
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
            call.key(format!("{}:limit:{kind}:{caller}", self.link.prefix)).arg(kind).arg(most).arg(span);
        }
        let mut connection = self.link.connection.clone();
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
        Box::pin(self.link.ping())
    }
}
