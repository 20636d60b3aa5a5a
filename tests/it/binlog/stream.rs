//! A minimal reader of a server's binlog: everything from a position to the log's present end.

use anyhow::{Context, Result, bail};
use shardline_binlog::control::{Checksum, Rotate};
use shardline_binlog::request::{self, DumpFlags, StreamPacket};
use shardline_binlog::transaction::{Limits, Progress};
use shardline_binlog::{Body, Collector, Decoder, Event, Family, TableMap, Transaction};
use shardline_tests::{Server, server::account, sql};
use shardline_wire::client::{self, Address, Backend, ConnectOptions};
use shardline_wire::{Capabilities, ErrPacket};
use std::time::Duration;

/// A position in a server's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) file: String,
    pub(crate) offset: u32,
}

/// Where a server's log ends now.
pub(crate) async fn end(connection: &mut mysql_async::Conn, family: Family) -> Result<Position> {
    let statement = match family {
        Family::Mariadb => "SHOW MASTER STATUS",
        Family::Mysql => "SHOW BINARY LOG STATUS",
    };
    let rows = sql::rows(connection, statement).await?;
    let row = rows.first().context("the binlog is off")?;
    Ok(Position { file: row[0].clone(), offset: row[1].parse()? })
}

async fn log_in(server: &Server, family: Family) -> Result<Backend> {
    let account = account();
    let mut options = ConnectOptions::new(Address::Unix(server.socket().clone()), account.user);
    options.password = account.password;
    options.capabilities = Capabilities::CLIENT;
    let mut backend = client::connect(&options).await?;
    for statement in request::settings(family, Duration::from_secs(30)) {
        command(&mut backend, &[b"\x03", statement.as_bytes()].concat()).await?;
    }
    Ok(backend)
}

async fn command(backend: &mut Backend, payload: &[u8]) -> Result<()> {
    backend.connection.set_sequence(0);
    backend.connection.queue_packet(payload);
    backend.connection.flush().await?;
    let answer = backend.connection.read_packet().await?;
    match answer.first() {
        Some(0) => Ok(()),
        _ => bail!("not OK: {answer:?}"),
    }
}

/// Starts a stream by a dump command and decodes it up to the log's end. `server_id` must be the
/// stream's own.
async fn events(mut backend: Backend, server_id: u32, dump: &[u8]) -> Result<Vec<Event>> {
    command(&mut backend, &request::register(server_id, 0)).await?;
    backend.connection.set_sequence(0);
    backend.connection.queue_packet(dump);
    backend.connection.flush().await?;
    let mut decoder = Decoder::new(Checksum::Crc32);
    let mut events = Vec::new();
    loop {
        match StreamPacket::from_payload(backend.connection.read_packet().await?) {
            StreamPacket::Event(event) => events.push(decoder.decode(event)?),
            StreamPacket::End => return Ok(events),
            StreamPacket::Error(packet) => bail!("{:?}", ErrPacket::decode(&packet)?),
            StreamPacket::Unknown => bail!("a packet that is neither event nor end"),
        }
    }
}

const FLAGS: DumpFlags = DumpFlags { non_blocking: true, annotate_rows: true };

/// All events from a position on.
pub(crate) async fn read(
    server: &Server,
    family: Family,
    server_id: u32,
    from: &Position,
) -> Result<Vec<Event>> {
    let backend = log_in(server, family).await?;
    let dump = request::dump(server_id, FLAGS, &from.file, from.offset);
    events(backend, server_id, &dump).await
}

/// All events after a MariaDB's transactions.
pub(crate) async fn read_after(server: &Server, server_id: u32, gtids: &str) -> Result<Vec<Event>> {
    let mut backend = log_in(server, Family::Mariadb).await?;
    for statement in request::start_after(gtids).context("a list of ids")? {
        command(&mut backend, &[b"\x03", statement.as_bytes()].concat()).await?;
    }
    events(backend, server_id, &request::dump(server_id, FLAGS, "", 4)).await
}

/// All events of a MySQL but those of a set of transactions.
pub(crate) async fn read_except(
    server: &Server,
    server_id: u32,
    gtids: &str,
) -> Result<Vec<Event>> {
    let backend = log_in(server, Family::Mysql).await?;
    let dump = request::dump_gtid(server_id, FLAGS, &gtids.parse()?);
    events(backend, server_id, &dump).await
}

/// The transactions of some events.
pub(crate) fn transactions(
    events: Vec<Event>,
    wanted: &dyn Fn(&TableMap) -> bool,
) -> Result<(Vec<Transaction>, Option<Rotate>)> {
    let mut collector = Collector::new(Limits::default());
    let (mut found, mut file) = (Vec::new(), None);
    for event in events {
        match collector.push(event, wanted)? {
            Progress::None => {}
            Progress::File(rotate) => file = Some(rotate),
            Progress::Transaction(transaction) => found.push(transaction),
        }
    }
    Ok((found, file))
}

/// The table maps among events, those in payloads too.
pub(crate) fn table_maps(events: &[Event]) -> Vec<&TableMap> {
    let mut maps = Vec::new();
    for event in events {
        match &event.body {
            Body::TableMap(map) => maps.push(&**map),
            Body::Payload(inner) => maps.extend(table_maps(inner)),
            _ => {}
        }
    }
    maps
}
