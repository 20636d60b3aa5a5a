//! A TCP relay between a client and a server that can spoil the link: delay it, cut it
//! after a number of bytes, swallow bytes, or close one direction only.

use anyhow::{Context, Result};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
};

/// Bytes moved at once; small, so that a cut falls where it should.
const CHUNK_BYTES: usize = 16 * 1024;

/// A direction of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What the relay does to one direction of every connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Bytes pass.
    #[default]
    None,
    /// Each chunk waits first.
    Delay(Duration),
    /// The whole connection is reset after so many bytes of its own in this direction.
    CutAfter(u64),
    /// Only this direction is closed, after so many bytes.
    HalfCloseAfter(u64),
    /// Bytes are read and thrown away.
    Swallow,
    /// Nothing is read: the sender meets a full window.
    Hold,
}

/// The running relay. Faults can be changed while connections are open.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    to_server: watch::Sender<Fault>,
    to_client: watch::Sender<Fault>,
    cut: watch::Sender<u64>,
    bytes: Arc<[AtomicU64; 2]>,
    accepting: JoinHandle<()>,
}

#[derive(Clone)]
struct Link {
    to_server: watch::Receiver<Fault>,
    to_client: watch::Receiver<Fault>,
    cut: watch::Receiver<u64>,
    bytes: Arc<[AtomicU64; 2]>,
}

impl Relay {
    /// Starts a relay to `target` on a free port.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding the relay")?;
        let address = listener.local_addr()?;
        let (to_server, to_client) =
            (watch::Sender::new(Fault::None), watch::Sender::new(Fault::None));
        let (cut, bytes) = (watch::Sender::new(0), Arc::<[AtomicU64; 2]>::default());
        let link = Link {
            to_server: to_server.subscribe(),
            to_client: to_client.subscribe(),
            cut: cut.subscribe(),
            bytes: bytes.clone(),
        };
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, link.clone()));
            }
        });
        Ok(Self { address, to_server, to_client, cut, bytes, accepting })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the fault of one direction, for open and new connections.
    pub fn set(&self, direction: Direction, fault: Fault) {
        match direction {
            Direction::ToServer => self.to_server.send_replace(fault),
            Direction::ToClient => self.to_client.send_replace(fault),
        };
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.set(Direction::ToServer, Fault::None);
        self.set(Direction::ToClient, Fault::None);
    }

    /// Resets every open connection.
    pub fn cut_all(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Bytes that passed in a direction, over all connections.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.bytes[index(direction)].load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::ToServer => 0,
        Direction::ToClient => 1,
    }
}

async fn carry(client: TcpStream, target: SocketAddr, mut link: Link) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (Ok(()), Ok(())) = (client.set_nodelay(true), server.set_nodelay(true)) else { return };
    // A reset, not an orderly end, when the halves are dropped with data unread.
    let (Ok(()), Ok(())) = (client.set_zero_linger(), server.set_zero_linger()) else { return };
    link.cut.mark_unchanged();
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let mut cut = link.cut.clone();
    // A cut of one direction drops the halves of both, which resets the connection.
    let both = async {
        tokio::try_join!(
            pump(client_read, server_write, link.to_server.clone(), &link.bytes[0]),
            pump(server_read, client_write, link.to_client.clone(), &link.bytes[1]),
        )
    };
    tokio::select! {
        _ = both => {}
        _ = cut.changed() => {}
    }
}

/// The byte was reached at which the connection is to be cut.
struct Cut;

/// Moves the bytes of one direction.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
    total: &AtomicU64,
) -> Result<(), Cut> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut passed = 0_u64;
    loop {
        let fault = *faults.borrow_and_update();
        if fault == Fault::Hold {
            if faults.changed().await.is_err() {
                return Ok(());
            }
            continue;
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = faults.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Ok(()),
            },
        };
        let Ok(count @ 1..) = read else {
            // The end of this direction is passed on; the other may go on. A failure to
            // do so means that the peer is gone already.
            to.shutdown().await.ok();
            return Ok(());
        };
        let allowed = match fault {
            Fault::CutAfter(limit) | Fault::HalfCloseAfter(limit) => {
                usize::try_from(limit.saturating_sub(passed)).unwrap_or(count).min(count)
            }
            Fault::Swallow => 0,
            Fault::None | Fault::Delay(_) | Fault::Hold => count,
        };
        if let Fault::Delay(delay) = fault {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..allowed]).await.is_err() {
            return Ok(());
        }
        passed += allowed as u64;
        total.fetch_add(allowed as u64, Ordering::AcqRel);
        match fault {
            Fault::CutAfter(limit) if passed >= limit => return Err(Cut),
            Fault::HalfCloseAfter(limit) if passed >= limit => {
                to.shutdown().await.ok();
                return Ok(());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await.ok();
                });
            }
        });
        address
    }

    async fn linked() -> (Relay, TcpStream) {
        let relay = Relay::start(echo().await).await.expect("relay");
        let stream = TcpStream::connect(relay.address()).await.expect("connect");
        (relay, stream)
    }

    #[tokio::test]
    async fn bytes_pass_both_ways() {
        let (relay, mut stream) = linked().await;
        stream.write_all(b"hello").await.expect("written");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.expect("read");
        assert_eq!(&answer, b"hello");
        assert_eq!(relay.passed(Direction::ToClient), 5);
    }

    #[tokio::test]
    async fn a_cut_falls_at_its_byte() {
        let (relay, mut stream) = linked().await;
        relay.set(Direction::ToClient, Fault::CutAfter(3));
        stream.write_all(b"hello").await.expect("written");
        let mut answer = Vec::new();
        // The end may come as an error or as an end; the bytes before it count.
        stream.read_to_end(&mut answer).await.ok();
        assert!(answer.len() <= 3, "{answer:?}");
        assert_eq!(relay.passed(Direction::ToClient), 3);
    }

    #[tokio::test]
    async fn one_direction_can_be_closed_alone() {
        let (relay, mut stream) = linked().await;
        relay.set(Direction::ToClient, Fault::HalfCloseAfter(2));
        stream.write_all(b"hello").await.expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an orderly end");
        assert_eq!(answer, b"he");
        stream.write_all(b"more").await.expect("still open");
    }

    #[tokio::test]
    async fn a_held_link_goes_on_when_healed() {
        let (relay, mut stream) = linked().await;
        relay.set(Direction::ToServer, Fault::Hold);
        stream.write_all(b"hi").await.expect("written");
        let mut answer = [0; 2];
        let held = tokio::time::timeout(Duration::from_millis(50), stream.read_exact(&mut answer));
        assert!(held.await.is_err());
        relay.heal();
        stream.read_exact(&mut answer).await.expect("read");
        relay.cut_all();
        let end = stream.read(&mut answer).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
}
