//! Accepting connections: one task for each listener, which has the tasks of its connections.

use super::Shared;
use super::busy_poll::BUSY_POLL;
use super::config::{AdvertisedAddress, Listener};
use super::connection::{self, Client, Phase, reached};
#[cfg(feature = "tls")]
use super::idle::IdleLimit;
use super::reader::Readers;
use super::security::Security;
use super::security::session::Session;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// A client on TCP, or on any other stream.
pub(super) fn client(
    shared: &Arc<Shared>,
    advertised: Option<AdvertisedAddress>,
    peer: Option<SocketAddr>,
) -> Client {
    let stream = || "stream".to_owned();
    Client {
        shared: shared.clone(),
        advertised: advertised.unwrap_or_else(|| shared.config.advertised.clone()),
        host: peer.map_or_else(stream, |peer| peer.ip().to_string()),
        peer: peer.map_or_else(stream, |peer| peer.to_string()),
        readers: Readers::default(),
        busy_poll: match (shared.config.connections.busy_poll, peer) {
            (Some(time), _) => time,
            (None, Some(_)) => BUSY_POLL,
            (None, None) => Duration::ZERO,
        },
    }
}

/// Accepts connections until the server stops. Then waits for them to end.
pub(super) async fn accept(socket: TcpListener, listener: Arc<Listener>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut phase = shared.phase.subscribe();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Some(slot) = slot(&shared, &mut connections, &mut phase).await else {
                        break;
                    };
                    let serving = serve_tcp(stream, peer, listener.clone(), shared.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, as a rule: others may be closed soon.
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = reached(&mut phase, |phase| *phase != Phase::Running) => break,
        }
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

/// Waits until one connection more may be served. `None`: the server stops.
async fn slot(
    shared: &Shared,
    connections: &mut JoinSet<()>,
    phase: &mut watch::Receiver<Phase>,
) -> Option<OwnedSemaphorePermit> {
    let acquire = shared.slots.clone().acquire_owned();
    tokio::pin!(acquire);
    loop {
        tokio::select! {
            slot = &mut acquire => return slot.ok(),
            Some(_) = connections.join_next() => {}
            () = reached(phase, |phase| *phase != Phase::Running) => return None,
        }
    }
}

async fn serve_tcp(
    stream: TcpStream,
    peer: SocketAddr,
    listener: Arc<Listener>,
    shared: Arc<Shared>,
) {
    debug!(%peer, "connection accepted");
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "the socket refused TCP_NODELAY");
    }
    if let Some(silence) = shared.config.connections.keepalive {
        let keepalive = socket2::TcpKeepalive::new().with_time(silence);
        if let Err(error) = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive) {
            debug!(%peer, %error, "the socket refused TCP keepalive");
        }
    }
    let local = stream.local_addr().ok();
    let local = local.map(|local| AdvertisedAddress::new(local.ip().to_string(), local.port()));
    let advertised = listener.advertised.clone().or(local);
    let client = client(&shared, advertised, Some(peer));
    serve_stream(stream, client, &listener.security).await;
}

/// Serves a client as this security has it.
pub(super) async fn serve_stream<S>(stream: S, client: Client, security: &Security)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let _open = client.shared.metrics.connected();
    let session = Session::new(security.sasl.clone());
    #[cfg(feature = "tls")]
    if let Some(tls) = &security.tls {
        let mut phase = client.shared.phase.subscribe();
        let mut idle = IdleLimit::new(client.shared.config.connections.max_idle);
        let accepted = tokio::select! {
            accepted = tls.accept(stream) => accepted,
            () = idle.reached() => Err(std::io::ErrorKind::TimedOut.into()),
            () = reached(&mut phase, |phase| *phase != Phase::Running) => return,
        };
        match accepted {
            Ok(stream) => {
                connection::run(stream, client, session).await;
            }
            Err(error) => debug!(peer = client.peer, %error, "the TLS handshake failed"),
        }
        return;
    }
    connection::run(stream, client, session).await;
}
