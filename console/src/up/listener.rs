//! Where the HTTP port listens: plain on the loopback, by TLS beyond it.

use crate::exit::{Failure, Reason, chain};
use axum::serve::Listener;
use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Handshakes at a time.
const HANDSHAKES_MAX: usize = 256;
/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Between two attempts to accept when the system has nothing left.
const PAUSE: Duration = Duration::from_secs(1);

/// The certificate of the HTTP port, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTls {
    /// The chain (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
}

/// A port that is listened on.
pub enum AdminListener {
    /// On the loopback.
    Plain(TcpListener),
    /// With TLS.
    Tls(TcpListener, TlsAcceptor),
}

impl AdminListener {
    /// Whether what is said there is hidden from others.
    pub fn has_tls(&self) -> bool {
        match self {
            AdminListener::Plain(_) => false,
            AdminListener::Tls(..) => true,
        }
    }
}

/// Listens.
///
/// # Errors
/// The address is taken, or is beyond the loopback and there is no certificate.
pub async fn listen(address: SocketAddr, tls: Option<&AdminTls>) -> Result<AdminListener, Failure> {
    let acceptor = tls.map(acceptor).transpose()?;
    if acceptor.is_none() && !address.ip().is_loopback() {
        let message = format!("{address} is beyond this machine, and there is no certificate");
        return Err(Failure::new(Reason::Usage, message)
            .hint("give --admin-tls-cert and --admin-tls-key, or listen on 127.0.0.1"));
    }
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let holder = crate::ports::holder(address.port());
        let holder = holder.map_or_else(String::new, |holder| format!(", taken by {holder}"));
        Failure::new(Reason::Failed, format!("cannot listen on {address}: {error}{holder}"))
    })?;
    Ok(match acceptor {
        Some(acceptor) => AdminListener::Tls(listener, acceptor),
        None => AdminListener::Plain(listener),
    })
}

fn acceptor(tls: &AdminTls) -> Result<TlsAcceptor, Failure> {
    let read = |path: &PathBuf| {
        fs::read(path).map_err(|error| {
            Failure::new(Reason::Usage, format!("cannot read {}: {error}", path.display()))
        })
    };
    let (chain_pem, key_pem) = (read(&tls.certificate)?, read(&tls.key)?);
    let config = shardline_wire::tls::server_config(&chain_pem, &key_pem).map_err(|error| {
        let path = tls.certificate.display();
        Failure::new(Reason::Usage, format!("the certificate {path}: {}", chain(&error)))
    })?;
    Ok(TlsAcceptor::from(config))
}

/// Connections whose handshake is over. Slow ones hold nobody up.
pub struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Accepts from now on, until this is dropped.
    ///
    /// # Errors
    /// The system does not say where it listens.
    pub fn new(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let (sender, ready) = mpsc::channel(1);
        let address = listener.local_addr()?;
        tokio::spawn(accept(listener, acceptor, sender));
        Ok(Self { address, ready })
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let turns = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Ok(turn) = turns.clone().acquire_owned().await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the HTTP port cannot accept");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        tokio::spawn(async move {
            let _turn = turn;
            match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                // The listener may be gone.
                Ok(Ok(stream)) => drop(sender.send((stream, from)).await),
                Ok(Err(error)) => tracing::debug!(%from, %error, "a handshake failed"),
                Err(_) => tracing::debug!(%from, "a handshake took too long"),
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The task ends only after this is dropped.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
