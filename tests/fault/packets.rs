//! A million mutated packets, handshakes and commands, against a running proxy: it does not
//! panic, its memory stays flat, and a good client beside it notices nothing.

use crate::cluster_with_tables;
use anyhow::{Context, Result, ensure};
use shardline_base::Shutdown;
use shardline_tests::{Cluster, ClusterConfig, sql};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How many packets are sent in all.
const PACKETS: u64 = 1_000_000;
/// Packets after which memory is measured for the first time: pools and caches are full.
const WARM: u64 = 200_000;
/// How much memory may grow from then on, in KiB: mutated statements go on to fill the plan cache, which
/// has at most 32,768 plans of about 2 KiB.
const GROWTH_MAX_KIB: u64 = 80 * 1024;
/// Commands that one connection sends before its answers are awaited.
const COMMANDS_PER_CONNECTION: u64 = 40;
const WORKERS: u64 = 32;
/// A proxy that says nothing for so long waits for the rest of a packet with a wrong length.
const IDLE: Duration = Duration::from_millis(150);
/// One packet in so many keeps a wrong length.
const WRONG_LENGTHS: usize = 150;
/// Most packets must have been understood as packets: this share of them is answered.
const ANSWERED_MIN: u64 = PACKETS / 2;
/// The slowest that the good client may be answered.
const SLOWEST: Duration = Duration::from_secs(5);
const SEED: u64 = 0x5eed_0001;

/// xorshift64*: the same packets each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// A client's answer to the greeting: user `root`, no password, protocol 4.1.
fn handshake() -> Vec<u8> {
    // LONG_PASSWORD, LONG_FLAG, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION,
    // MULTI_STATEMENTS, MULTI_RESULTS, PS_MULTI_RESULTS, PLUGIN_AUTH, DEPRECATE_EOF.
    let capabilities: u32 = 0x0000_a205 | 0x0007_0000 | 0x0008_0000 | 0x0100_0000;
    let mut body = capabilities.to_le_bytes().to_vec();
    body.extend((1_u32 << 24).to_le_bytes());
    body.push(45);
    body.extend([0; 23]);
    body.extend(b"root\0");
    body.push(0);
    body.extend(b"mysql_native_password\0");
    packet(1, &body)
}

fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32;
    let mut bytes = length.to_le_bytes()[..3].to_vec();
    bytes.push(sequence);
    bytes.extend(body);
    bytes
}

/// Well-formed commands to begin from.
fn commands() -> Vec<Vec<u8>> {
    let query = |text: &str| [&[3][..], text.as_bytes()].concat();
    vec![
        query("SELECT * FROM d.t WHERE id = 5"),
        query("SELECT v, COUNT(*) FROM d.t GROUP BY v ORDER BY v LIMIT 3"),
        query("INSERT INTO d.t VALUES (1, 2), (3, 4) ON DUPLICATE KEY UPDATE v = 1"),
        query("UPDATE d.t SET v = 1 WHERE id IN (1, 2, 3)"),
        query("SELECT 'a\\'b', \"c\", `id`, x'4142', 0x41, 1.5e3 /* c */ FROM d.t -- end"),
        query("/*!50100 SELECT */ 1; SELECT 2; SHOW TABLES FROM d"),
        query("BEGIN"),
        query("ROLLBACK"),
        query("SET NAMES utf8mb4, @a = 1, sql_mode = 'ANSI_QUOTES'"),
        query("SHOW CREATE TABLE d.t"),
        query("EXPLAIN SHARDING SELECT * FROM d.t WHERE id = 1"),
        [&[0x16][..], b"SELECT v FROM d.t WHERE id = ?"].concat(),
        [&[0x16][..], b"INSERT INTO d.t (id, v) VALUES (?, ?)"].concat(),
        // Execute statement 1 with one BIGINT.
        vec![0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0],
        // Long data, reset, close, fetch.
        vec![0x18, 1, 0, 0, 0, 0, 0, b'x'],
        vec![0x1a, 1, 0, 0, 0],
        vec![0x19, 1, 0, 0, 0],
        vec![0x1c, 1, 0, 0, 0, 9, 0, 0, 0],
        // INIT_DB, FIELD_LIST, PING, STATISTICS, SET_OPTION, RESET_CONNECTION.
        [&[2][..], b"d"].concat(),
        [&[4][..], b"t\0%"].concat(),
        vec![0x0e],
        vec![0x09],
        vec![0x1b, 0, 0],
        vec![0x1f],
    ]
}

/// CHANGE_USER: a spoiled one ends the conversation, so each has one, at its end.
fn change_user() -> Vec<u8> {
    packet(0, &[&[0x11][..], b"root\0\0d\0\x2d\0mysql_native_password\0"].concat())
}

/// Spoils a packet: bits, bytes, lengths, order. The header is fair game, too.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(9) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at.max(4)),
            3 => bytes.insert(at, random.next() as u8),
            4 => {
                let from = random.below(bytes.len());
                let part = bytes[from..(from + 1 + random.below(16)).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            5 => {
                const EDGES: [u8; 6] = [0, 0x7f, 0x80, 0xfb, 0xfc, 0xff];
                bytes[at] = EDGES[random.below(EDGES.len())];
            }
            6 => {
                let length = (bytes.len() - 4) as u32 + random.below(3) as u32;
                bytes[..3].copy_from_slice(&length.to_le_bytes()[..3]);
            }
            7 => {
                bytes.remove(at);
            }
            _ => {
                let end = (at + 1 + random.below(8)).min(bytes.len());
                bytes[at..end].fill(random.next() as u8);
            }
        }
        if bytes.len() < 4 {
            bytes.resize(4, 0);
        }
    }
}

/// Puts the true length in front, so that the body is looked at.
fn true_length(bytes: &mut [u8]) {
    let length = (bytes.len() - 4) as u32;
    bytes[..3].copy_from_slice(&length.to_le_bytes()[..3]);
}

/// What one connection has sent and got back.
#[derive(Default)]
struct Count {
    sent: u64,
    answered: u64,
}

/// Finds the starts of answers in a stream of packets: those numbered 1.
#[derive(Default)]
struct Answers {
    header: Vec<u8>,
    body_left: usize,
    starts: u64,
}

impl Answers {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.body_left.min(bytes.len());
            (self.body_left, bytes) = (self.body_left - skipped, &bytes[skipped..]);
            while self.body_left == 0 && !bytes.is_empty() {
                self.header.push(bytes[0]);
                bytes = &bytes[1..];
                if let [low, middle, high, sequence] = self.header[..] {
                    self.body_left = u32::from_le_bytes([low, middle, high, 0]) as usize;
                    self.starts += u64::from(sequence == 1);
                    self.header.clear();
                }
            }
        }
    }
}

/// Sends packets on one connection. A refused or reset connection is the proxy's right; a
/// proxy that is gone is found by the good client.
async fn assault(address: SocketAddr, random: &mut Random, seeds: &[Vec<u8>]) -> Count {
    let mut count = Count::default();
    let Ok(mut stream) = TcpStream::connect(address).await else { return count };
    let mut buffer = vec![0; 16 * 1024];
    let Ok(Ok(1..)) = timeout(SLOWEST, stream.read(&mut buffer)).await else { return count };
    let mut bytes = Vec::new();
    if random.below(COMMANDS_PER_CONNECTION as usize) == 0 {
        bytes = handshake();
        mutate(&mut bytes, random);
        count.sent += 1;
    } else {
        bytes.extend(handshake());
        for number in 1..=COMMANDS_PER_CONNECTION {
            let mut spoiled = match number {
                COMMANDS_PER_CONNECTION => change_user(),
                _ => packet(0, &seeds[random.below(seeds.len())]),
            };
            mutate(&mut spoiled, random);
            // A wrong length ends the conversation; most packets should be understood
            // as packets, and be wrong inside.
            if random.below(WRONG_LENGTHS) != 0 {
                true_length(&mut spoiled);
                spoiled[3] = 0;
            }
            // A byte lost in front of a statement's number makes it COM_QUIT, which would
            // end most conversations early.
            if let Some(command @ 1) = spoiled.get_mut(4) {
                *command = 0x17;
            }
            bytes.extend(spoiled);
            count.sent += 1;
        }
        bytes.extend(packet(0, &[1]));
    }
    let mut answers = Answers::default();
    let (mut read, mut write) = stream.split();
    // Either side may end first, with an error or without: all are fair answers.
    let writing = async { write.write_all(&bytes).await.is_ok() };
    let reading = async {
        while let Ok(Ok(length @ 1..)) = timeout(IDLE, read.read(&mut buffer)).await {
            answers.take(&buffer[..length]);
        }
    };
    let both = async { tokio::join!(writing, reading) };
    timeout(SLOWEST * 4, both).await.ok();
    count.answered = answers.starts;
    count
}

/// Asks for one row over and over; returns the slowest answer.
async fn good_client(
    cluster: &Cluster,
    stop: Shutdown,
) -> Result<tokio::task::JoinHandle<Result<Duration>>> {
    let options = cluster.options(0);
    let mut client = sql::connect(options).await?;
    sql::run(
        &mut client,
        &["CREATE TABLE d.good (id INT NOT NULL PRIMARY KEY, v INT) SHARD BY HASH (id)"],
    )
    .await?;
    sql::run(&mut client, &["INSERT INTO d.good VALUES (1, 11), (2, 22), (3, 33)"]).await?;
    Ok(tokio::spawn(async move {
        let mut slowest = Duration::ZERO;
        while !stop.is_triggered() {
            let asked = Instant::now();
            let rows = sql::rows(&mut client, "SELECT v FROM d.good ORDER BY id");
            let rows = timeout(SLOWEST, rows).await.context("no answer")??;
            ensure!(rows == [["11"], ["22"], ["33"]], "wrong rows: {rows:?}");
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(slowest)
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_mutated_packets() -> Result<()> {
    let config = ClusterConfig { shards: 2, meta: 1, proxies: 1, ..ClusterConfig::default() };
    let mut cluster = cluster_with_tables(config).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, cluster.proxies[0].port()));
    let stop = Shutdown::new();
    let (sent, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let good = good_client(&cluster, stop.clone()).await?;
    let seeds = Arc::new(commands());
    let begun = Instant::now();
    let workers: Vec<_> = (1..=WORKERS)
        .map(|number| {
            let (sent, answered, seeds) = (sent.clone(), answered.clone(), seeds.clone());
            tokio::spawn(async move {
                let mut random = Random(SEED.wrapping_mul(number * 2 + 1));
                while sent.load(Ordering::Relaxed) < PACKETS {
                    let count = assault(address, &mut random, &seeds).await;
                    sent.fetch_add(count.sent, Ordering::Relaxed);
                    answered.fetch_add(count.answered, Ordering::Relaxed);
                    if count.sent == 0 {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            })
        })
        .collect();
    let mut warm_kib = None;
    while !workers.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let proxy = &mut cluster.proxies[0].process;
        proxy.check_running()?;
        if warm_kib.is_none() && sent.load(Ordering::Relaxed) > WARM {
            warm_kib = Some(proxy.resident_kib()?);
        }
        ensure!(!good.is_finished(), "the good client failed: {:?}", good.await);
        ensure!(begun.elapsed() < Duration::from_secs(900), "too slow: {sent:?} packets");
    }
    stop.trigger();
    let slowest = good.await??;

    let proxy = &cluster.proxies[0].process;
    let (warm, end) = (warm_kib.context("never warm")?, proxy.resident_kib()?);
    println!(
        "{} packets, {} answers in {:.0} s, {warm} KiB -> {end} KiB, slowest good answer {slowest:?}, seed {SEED:#x}",
        sent.load(Ordering::Relaxed),
        answered.load(Ordering::Relaxed),
        begun.elapsed().as_secs_f32()
    );
    let answered = answered.load(Ordering::Relaxed);
    ensure!(answered > ANSWERED_MIN, "only {answered} packets were answered");
    let log = proxy.log_text();
    let panic = log.lines().find(|line| line.contains("panicked"));
    ensure!(panic.is_none(), "{panic:?}");
    ensure!(end < warm + GROWTH_MAX_KIB, "memory grew from {warm} to {end} KiB");
    Ok(())
}
