//! Distributed transactions: anchor-last compensation, as pure state machines. Nothing here
//! does I/O, knows a clock or is async; a driver carries out commands and reports events.
//!
//! # The protocol in short
//!
//! The branches of a transaction stay open until COMMIT. Then every branch but one commits
//! its data together with a `branch` row and `rlock` rows, which keep other writers off
//! (*prepare*); when all have, the last shard, the *anchor*, commits its data together with
//! `gtx(xid, COMMITTED)` (*decide*). Whoever doubts inserts `gtx(xid, ABORTED)`: the primary
//! key lets one in, and that is the outcome. Branches of an aborted transaction are undone
//! from their binlog. `docs/decisions` records where this differs from the first sketch.
//!
//! # The parts, in reading order
//!
//! | module | what | stepped by |
//! |---|---|---|
//! | [`xid`], [`outcome`], [`rules`] | names, decisions and what a missing row means | |
//! | [`lock_key`] | what a branch locks and what a write must find free | sessions |
//! | [`commit`], [`coordinator`] | one commit, from COMMIT to the client's answer | a session |
//! | [`recovery`] | one transaction that somebody left | each proxy |
//! | [`forget`] | an incarnation's names, undecided ones, forgetting | one for each proxy |
//! | [`fencing`], [`sweep`] | a dead incarnation | the janitor |
//! | [`snapshots`] | whether snapshots of several shards show it whole | an `atomic` read |
//! | [`guard`] | whether writers check | a proxy that wants it moved; the janitor |
//! | [`barrier`] | the moment of a `strict` read | who reads, and who waits |
//! | [`sql`] | tables and packets | their drivers |
//!
//! # What a driver must see to
//!
//! - **One event for each command that has one**, bounded in time by the driver. What is not
//!   certain is reported as the uncertain variant: an answer that did not come is
//!   `BranchFate::Unknown`, `DecideFailure::Unknown`, `AbortAnswer::Unreachable`,
//!   `Settlement::Failed`. Only an error of a statement before COMMIT, or a packet of which no
//!   byte was written, is `Uncommitted`. An error of COMMIT itself is `Unknown`.
//! - **Rollback** of a connection that owes an answer, or whose packet failed half-way and
//!   cannot be rolled back, is closing it. A connection that still owes an answer at
//!   `Command::Finish` is closed too.
//! - **InsertAborted, KillAnchor, Settle, Check** never use the transaction's own
//!   connections, but control connections ([`sql::CONTROL_SESSION`]).
//! - **KillAnchor** kills one thread, after it has seen in the process list that the thread
//!   belongs to the incarnation's account, and not while it waits for a replica's
//!   acknowledgement: killing that would make visible what a failover loses.
//! - **Settle** is [`sql::fence_branch`]; on 1062 [`sql::settle_read`], the undoing, and
//!   [`sql::settle_end`], one local transaction. A writer that holds a row that must be
//!   undone is killed: it has written on rows that never were, and its own check would
//!   refuse it. `Stuck` rolls back and changes nothing.
//! - **Every write checks** ([`lock_key::LockCheck`]) while [`guard::GuardState::checks`],
//!   after it holds its row locks and before it commits: in its packet when it commits there
//!   ([`sql::check_and_commit`]), else from aside at COMMIT ([`sql::check_from_aside`]), and then
//!   only commits. What it meets is judged by [`outcome::write_verdict`].
//! - **Numbers**: a fresh [`xid::Incarnation`] from the metadata service for every lease,
//!   with an account of its own on the servers and [`sql::register`] run on each shard before
//!   the first write there. When the lease is over every coordinator gets `Event::Fenced`.
//! - **Ledger**: a commit begins with [`forget::Ledger::begin`] and ends with one of its
//!   events. `Ending::HandedOver` is no end: the process starts a [`recovery::Resolver`] for
//!   it, again and again, until that says Committed, Aborted, Stuck or Forgotten.
//! - **Replicas**: OK is said of a decision that somebody else wrote only after
//!   [`sql::truth`], which commits behind it.

pub mod xid;

pub mod outcome;
pub mod rules;

pub mod lock_key;

pub mod commit;
pub mod coordinator;

pub mod recovery;

pub mod forget;

pub mod fencing;
pub mod sweep;

pub mod guard;

pub mod barrier;

pub mod snapshots;

pub mod sql;
