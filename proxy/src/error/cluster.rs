//! Errors about shards, transactions and the cluster.

use super::number;
use super::{RetryClass, SqlError};

impl SqlError {
    /// A shard that cannot be reached: nothing of the statement was done there.
    pub fn shard_unreachable(shard: &str, reason: &str) -> Self {
        Self::new(
            1429,
            b"08001",
            "shard_unreachable",
            RetryClass::Statement,
            format!(
                "Shard {shard} cannot be reached: {reason}. Nothing was done there; statements \
                 for other shards go on. Try again when it is back (SHOW SHARDS)"
            ),
        )
    }

    /// A transaction over several shards has written what could not be undone if it must be.
    pub fn not_undoable(reason: &str, advice: &str) -> Self {
        Self::new(
            number::NOT_SUPPORTED,
            b"42000",
            "not_undoable",
            RetryClass::Never,
            format!(
                "A transaction that writes on several shards must be able to undo what it wrote: \
                 {reason}. {advice}"
            ),
        )
    }

    /// Whether another shard could be asked instead.
    pub fn is_unreachable_shard(&self) -> bool {
        self.metric == "shard_unreachable"
    }

    /// No shard is in the catalog.
    pub fn no_shards() -> Self {
        Self::new(
            1429,
            b"08001",
            "shard_unreachable",
            RetryClass::Statement,
            "No shard can be asked: the cluster has none. Add one with `shardline up` or              cluster.yaml"
                .into(),
        )
    }

    /// All connections of a shard's pool stayed busy.
    pub fn shard_busy(shard: &str, reason: &str) -> Self {
        Self::new(
            1040,
            b"08004",
            "shard_busy",
            RetryClass::Statement,
            format!(
                "Too many connections: shard {shard} is busy: {reason}. Nothing was done there; \
                 try again, or raise limits.backend_connections_max"
            ),
        )
    }

    /// A backend was lost after the statement was sent and outside a transaction.
    pub fn shard_lost(shard: &str, reason: &str, wrote: bool) -> Self {
        let (retry, consequence) = if wrote {
            (
                RetryClass::Unknown,
                "It is not known whether its change was made: look before sending it again",
            )
        } else {
            (RetryClass::Statement, "It changed nothing and may be sent again")
        };
        Self::new(
            1158,
            b"08S01",
            "shard_lost",
            retry,
            format!(
                "Lost connection to shard {shard} during the statement: {reason}. {consequence}"
            ),
        )
    }

    /// A backend was lost that held a part of the open transaction.
    pub fn transaction_lost(shard: &str, reason: &str) -> Self {
        Self::new(
            number::LOCK_DEADLOCK,
            b"40001",
            "transaction_lost",
            RetryClass::Transaction,
            format!(
                "Transaction rolled back: lost connection to shard {shard}: {reason}. Nothing of \
                 it remains; try restarting transaction"
            ),
        )
    }

    /// COMMIT was sent to the shard that was written, and no answer came.
    pub fn commit_unknown(shard: &str, reason: &str) -> Self {
        Self::new(
            1180,
            b"08007",
            "commit_unknown",
            RetryClass::Unknown,
            format!(
                "Got no answer to COMMIT from shard {shard}: {reason}. The transaction is either \
                 whole or absent there: look before running it again"
            ),
        )
    }

    /// The transaction was chosen to end a deadlock over several shards.
    pub fn deadlock() -> Self {
        Self::new(
            number::LOCK_DEADLOCK,
            b"40001",
            "deadlock",
            RetryClass::Transaction,
            "Deadlock found when trying to get lock; try restarting transaction".into(),
        )
    }

    /// A distributed transaction was aborted at COMMIT.
    pub fn transaction_aborted(xid: &str, why: &str) -> Self {
        Self::new(
            number::LOCK_DEADLOCK,
            b"40001",
            "transaction_aborted",
            RetryClass::Transaction,
            format!(
                "Transaction {xid} rolled back on all shards: {why}. Nothing of it remains; try \
                 restarting transaction"
            ),
        )
    }

    /// A shard that lacks what a transaction over several shards takes.
    pub fn shard_not_ready(shard: &str, reason: &str) -> Self {
        Self::not_supported(
            format!("shard {shard} takes no part in transactions over several shards: {reason}"),
            "change that on its server, or write on one shard in a transaction; this one was \
             rolled back",
        )
    }

    /// It is not known yet how a distributed transaction ended.
    pub fn outcome_unknown(xid: &str) -> Self {
        Self::new(
            1180,
            b"08007",
            "outcome_unknown",
            RetryClass::Unknown,
            format!(
                "Got no answer to COMMIT of transaction {xid}. It will be whole on all shards or \
                 absent on all: SHOW TRANSACTION STATUS '{xid}' tells which, once it is decided"
            ),
        )
    }

    /// A row that a statement wrote belongs to an undecided transaction; the statement was
    /// rolled back.
    pub fn locked_by_transaction(shard: &str) -> Self {
        Self::new(
            number::LOCK_WAIT_TIMEOUT,
            b"HY000",
            "locked_by_transaction",
            RetryClass::Statement,
            format!(
                "Lock wait timeout exceeded: a row on shard {shard} belongs to a transaction over \
                 several shards that is not decided yet. The statement was rolled back; try \
                 restarting transaction"
            ),
        )
    }

    /// The same at COMMIT: the transaction was rolled back.
    pub fn stands_on_undecided(shard: &str) -> Self {
        Self::rolled_back(
            "stands_on_undecided",
            &format!(
                "a row that it wrote or locked on shard {shard} belongs to a transaction over \
                 several shards that is not decided yet"
            ),
        )
    }

    /// Asking about, or resolving, a transaction did not work.
    pub fn not_resolved(reason: &str) -> Self {
        Self::new(
            1105,
            b"HY000",
            "not_resolved",
            RetryClass::Never,
            format!("{reason}. SHOW TRANSACTIONS lists those that are undecided or stuck"),
        )
    }

    /// An operation on the cluster was not done.
    pub fn operation(reason: &str, hint: Option<&str>) -> Self {
        let hint = hint.map_or_else(String::new, |hint| format!(". Hint: {hint}"));
        let message = format!("{}{hint}", reason.trim_end_matches('.'));
        Self::new(1105, b"HY000", "operation", RetryClass::Never, message)
    }

    /// Operations come as text.
    pub fn operation_not_prepared() -> Self {
        Self::not_supported(
            "tables and procedures of the database shardline are not there for prepared statements",
            "send the statement as text",
        )
    }

    /// More distributed transactions are undecided than a proxy keeps.
    pub fn too_many_undecided() -> Self {
        Self::rolled_back(
            "too_many_undecided",
            "too many transactions over several shards wait for their decision (SHOW TRANSACTIONS)",
        )
    }

    /// A transaction that was rolled back on all shards before it prepared anything.
    pub(super) fn rolled_back(kind: &'static str, why: &str) -> Self {
        Self::new(
            number::LOCK_DEADLOCK,
            b"40001",
            kind,
            RetryClass::Transaction,
            format!("Transaction rolled back: {why}. Try restarting transaction"),
        )
    }

    /// A transaction locks more than one branch may.
    pub fn too_many_locks(reason: &str) -> Self {
        Self::not_supported(reason, "COMMIT more often, or write fewer tables in one transaction")
    }

    /// The proxy may not serve: its lease has ended.
    pub fn no_lease() -> Self {
        Self::new(
            9101,
            b"08S01",
            "no_lease",
            RetryClass::Statement,
            "SL9101 this proxy has lost its lease from the metadata service and does not serve \
             until it has it back. Hint: connect to another proxy, or see `shardline status`"
                .into(),
        )
    }

    /// The metadata service did not take a change.
    pub fn metadata_unavailable(operation: &str, reason: &str) -> Self {
        Self::new(
            9102,
            b"HY000",
            "metadata_unavailable",
            RetryClass::Unknown,
            format!(
                "SL9102 {operation}: the metadata service did not answer: {reason}. Hint: \
                 statements on data go on; see `shardline status`, then try again"
            ),
        )
    }

    /// The sequence of a table gives no numbers.
    pub fn sequence_refused(reason: &str) -> Self {
        Self::new(
            1467,
            b"HY000",
            "sequence_refused",
            RetryClass::Never,
            format!("Failed to read auto-increment value from the cluster's sequence: {reason}"),
        )
    }

    /// The same error with where it happened and what else is so.
    #[must_use]
    pub fn on_shard(mut self, shard: &str, state: &str) -> Self {
        self.message.extend_from_slice(format!(" (on shard {shard}; {state})").as_bytes());
        self
    }
}
