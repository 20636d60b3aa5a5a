//! Connections between processes and simulated servers: in order, but late, cut at either
//! side, half open; and control packets that are repeated.

use crate::{
    engine::{Engine, MS, Mailbox, Micros, NATURE, Process, SECOND},
    packet::{Answer, Packet, Reply},
    server::{Request, Server},
};
use shardline_model::id::ShardId;
use shardline_proxy::txn::xid::Incarnation;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// How long a client of a server waits for an answer.
const PATIENCE: Micros = 3 * SECOND;
const CONTROL_PATIENCE: Micros = 1_500 * MS;

#[derive(Clone)]
pub(crate) struct Network {
    pub engine: Engine,
    pub servers: Rc<Vec<Server>>,
    /// How many packets in a thousand meet trouble.
    pub trouble: Rc<Cell<u64>>,
    open: Rc<RefCell<Vec<Owned>>>,
}

/// A connection and whose it is.
type Owned = (Process, Rc<Connection>);

pub(crate) struct Connection {
    engine: Engine,
    trouble: Rc<Cell<u64>>,
    inbox: Mailbox<Request>,
    outbox: Mailbox<Answer>,
    delivered: Cell<Micros>,
    broken: Cell<bool>,
}

impl Network {
    pub(crate) fn new(engine: &Engine, servers: Vec<Server>, trouble: u64) -> Self {
        Self {
            engine: engine.clone(),
            servers: Rc::new(servers),
            trouble: Rc::new(Cell::new(trouble)),
            open: Rc::default(),
        }
    }

    pub(crate) fn server(&self, shard: ShardId) -> &Server {
        &self.servers[shard.0 as usize - 1]
    }

    pub(crate) async fn connect(
        &self,
        owner: Process,
        shard: ShardId,
        account: Option<Incarnation>,
    ) -> Option<Rc<Connection>> {
        self.engine.sleep(self.engine.between(50, 400)).await;
        if self.engine.per_mille(self.trouble.get()) {
            return None;
        }
        let (inbox, outbox) = (Mailbox::new(&self.engine), Mailbox::new(&self.engine));
        self.server(shard).login(account, inbox.clone(), outbox.clone())?;
        let connection = Rc::new(Connection {
            engine: self.engine.clone(),
            trouble: self.trouble.clone(),
            inbox,
            outbox,
            delivered: Cell::new(self.engine.now()),
            broken: Cell::new(false),
        });
        let mut open = self.open.borrow_mut();
        open.retain(|(_, one)| !one.broken.get());
        open.push((owner, connection.clone()));
        Some(connection)
    }

    /// One packet on a connection of its own. None: no answer.
    pub(crate) async fn control(
        &self,
        owner: Process,
        shard: ShardId,
        packet: Packet,
    ) -> Option<Reply> {
        if self.engine.per_mille(self.trouble.get() / 2) {
            self.repeat(shard, packet.clone());
        }
        let connection = self.connect(owner, shard, None).await?;
        let answer = connection.request_within(packet, CONTROL_PATIENCE).await;
        connection.close();
        match answer {
            Answer::Reply(reply) => Some(reply),
            Answer::Lost { .. } => None,
        }
    }

    /// The packet comes once more, later.
    fn repeat(&self, shard: ShardId, packet: Packet) {
        let network = self.clone();
        self.engine.spawn(NATURE, async move {
            network.engine.sleep(network.engine.between(0, 4 * SECOND)).await;
            if let Some(connection) = network.connect(NATURE, shard, None).await {
                connection.request_within(packet, CONTROL_PATIENCE).await;
                connection.close();
            }
        });
    }

    /// A process is gone: the servers learn it sooner or later.
    pub(crate) fn lost_client(&self, process: Process) {
        let open = std::mem::take(&mut *self.open.borrow_mut());
        let (gone, kept): (Vec<_>, Vec<_>) = open.into_iter().partition(|(of, _)| *of == process);
        *self.open.borrow_mut() = kept;
        for (_, connection) in gone {
            connection.close();
        }
    }
}

impl Connection {
    pub(crate) async fn request(&self, packet: Packet) -> Answer {
        self.request_within(packet, PATIENCE).await
    }

    async fn request_within(&self, packet: Packet, patience: Micros) -> Answer {
        let engine = &self.engine;
        if self.broken.get() {
            return Answer::Lost { sent: false };
        }
        let latency = engine.between(50, 500);
        if engine.per_mille(self.trouble.get()) {
            let fate = engine.below(4);
            engine.log(|| format!("trouble {fate} for {packet:?}"));
            match fate {
                0 => {
                    self.close();
                    return Answer::Lost { sent: false };
                }
                1 => {}
                2 => self.deliver(Request::Packet(packet), latency),
                _ => self.deliver(Request::Packet(packet), engine.between(50 * MS, 4 * SECOND)),
            }
            if engine.per_mille(300) {
                engine.sleep(patience).await;
            } else {
                engine.sleep(engine.between(MS, 50 * MS)).await;
            }
            self.close();
            return Answer::Lost { sent: true };
        }
        self.deliver(Request::Packet(packet), latency);
        let answer = self.outbox.receive_until(Some(engine.now() + patience)).await;
        engine.sleep(engine.between(50, 500)).await;
        match answer {
            Some(Answer::Reply(reply)) => Answer::Reply(reply),
            Some(Answer::Lost { .. }) | None => {
                self.close();
                Answer::Lost { sent: true }
            }
        }
    }

    fn deliver(&self, request: Request, latency: Micros) {
        // In order, whatever each one's own time.
        let at = (self.engine.now() + latency).max(self.delivered.get() + 1);
        self.delivered.set(at);
        let (engine, inbox) = (self.engine.clone(), self.inbox.clone());
        self.engine.spawn(NATURE, async move {
            engine.sleep(at.saturating_sub(engine.now())).await;
            inbox.send(request);
        });
    }

    /// Closed by the client; a half-open one is noticed by the server much later.
    pub(crate) fn close(&self) {
        if self.broken.replace(true) {
            return;
        }
        let half_open = self.engine.per_mille(self.trouble.get());
        let (from, to) = if half_open { (SECOND, 3 * SECOND) } else { (50, 2 * MS) };
        self.deliver(Request::Close, self.engine.between(from, to));
    }
}
