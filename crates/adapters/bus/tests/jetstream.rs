//! What NATS keeps of the log.
#![expect(clippy::unwrap_used, reason = "a test that cannot start is to fail")]

use std::time::Duration;

use async_nats::jetstream;
use futures_util::StreamExt as _;
use stoa_bus::{JetStreamBroker, NatsSignals};
use stoa_harness::Nats;
use stoa_outbox::{Broker as _, Message, Signals as _};

async fn connected(nats: &Nats) -> (NatsSignals, JetStreamBroker) {
    let signals = NatsSignals::new(&nats.url(), "stoa").await.unwrap();
    while signals.ping().await.is_err() {
        tokio::task::yield_now().await;
    }
    let broker = JetStreamBroker::beside(&signals, Duration::from_secs(3_600));
    (signals, broker)
}

fn message(number: usize) -> Message {
    Message {
        subject: format!("org.org_1.thing.{}", if number.is_multiple_of(2) { "made" } else { "changed" }),
        id: format!("evt_{number}"),
        payload: format!("{{\"number\":{number}}}").into_bytes(),
    }
}

/// Everything that a durable consumer gets, in its order.
async fn kept(nats: &Nats, subject: &str, count: usize) -> Vec<String> {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let stream = jetstream::new(client).get_stream(JetStreamBroker::stream("stoa")).await.unwrap();
    let config =
        jetstream::consumer::pull::Config { filter_subject: subject.to_owned(), ..Default::default() };
    let messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let texts = messages.take(count).map(|one| String::from_utf8(one.unwrap().payload.to_vec()).unwrap());
    tokio::time::timeout(Duration::from_secs(20), texts.collect()).await.unwrap()
}

#[tokio::test]
async fn messages_are_kept_in_order_and_once_whoever_publishes_them_again() {
    let nats = Nats::start();
    let (_signals, broker) = connected(&nats).await;
    let mark = broker.mark().await.unwrap();
    let messages: Vec<Message> = (0..300).map(message).collect();
    broker.publish(&messages).await.unwrap();
    // As after a crash between publishing and remembering that.
    broker.publish(&messages[200..]).await.unwrap();
    assert_eq!(broker.mark().await.unwrap(), mark);
    let all = kept(&nats, "stoa.org.org_1.>", 300).await;
    let expected: Vec<String> = (0..300).map(|number| format!("{{\"number\":{number}}}")).collect();
    assert_eq!(all, expected);
    assert_eq!(kept(&nats, "stoa.org.*.thing.changed", 150).await.len(), 150);
    let client = async_nats::connect(nats.url()).await.unwrap();
    let mut stream = jetstream::new(client).get_stream("stoa_events").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 300, "what came twice is there once");
}

#[tokio::test]
async fn a_server_without_its_data_is_told_from_one_that_was_only_away() {
    let nats = Nats::start();
    let port = nats.port();
    let (_signals, broker) = connected(&nats).await;
    let mark = broker.mark().await.unwrap();
    broker.publish(&[message(1)]).await.unwrap();
    drop(nats);
    assert!(broker.mark().await.is_err() || broker.publish(&[message(2)]).await.is_err(), "it is away");
    // The server comes back on a disk of its own.
    let _again = Nats::at(port);
    let after = loop {
        if let Ok(after) = broker.mark().await {
            break after;
        }
    };
    assert_ne!(after, mark, "what it had is lost");
    broker.publish(&[message(1)]).await.unwrap();
}
