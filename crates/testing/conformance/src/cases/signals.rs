//! Signals: what every bus must do.

use std::sync::Arc;
use std::time::Duration;

use stoa_outbox::Signals;
use tokio::sync::broadcast::error::RecvError;

const LONG: Duration = Duration::from_secs(10);

/// A signal reaches every listener of its subject, and nobody else.
pub async fn a_signal_reaches_every_listener_of_its_subject(bus: Arc<dyn Signals>) {
    let (mut a, mut b) = (bus.listen("x.y").await.unwrap(), bus.listen("x.y").await.unwrap());
    let mut other = bus.listen("x.z").await.unwrap();
    bus.ping().await.unwrap();
    bus.send("x.y", b"one").await.unwrap();
    bus.send("x.z", b"two").await.unwrap();
    for heard in [&mut a, &mut b] {
        assert_eq!(&*tokio::time::timeout(LONG, heard.recv()).await.unwrap().unwrap(), b"one");
    }
    assert_eq!(&*tokio::time::timeout(LONG, other.recv()).await.unwrap().unwrap(), b"two");
    assert!(a.try_recv().is_err() && other.try_recv().is_err(), "each is heard once");
}

/// Signals of one sender arrive in their order; a listener that lags behind is told that it missed some.
pub async fn signals_keep_their_order_and_a_slow_listener_is_told(bus: Arc<dyn Signals>) {
    let mut heard = bus.listen("order").await.unwrap();
    let mut slow = bus.listen("order").await.unwrap();
    bus.ping().await.unwrap();
    for number in 0..5_000u32 {
        bus.send("order", &number.to_be_bytes()).await.unwrap();
        if number % 100 == 99 {
            for expected in number - 99..=number {
                let got = tokio::time::timeout(LONG, heard.recv()).await.unwrap().unwrap();
                assert_eq!(&*got, expected.to_be_bytes());
            }
        }
    }
    assert!(matches!(tokio::time::timeout(LONG, slow.recv()).await.unwrap(), Err(RecvError::Lagged(1..))));
}

/// Nobody has to listen.
pub async fn a_signal_that_nobody_hears_is_forgotten(bus: Arc<dyn Signals>) {
    bus.send("nobody", b"lost").await.unwrap();
    drop(bus.listen("nobody").await.unwrap());
    bus.send("nobody", b"lost").await.unwrap();
    let mut late = bus.listen("nobody").await.unwrap();
    bus.ping().await.unwrap();
    bus.send("nobody", b"heard").await.unwrap();
    assert_eq!(&*tokio::time::timeout(LONG, late.recv()).await.unwrap().unwrap(), b"heard");
}
