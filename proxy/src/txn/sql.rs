//! The `_shardline` tables and every packet on them, as SQL text. The driver sends a packet
//! as one COM_QUERY with multi-statements and reads its answers in order: a server stops at
//! the first error, so nothing behind a refused statement runs.
//!
//! Prepare and decide run in the middle of a client's transaction, under whatever that
//! session has set. So: names are qualified, texts are hexadecimal, nothing relies on
//! `sql_mode` (what must fail fails by a duplicate key or an overflow, never by a NULL),
//! COMMIT says NO CHAIN NO RELEASE against `completion_type`, a result set has a LIMIT
//! against `sql_select_limit`. And nothing there takes a gap lock that outlives the packet,
//! or one that many packets would hold in turn: inserts of locks would starve behind it.
//! The other packets run on connections of our own, with [`CONTROL_SESSION`].

use super::{
    forget::{BATCH_MAX, Committed},
    lock_key::{LockCheck, LockKey, LockSet},
    outcome::{ALL, Decision},
    recovery::SCAN_ROWS_MAX,
    xid::{Incarnation, Xid},
};
use shardline_model::id::ShardId;
use std::fmt::Write as _;

/// The most shards of one distributed transaction: what `participants` holds.
pub const PARTICIPANTS_MAX: usize = 256;

/// The version of the tables that this program needs.
pub const SCHEMA_VERSION: u32 = 2;

/// What a control connection is set to. READ COMMITTED: deletes of rows that are gone take
/// no gap locks. The short wait is what [`super::outcome::AbortAnswer::Waiting`] is told by.
pub const CONTROL_SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION innodb_lock_wait_timeout = 1, SESSION autocommit = 1, \
     SESSION sql_mode = 'STRICT_ALL_TABLES', SESSION time_zone = '+00:00'",
];

/// Reads the version of the tables; no row, or error 1146 or 1049, means none.
pub const READ_VERSION: &str =
    "SELECT MAX(version) FROM _shardline.schema_version HAVING MAX(version) IS NOT NULL";

/// Makes the tables of a version from those of the version before. Each statement may be
/// repeated, so a set-up that was interrupted is just run again. DDL commits by itself.
///
/// - Keys are `BINARY(16)`: compared by bytes, one column for `IN` lists and ranges, and the
///   rows of one incarnation or one lock space are one range of the primary key.
/// - `gtx`, `branch`: `participants` are the branches' shard ids, 4 bytes each, big-endian.
/// - `gtx.confirmed` is raised before a COMMITTED row that somebody else wrote is believed:
///   that COMMIT waits for the replica, so what it stands on is durable too.
/// - `branch.locks` repeats its `rlock` keys, so that forgetting deletes by primary key and
///   `rlock` needs no second index, which each prepare would pay for.
/// - `branch.anchor_thread` is whom to kill when the decision hangs uncommitted.
/// - The index by age is for the scan. Times are each server's own and only say when to look.
/// - `incarnation` has a row before its account is used, and `dead` is set before the account is locked
///   and its connections are killed: see `distributed::fence`.
/// - `lock_wait` is used on the cluster's first shard: what proxies tell each other of waits that may
///   be deadlocks. `places` is text, `shard:connection,...`.
pub const SETUP: [&[&str]; SCHEMA_VERSION as usize] = [FIRST_TABLES, LOCK_WAITS];

const FIRST_TABLES: &[&str] = &[
    "CREATE DATABASE IF NOT EXISTS _shardline",
    "CREATE TABLE IF NOT EXISTS _shardline.schema_version (\
         version INT UNSIGNED NOT NULL PRIMARY KEY) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS _shardline.gtx (\
         xid BINARY(16) NOT NULL PRIMARY KEY, \
         state TINYINT UNSIGNED NOT NULL, \
         participants VARBINARY(1024) NOT NULL, \
         decided_at DATETIME(6) NOT NULL, \
         confirmed INT UNSIGNED NOT NULL DEFAULT 0) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS _shardline.branch (\
         xid BINARY(16) NOT NULL PRIMARY KEY, \
         state TINYINT UNSIGNED NOT NULL, \
         anchor INT UNSIGNED NOT NULL, \
         participants VARBINARY(1024) NOT NULL, \
         anchor_thread BIGINT UNSIGNED NOT NULL, \
         locks BLOB NOT NULL, \
         prepared_at DATETIME(6) NOT NULL, \
         KEY by_age (state, prepared_at)) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS _shardline.rlock (\
         lock_key BINARY(16) NOT NULL PRIMARY KEY, \
         xid BINARY(16) NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS _shardline.incarnation (\
         id BIGINT UNSIGNED NOT NULL PRIMARY KEY, \
         dead TINYINT UNSIGNED NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS _shardline.forgotten (\
         incarnation BIGINT UNSIGNED NOT NULL PRIMARY KEY, \
         below BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB",
    "INSERT IGNORE INTO _shardline.schema_version VALUES (1)",
];

const LOCK_WAITS: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS _shardline.lock_wait (\
         incarnation BIGINT UNSIGNED NOT NULL, \
         number BIGINT UNSIGNED NOT NULL, \
         wait BIGINT UNSIGNED NOT NULL, \
         victim BIGINT UNSIGNED NOT NULL, \
         begun_us BIGINT NOT NULL, \
         seen_us BIGINT NOT NULL, \
         places VARBINARY(4096) NOT NULL, \
         PRIMARY KEY (incarnation, number)) ENGINE=InnoDB",
    "INSERT IGNORE INTO _shardline.schema_version VALUES (2)",
];

/// `branch.state`: committed, awaiting the decision.
pub const PREPARED: u8 = 1;
/// `branch.state`: keeps a branch of an aborted transaction from committing later.
pub const FENCED: u8 = 2;
/// A branch that could not be undone, in the local transaction by which an operator ends it: for
/// those who read the binlog.
pub const RESOLVED: u8 = 3;

/// `gtx.state`.
pub fn state_number(decision: Decision) -> u8 {
    match decision {
        Decision::Committed => 1,
        Decision::Aborted => 2,
    }
}

/// From `gtx.state`; None for what no version has written.
pub fn decision_of(state: u8) -> Option<Decision> {
    match state {
        1 => Some(Decision::Committed),
        2 => Some(Decision::Aborted),
        _ => None,
    }
}

/// Ends a client's transaction, whatever its session says of `completion_type`.
pub const COMMIT: &str = "COMMIT AND NO CHAIN NO RELEASE";

/// The same for what is given up; a plain ROLLBACK would begin anew under CHAIN.
pub const ROLLBACK: &str = "ROLLBACK AND NO CHAIN NO RELEASE";

/// One COM_QUERY of several statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    sql: String,
    kinds: Vec<Part>,
}

/// What a statement of a packet is; its number of the answer tells what an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// BEGIN and other bookkeeping.
    Plain,
    /// Inserts lock rows: 1062 means that another transaction has one of them.
    Lock,
    /// Inserts the row that decides: 1062 means that there is one (a decision, a fence), or
    /// that it is forgotten.
    Decisive,
    /// A check: 1690 means that a lock was met.
    Check,
    /// COMMIT: an error, or no answer, means that it may have happened.
    Commit,
}

impl Packet {
    /// The packet with one more statement.
    #[must_use]
    pub fn then(mut self, part: Part, sql: &str) -> Self {
        if !self.sql.is_empty() {
            self.sql.push_str("; ");
        }
        self.sql.push_str(sql);
        self.kinds.push(part);
        self
    }

    /// The text.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// What is answered, in order.
    pub fn parts(&self) -> &[Part] {
        &self.kinds
    }
}

/// Who a packet is about.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The transaction.
    pub xid: Xid,
    /// Its anchor.
    pub anchor: ShardId,
    /// Its branches, at most [`PARTICIPANTS_MAX`].
    pub branches: &'a [ShardId],
}

/// Before an incarnation's first write on a shard, with its account.
pub fn register(incarnation: Incarnation) -> String {
    format!("INSERT IGNORE INTO _shardline.incarnation (id, dead) VALUES ({}, 0)", incarnation.0)
}

/// The last step of fencing.
pub fn mark_dead(incarnation: Incarnation) -> String {
    let id = incarnation.0;
    format!(
        "INSERT INTO _shardline.incarnation (id, dead) VALUES ({id}, 1) ON DUPLICATE KEY UPDATE dead = 1"
    )
}

/// Prepare, on the branch's own connection: looks for locks of others, takes over those of committed
/// transactions, inserts its own, inserts the branch row, commits all of it with the data.
pub fn prepare(
    names: Names<'_>,
    anchor_thread: u64,
    check: Option<&LockCheck>,
    locks: &LockSet,
    freed: &[Xid],
) -> Packet {
    let mut packet = looking(check);
    if !locks.is_empty() {
        let xid = hex(&names.xid.to_bytes());
        let mut sql = "INSERT INTO _shardline.rlock (lock_key, xid) VALUES ".to_owned();
        for (at, key) in locks.keys().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let _ = write!(sql, "{comma}({}, {xid})", hex(&key.0));
        }
        if !freed.is_empty() {
            // In place: deleting what somebody else has just deleted would lock the gap.
            let xids = list(freed.iter().map(|xid| xid.to_bytes()));
            let _ = write!(
                sql,
                " ON DUPLICATE KEY UPDATE xid = \
                 IF(xid IN ({xids}), {xid}, 18446744073709551615 + LENGTH(xid))"
            );
        }
        packet = packet.then(Part::Lock, &sql);
    }
    let row = format!(
        "{}, {PREPARED}, {}, {}, {anchor_thread}, {}, UTC_TIMESTAMP(6)",
        hex(&names.xid.to_bytes()),
        names.anchor.0,
        participants(names.branches),
        hex(&locks.to_bytes()),
    );
    let columns = "xid, state, anchor, participants, anchor_thread, locks, prepared_at";
    let sql = format!("INSERT INTO _shardline.branch ({columns}) VALUES ({row})");
    packet.then(Part::Decisive, &sql).then(Part::Commit, COMMIT)
}

/// Decide, on the anchor's own connection, unless it stands on locks of others.
pub fn decide(names: Names<'_>, check: Option<&LockCheck>) -> Packet {
    let row = gtx_row(names, Decision::Committed);
    let sql = format!("INSERT INTO _shardline.gtx ({GTX_COLUMNS}) VALUES ({row})");
    looking(check).then(Part::Decisive, &sql).then(Part::Commit, COMMIT)
}

/// The end of a transaction that wrote on one shard, unless it stands on locks of others.
pub fn commit_unless_locked(check: &LockCheck) -> Packet {
    looking(Some(check)).then(Part::Commit, COMMIT)
}

/// A packet that begins with a check, where there is something to look for.
fn looking(check: Option<&LockCheck>) -> Packet {
    match check {
        Some(check) if !check.is_empty() => {
            Packet::default().then(Part::Check, &check_or_fail(check))
        }
        Some(_) | None => Packet::default(),
    }
}

/// The end of a participant that was only read.
pub fn end_reader() -> Packet {
    Packet::default().then(Part::Commit, COMMIT)
}

/// What is given up.
pub fn roll_back() -> Packet {
    Packet::default().then(Part::Plain, ROLLBACK)
}

/// Abort, on a control connection to the anchor. OK: inserted. 1062: read [`truth`]. 1205:
/// somebody holds the row uncommitted. Refused below the watermark: a transaction that is
/// finished and forgotten is not decided again.
pub fn abort(names: Names<'_>) -> Packet {
    let row = gtx_row(names, Decision::Aborted);
    let Xid { incarnation, counter } = names.xid;
    let sql = format!(
        "INSERT INTO _shardline.gtx ({GTX_COLUMNS}) SELECT {row} UNION ALL SELECT {row} \
         FROM _shardline.forgotten WHERE incarnation = {} AND below > {counter} LOCK IN SHARE MODE",
        incarnation.0
    );
    Packet::default().then(Part::Decisive, &sql)
}

/// After 1062 from [`abort`], on the same connection: makes sure that the row is durable,
/// then reads it as [`read_decision`] does.
pub fn truth(xid: Xid) -> Packet {
    let key = hex(&xid.to_bytes());
    let confirm = format!("UPDATE _shardline.gtx SET confirmed = confirmed + 1 WHERE xid = {key}");
    Packet::default().then(Part::Commit, &confirm).then(Part::Plain, &read_decision(xid))
}

/// One row: `gtx.state` or NULL, `forgotten.below` or NULL, in one snapshot.
pub fn read_decision(xid: Xid) -> String {
    format!("{} LIMIT 1", decision_row(xid))
}

/// As [`read_decision`], a row for each in this order.
pub fn read_decisions(xids: &[Xid]) -> String {
    let rows: Vec<_> = xids.iter().map(|xid| decision_row(*xid)).collect();
    format!("{} LIMIT {}", rows.join(" UNION ALL "), rows.len())
}

fn decision_row(xid: Xid) -> String {
    let (key, incarnation) = (hex(&xid.to_bytes()), xid.incarnation.0);
    format!(
        "SELECT (SELECT state FROM _shardline.gtx WHERE xid = {key}), \
         (SELECT below FROM _shardline.forgotten WHERE incarnation = {incarnation})"
    )
}

/// The first step of settling a branch, on a control connection. OK: it had not committed,
/// and now never will. 1062: [`settle_read`] tells. 1205: the branch is just committing.
pub fn fence_branch(names: Names<'_>) -> String {
    format!(
        "INSERT INTO _shardline.branch \
         (xid, state, anchor, participants, anchor_thread, locks, prepared_at) \
         VALUES ({}, {FENCED}, {}, {}, 0, '', UTC_TIMESTAMP(6))",
        hex(&names.xid.to_bytes()),
        names.anchor.0,
        participants(names.branches),
    )
}

/// The second: locks the branch row. One row (state, locks), or none: it was undone by
/// somebody else. PREPARED: undo its changes, then [`settle_end`]; else ROLLBACK.
pub fn settle_read(xid: Xid) -> Packet {
    let key = hex(&xid.to_bytes());
    let sql = format!("SELECT state, locks FROM _shardline.branch WHERE xid = {key} FOR UPDATE");
    Packet::default().then(Part::Plain, "BEGIN").then(Part::Plain, &sql)
}

/// Before [`settle_end`] of a branch that ends as an operator has said.
pub fn note_resolved(xid: Xid) -> String {
    let key = hex(&xid.to_bytes());
    format!("UPDATE _shardline.branch SET state = {RESOLVED} WHERE xid = {key}")
}

/// The last: the locks that are still its own, the row, COMMIT, all with the undone rows.
pub fn settle_end(xid: Xid, locks: &LockSet) -> Packet {
    let mut packet = Packet::default();
    if !locks.is_empty() {
        packet = packet.then(Part::Plain, &delete_locks(locks.keys(), [xid]));
    }
    let sql = format!("DELETE FROM _shardline.branch WHERE xid = {}", hex(&xid.to_bytes()));
    packet.then(Part::Plain, &sql).then(Part::Commit, "COMMIT")
}

/// Forget committed branches of one shard, at most [`BATCH_MAX`]: only locks that still
/// carry the xid of one of them, since a later writer may have taken some over.
pub fn forget_branches(branches: &[(Xid, LockSet)]) -> Packet {
    debug_assert!(branches.len() <= BATCH_MAX);
    let xids = || branches.iter().map(|(xid, _)| *xid);
    let mut packet = Packet::default().then(Part::Plain, "BEGIN");
    if branches.iter().any(|(_, locks)| !locks.is_empty()) {
        let keys = branches.iter().flat_map(|(_, locks)| locks.keys());
        packet = packet.then(Part::Plain, &delete_locks(keys, xids()));
    }
    let sql = format!(
        "DELETE FROM _shardline.branch WHERE xid IN ({}) AND state = {PREPARED}",
        list(xids().map(Xid::to_bytes))
    );
    packet.then(Part::Plain, &sql).then(Part::Plain, COUNT_FORGETTING).then(Part::Commit, "COMMIT")
}

/// What [`forget_branches`] leaves behind, so that snapshots on both sides of it can be told
/// apart. No incarnation has the number 0. The last before COMMIT, since all proxies' batches
/// on the shard wait for one another here.
const COUNT_FORGETTING: &str = "INSERT INTO _shardline.forgotten (incarnation, below) VALUES (0, 1) \
     ON DUPLICATE KEY UPDATE below = below + 1";

/// What `txn::snapshots` compares, in one statement and so of one moment. Rows of (1, xid, anchor,
/// NULL, participants): prepared; (2, xid, NULL, NULL, participants): committed; (3, NULL,
/// incarnation, below, NULL): a mark.
pub fn show() -> String {
    let committed = state_number(Decision::Committed);
    format!(
        "SELECT 1, xid, anchor, NULL, participants FROM _shardline.branch WHERE state = {PREPARED} \
         UNION ALL SELECT 2, xid, NULL, NULL, participants FROM _shardline.gtx \
         WHERE state = {committed} UNION ALL SELECT 3, NULL, incarnation, below, NULL \
         FROM _shardline.forgotten LIMIT {SHOWN_MAX}"
    )
}

/// How many rows [`show`] has at most; when there are as many, there may be more.
pub const SHOWN_MAX: usize = 200_000;

/// Forget the decisions of one anchor and raise the watermark, both or neither.
pub fn forget_decisions(incarnation: Incarnation, xids: &[Xid], below: u64) -> Packet {
    let sql = format!(
        "DELETE FROM _shardline.gtx WHERE xid IN ({}) AND state = {}",
        list(xids.iter().map(|xid| xid.to_bytes())),
        state_number(Decision::Committed)
    );
    Packet::default()
        .then(Part::Plain, "BEGIN")
        .then(Part::Plain, &raise_watermark(incarnation, below))
        .then(Part::Plain, &sql)
        .then(Part::Commit, "COMMIT")
}

/// Take away what is left of a dead incarnation: tombstones, decisions, fence rows.
pub fn sweep(incarnation: Incarnation) -> Packet {
    let range = range_of(incarnation);
    Packet::default()
        .then(Part::Plain, "BEGIN")
        .then(Part::Plain, &raise_watermark(incarnation, ALL))
        .then(Part::Plain, &format!("DELETE FROM _shardline.gtx WHERE {range}"))
        .then(
            Part::Plain,
            &format!("DELETE FROM _shardline.branch WHERE {range} AND state = {FENCED}"),
        )
        .then(Part::Commit, "COMMIT")
}

/// How many branches of an incarnation are not settled: one row, one number.
pub fn count_branches(incarnation: Incarnation) -> String {
    let range = range_of(incarnation);
    format!("SELECT COUNT(*) FROM _shardline.branch WHERE {range} AND state = {PREPARED}")
}

/// What keeps a guard on: one row, one number.
pub fn count_left() -> String {
    format!(
        "SELECT (SELECT COUNT(*) FROM _shardline.branch WHERE state = {PREPARED}) \
         + (SELECT COUNT(*) FROM _shardline.rlock)"
    )
}

/// The scan for branches of others: xid, anchor, participants, anchor_thread, locks; the
/// oldest first. A client may have set its clock (`SET timestamp`), so a time in the future
/// counts as old; the worst that comes of it is a commit that is aborted.
pub fn scan() -> String {
    format!(
        "SELECT xid, anchor, participants, anchor_thread, locks FROM _shardline.branch \
         WHERE state = {PREPARED} AND (prepared_at < UTC_TIMESTAMP(6) - INTERVAL 2 SECOND \
         OR prepared_at > UTC_TIMESTAMP(6) + INTERVAL 2 SECOND) \
         ORDER BY prepared_at LIMIT {SCAN_ROWS_MAX}"
    )
}

/// The check of one write, in the packet that also commits it: an error 1690 when a lock is
/// there, before COMMIT is reached; an empty result otherwise. A plain read, which locks nothing: so
/// the transaction must be READ COMMITTED, or have opened no snapshot yet, or it may not see what is
/// committed by now.
pub fn check_or_fail(check: &LockCheck) -> String {
    let condition = condition(check);
    // An overflow is an error under every sql_mode, and is only met when there is a row.
    format!("SELECT {} + LENGTH(xid) FROM _shardline.rlock WHERE {condition} LIMIT 1", u64::MAX)
}

/// The check as a control connection asks it, while the writer's own connection holds its
/// row locks: xid and anchor of each transaction that holds one; NULL for one that has just
/// ended.
pub fn check_from_aside(check: &LockCheck) -> String {
    let condition = condition(check);
    format!(
        "SELECT held.xid, branch.anchor FROM (SELECT DISTINCT xid FROM _shardline.rlock \
         WHERE {condition} LIMIT {HOLDERS_MAX}) held \
         LEFT JOIN _shardline.branch ON branch.xid = held.xid LIMIT {HOLDERS_MAX}"
    )
}

/// How many transactions a check names; when there are as many, there may be more.
pub const HOLDERS_MAX: usize = 256;

/// The server's "BIGINT value is out of range": a check has met a lock.
pub const OUT_OF_RANGE: u16 = 1690;

/// The end of a single-shard write outside a transaction, behind BEGIN and the statement: the
/// texts of its warnings, which the check would clear; the check; COMMIT. When a part fails,
/// [`ROLLBACK`] is still to be sent.
pub fn check_and_commit(check: &LockCheck) -> Packet {
    Packet::default()
        .then(Part::Plain, "SHOW WARNINGS LIMIT 64")
        .then(Part::Check, &check_or_fail(check))
        .then(Part::Commit, COMMIT)
}

/// The transactions of a forget batch as [`forget_branches`] takes them, for one shard.
pub fn branches_on(shard: ShardId, batch: &[Committed]) -> Vec<(Xid, LockSet)> {
    let all = batch.iter().flat_map(|one| one.branches.iter().map(move |branch| (one.xid, branch)));
    all.filter(|(_, (on, _))| *on == shard).map(|(xid, (_, locks))| (xid, locks.clone())).collect()
}

/// `participants` as read back; None when it is not what a packet wrote.
pub fn participants_of(bytes: &[u8]) -> Option<Vec<ShardId>> {
    let (ids, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| ids.iter().map(|id| ShardId(u32::from_be_bytes(*id))).collect())
}

const GTX_COLUMNS: &str = "xid, state, participants, decided_at";

fn gtx_row(names: Names<'_>, decision: Decision) -> String {
    let (xid, state) = (hex(&names.xid.to_bytes()), state_number(decision));
    format!("{xid}, {state}, {}, UTC_TIMESTAMP(6)", participants(names.branches))
}

fn raise_watermark(incarnation: Incarnation, below: u64) -> String {
    let id = incarnation.0;
    format!(
        "INSERT INTO _shardline.forgotten (incarnation, below) VALUES ({id}, {below}) \
         ON DUPLICATE KEY UPDATE below = GREATEST(below, {below})"
    )
}

fn delete_locks(
    keys: impl IntoIterator<Item = LockKey>,
    xids: impl IntoIterator<Item = Xid>,
) -> String {
    let keys = list(keys.into_iter().map(|key| key.0));
    let xids = list(xids.into_iter().map(Xid::to_bytes));
    format!("DELETE FROM _shardline.rlock WHERE lock_key IN ({keys}) AND xid IN ({xids})")
}

fn range_of(incarnation: Incarnation) -> String {
    let bound = |counter| hex(&Xid { incarnation, counter }.to_bytes());
    format!("xid BETWEEN {} AND {}", bound(0), bound(u64::MAX))
}

fn condition(check: &LockCheck) -> String {
    let mut condition = String::new();
    if !check.keys.is_empty() {
        let _ = write!(condition, "lock_key IN ({})", list(check.keys.iter().map(|key| key.0)));
    }
    for (first, last) in &check.spaces {
        let or = if condition.is_empty() { "" } else { " OR " };
        let _ = write!(condition, "{or}lock_key BETWEEN {} AND {}", hex(&first.0), hex(&last.0));
    }
    // A statement that touches nothing meets nothing.
    if condition.is_empty() { "1 = 0".to_owned() } else { condition }
}

fn participants(shards: &[ShardId]) -> String {
    debug_assert!(shards.len() <= PARTICIPANTS_MAX);
    hex(&shards.iter().flat_map(|shard| shard.0.to_be_bytes()).collect::<Vec<_>>())
}

fn list(keys: impl IntoIterator<Item = [u8; 16]>) -> String {
    keys.into_iter().map(|key| hex(&key)).collect::<Vec<_>>().join(", ")
}

/// Bytes as a literal that no setting of a session reads otherwise.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("x'");
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\'');
    text
}
