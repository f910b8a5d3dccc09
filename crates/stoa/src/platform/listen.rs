//! Connections: so many at once, each with a time for its head and for taking what it is sent; drained at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use stoa_runtime::lifecycle::Lifecycle;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;

use super::config::Server;

/// A client that takes nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// After an error of the listener itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// What connections are held to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    connections_max: usize,
    header_timeout: Duration,
}

impl Bounds {
    pub(super) fn of(server: &Server) -> Self {
        Self {
            connections_max: server.connections_max,
            header_timeout: Duration::from_millis(server.header_timeout_ms),
        }
    }
}

/// Serves connections until the lifecycle stops, then lets those under way finish.
pub(super) fn listen(
    name: &'static str,
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    lifecycle: &mut Lifecycle,
) {
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(serve(listener, router, bounds, stopped));
    lifecycle.started(name, move || async move {
        stop.send_replace(true);
        let _ = serving.await;
    });
}

async fn serve(listener: TcpListener, router: Router, bounds: Bounds, mut stopped: watch::Receiver<bool>) {
    let mut connect = router.into_make_service_with_connect_info::<SocketAddr>();
    let room = Arc::new(Semaphore::new(bounds.connections_max));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout).max_buf_size(64 * 1024);
    loop {
        // Who comes when there is no room waits in the queue of the system.
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            accepted = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (listener.accept().await, place)
            } => accepted,
        };
        let (stream, peer, place) = match accepted {
            (Ok((stream, peer)), Ok(place)) => (stream, peer, place),
            (Err(error), _) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            (_, Err(_)) => break,
        };
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let Ok(service) = tower_service(&mut connect, peer).await;
        let connection =
            http.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        metrics::gauge!("stoa_http_connections").increment(1.0);
        tokio::spawn(async move {
            // A client that goes away, or says what is no HTTP, is no event for the log.
            let _ = connection.await;
            metrics::gauge!("stoa_http_connections").decrement(1.0);
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

type Connect = axum::extract::connect_info::IntoMakeServiceWithConnectInfo<Router, SocketAddr>;
type Connected = axum::middleware::AddExtension<Router, axum::extract::ConnectInfo<SocketAddr>>;

async fn tower_service(
    connect: &mut Connect,
    peer: SocketAddr,
) -> Result<Connected, std::convert::Infallible> {
    tower::Service::call(connect, peer).await
}
