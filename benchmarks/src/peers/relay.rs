//! The floor: a TCP relay that does nothing but what every proxy must do. One thread, one
//! epoll, one read and one write for each message.
//!
//! Readiness is level-triggered, so that a read that did not fill the buffer needs no
//! second one to learn that nothing is left. Interest in writing is asked for only while
//! the other side's socket is full.

use anyhow::{Context, Result};
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    fd::OwnedFd,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

/// Bytes moved at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// Events taken at once.
const EVENTS_MAX: usize = 512;
/// Connections at once; more are closed when they come.
const CONNECTIONS_MAX: usize = 16_384;
/// The token of the listening socket. Connections have theirs from 0 on.
const LISTENER: u64 = u64::MAX;

/// Where the relay listens and where it leads.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where clients connect
    #[arg(long)]
    listen: SocketAddr,
    /// Where they are led to
    #[arg(long)]
    to: SocketAddr,
}

/// One direction's reader and what it could not write yet to the other side.
struct Side {
    socket: TcpStream,
    /// Read from the other side, not yet written to this one.
    unwritten: Vec<u8>,
}

/// A client and its server.
struct Pair {
    sides: [Side; 2],
}

struct Relay {
    epoll: OwnedFd,
    to: SocketAddr,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

/// What is left of a pair after an event.
#[derive(PartialEq, Eq)]
enum Fate {
    Goes,
    Ends,
}

/// Relays until the process is ended.
///
/// # Errors
/// The listening socket or epoll cannot be made.
pub fn run(args: Args) -> Result<()> {
    let listener = TcpListener::bind(args.listen).context("listening")?;
    listener.set_nonblocking(true).context("making the listener non-blocking")?;
    let epoll = epoll::create(CreateFlags::CLOEXEC).context("making an epoll")?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)
        .context("watching the listener")?;
    let buffer = vec![0; BUFFER_BYTES];
    let mut relay = Relay { epoll, to: args.to, pairs: Vec::new(), free: Vec::new(), buffer };
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
    let mut ended = Vec::new();
    loop {
        match epoll::wait(&relay.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for events"),
        }
        let mut accepts = false;
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => accepts = true,
                token => relay.serve(token, event.flags, &mut ended),
            }
        }
        // A place is given away only after the events of this turn, which may still name it.
        relay.free.append(&mut ended);
        if accepts {
            relay.accept(&listener);
        }
    }
}

impl Relay {
    fn accept(&mut self, listener: &TcpListener) {
        while let Ok((client, _)) = listener.accept() {
            // A connection that cannot be led on is closed, as the client will see.
            if let Err(error) = self.open(client) {
                eprintln!("relay: {error:#}");
            }
        }
    }

    fn open(&mut self, client: TcpStream) -> Result<()> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                anyhow::ensure!(self.pairs.len() < CONNECTIONS_MAX, "too many connections");
                self.pairs.push(None);
                self.pairs.len() - 1
            }
        };
        let server = TcpStream::connect(self.to).context("connecting to the server");
        let pair = server.and_then(|server| self.watch([client, server], place));
        match pair {
            Ok(pair) => self.pairs[place] = Some(pair),
            Err(error) => {
                self.free.push(place);
                return Err(error);
            }
        }
        Ok(())
    }

    fn watch(&self, sockets: [TcpStream; 2], place: usize) -> Result<Pair> {
        for (side, socket) in sockets.iter().enumerate() {
            socket.set_nonblocking(true).context("making a socket non-blocking")?;
            socket.set_nodelay(true).context("setting TCP_NODELAY")?;
            let token = EventData::new_u64((place * 2 + side) as u64);
            epoll::add(&self.epoll, socket, token, EventFlags::IN).context("watching a socket")?;
        }
        Ok(Pair { sides: sockets.map(|socket| Side { socket, unwritten: Vec::new() }) })
    }

    fn serve(&mut self, token: u64, flags: EventFlags, ended: &mut Vec<usize>) {
        let (place, side) = ((token / 2) as usize, (token % 2) as usize);
        let Some(pair) = self.pairs.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let mut fate = Fate::Goes;
        if flags.contains(EventFlags::OUT) {
            fate = pair.write_rest(&self.epoll, place, side);
        }
        if fate == Fate::Goes
            && flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR)
        {
            fate = pair.move_on(&self.epoll, place, side, &mut self.buffer);
        }
        if fate == Fate::Ends {
            // Closing the sockets ends their watches too.
            self.pairs[place] = None;
            ended.push(place);
        }
    }
}

impl Pair {
    /// Reads once from `side` and writes to the other.
    fn move_on(&mut self, epoll: &OwnedFd, place: usize, side: usize, buffer: &mut [u8]) -> Fate {
        let other = 1 - side;
        if !self.sides[other].unwritten.is_empty() {
            // Not asked to read now; an error or a hang-up comes unasked.
            return Fate::Ends;
        }
        let length = match self.sides[side].socket.read(buffer) {
            Ok(0) => return Fate::Ends,
            Ok(length) => length,
            Err(error) if would_wait(&error) => return Fate::Goes,
            Err(_) => return Fate::Ends,
        };
        let written = match self.sides[other].socket.write(&buffer[..length]) {
            Ok(written) => written,
            Err(error) if would_wait(&error) => 0,
            Err(_) => return Fate::Ends,
        };
        if written < length {
            self.sides[other].unwritten.extend_from_slice(&buffer[written..length]);
            return self.watch_again(epoll, place);
        }
        Fate::Goes
    }

    /// Writes what the socket of `side` had no room for.
    fn write_rest(&mut self, epoll: &OwnedFd, place: usize, side: usize) -> Fate {
        let Side { socket, unwritten } = &mut self.sides[side];
        match socket.write(unwritten) {
            Ok(written) => unwritten.drain(..written),
            Err(error) if would_wait(&error) => return Fate::Goes,
            Err(_) => return Fate::Ends,
        };
        if unwritten.is_empty() { self.watch_again(epoll, place) } else { Fate::Goes }
    }

    /// A side is read while the other has nothing unwritten, and written while it has.
    fn watch_again(&self, epoll: &OwnedFd, place: usize) -> Fate {
        for side in 0..2 {
            let mut flags = EventFlags::empty();
            flags.set(EventFlags::IN, self.sides[1 - side].unwritten.is_empty());
            flags.set(EventFlags::OUT, !self.sides[side].unwritten.is_empty());
            let token = EventData::new_u64((place * 2 + side) as u64);
            if epoll::modify(epoll, &self.sides[side].socket, token, flags).is_err() {
                return Fate::Ends;
            }
        }
        Fate::Goes
    }
}

fn would_wait(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
