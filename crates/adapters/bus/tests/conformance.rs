//! Buses pass what every bus must.
#![expect(clippy::unwrap_used, reason = "a test that cannot start is to fail")]

use std::sync::Arc;

use stoa_outbox::Signals;

mod local {
    use super::*;

    async fn fresh() -> (Arc<dyn Signals>, ()) {
        (Arc::new(stoa_bus::LocalSignals::default()), ())
    }

    stoa_conformance::signals_suite!(fresh);
}

mod nats {
    use super::*;
    use stoa_harness::Nats;

    async fn fresh() -> (Arc<dyn Signals>, Nats) {
        let nats = Nats::start();
        let signals = stoa_bus::NatsSignals::new(&nats.url(), "stoa").await.unwrap();
        while signals.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
        (Arc::new(signals), nats)
    }

    stoa_conformance::signals_suite!(fresh);

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_and_a_server_that_is_away_is_told() {
        assert!(stoa_bus::NatsSignals::new("nats://[", "stoa").await.is_err());
        let away = stoa_bus::NatsSignals::new("nats://127.0.0.1:1", "stoa").await.unwrap();
        assert!(away.ping().await.is_err());
        assert!(away.send("x", b"").await.is_err(), "nothing is kept for later");
    }
}
