//! The one port: accepts connections and serves each until its peer leaves it.

use crate::{network, service::Context};
use shardline_base::{Policy, Shutdown, Tasks};
use shardline_meta_client::{
    frame::FrameError,
    rpc::{Request, Response},
    transport::{self, Channel, Frames},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;

/// How many connections are open at once; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 4_096;
/// For TLS and the first bytes.
const ACCEPT_LIMIT: Duration = Duration::from_secs(5);
/// A connection without a request for so long is closed; clients just connect again.
const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// For writing one answer to a peer that does not read.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// After a failed accept (no file descriptors), so that it is not tried in a hot loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until told to stop.
pub(crate) struct Server {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) context: Arc<Context>,
}

impl Server {
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let connections = Tasks::new("meta connections", &shutdown);
        shutdown.or(self.accept(&connections)).await;
        // Answers under way to clients are lost with their connections; clients retry.
        drop(connections);
    }

    async fn accept(&self, connections: &Tasks) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((tcp, peer)) => {
                    let serving = serve(tcp, self.tls.clone(), self.context.clone(), permit);
                    connections.spawn(peer.to_string(), Policy::Isolated, serving);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    context: Arc<Context>,
    _permit: OwnedSemaphorePermit,
) {
    let (channel, frames) = match transport::accept(tcp, tls.as_ref(), ACCEPT_LIMIT).await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(%error, "connection turned away");
            return;
        }
    };
    let served = match channel {
        Channel::Client => serve_client(frames, &context).await,
        Channel::Raft => serve_node(frames, &context).await,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection given up");
    }
}

async fn serve_client(mut frames: Frames, context: &Context) -> Result<(), FrameError> {
    while let Ok(received) = tokio::time::timeout(IDLE_LIMIT, frames.receive::<Request>()).await {
        let response = match received {
            Ok(None) => return Ok(()),
            Ok(Some(Request::Watch { from })) => return context.stream(frames, from).await,
            Ok(Some(request)) => context.answer(request).await,
            Err(error @ (FrameError::Body(_) | FrameError::Trailing { .. })) => {
                Response::Refused { reason: error.to_string() }
            }
            Err(error) => return Err(error),
        };
        write(&mut frames, &response).await?;
    }
    Ok(())
}

async fn serve_node(mut frames: Frames, context: &Context) -> Result<(), FrameError> {
    while let Ok(received) = tokio::time::timeout(IDLE_LIMIT, frames.receive()).await {
        let Some(question) = received? else { return Ok(()) };
        let answer = network::answer(&context.raft, question).await;
        write(&mut frames, &answer).await?;
    }
    Ok(())
}

async fn write<T: serde::Serialize>(frames: &mut Frames, message: &T) -> Result<(), FrameError> {
    let written = tokio::time::timeout(WRITE_LIMIT, frames.send(message)).await;
    written.unwrap_or(Err(FrameError::Cut))
}
