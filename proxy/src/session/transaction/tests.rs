//! The machine of a session's transaction.

use super::*;

const S1: ShardId = ShardId(1);
const S2: ShardId = ShardId(2);
const INSIDE: Answer = Answer { in_transaction: true, failed: false };
const OUTSIDE: Answer = Answer { in_transaction: false, failed: false };

fn preamble(transaction: &Transaction, shard: ShardId) -> Vec<String> {
    let statements = transaction.preamble(shard);
    statements.into_iter().map(|sql| String::from_utf8(sql).unwrap()).collect()
}

#[test]
fn autocommit_statements_release_their_connection() {
    let mut transaction = Transaction::default();
    assert!(preamble(&transaction, S1).is_empty());
    assert_eq!(transaction.answered(S1, Access::WRITE, OUTSIDE), Next::Release);
    assert!(!transaction.is_open());
}

#[test]
fn begin_travels_before_the_first_statement_only() {
    let mut transaction = Transaction::default();
    transaction.begin(false, false);
    assert!(transaction.is_open());
    assert_eq!(preamble(&transaction, S1), ["START TRANSACTION"]);
    assert_eq!(transaction.answered(S1, Access::READ, INSIDE), Next::Hold);
    assert!(preamble(&transaction, S1).is_empty());
    assert_eq!(preamble(&transaction, S2), ["START TRANSACTION"]);
}

#[test]
fn a_shard_that_joins_late_gets_the_savepoints() {
    let mut transaction = Transaction::default();
    transaction.begin(true, true);
    transaction.savepoint("a").unwrap();
    transaction.savepoint("b`").unwrap();
    transaction.savepoint("A").unwrap();
    let expected = [
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        "SAVEPOINT `b```",
        "SAVEPOINT `A`",
    ];
    assert_eq!(preamble(&transaction, S1), expected);
}

#[test]
fn a_second_written_shard_makes_it_a_distributed_one() {
    let mut transaction = Transaction::default();
    transaction.begin(false, false);
    assert!(!transaction.spreads_to(S1));
    transaction.answered(S1, Access::WRITE, INSIDE);
    assert!(transaction.spreads_to(S2) && !transaction.spreads_to(S1));
    transaction.answered(S2, Access::WRITE, INSIDE);
    let finish = transaction.finish(Verb::Commit, Chain::No);
    assert_eq!(finish.writers.as_slice(), [S1, S2]);
}

#[test]
fn a_statements_own_transaction_is_not_the_clients() {
    let mut transaction = Transaction::default();
    transaction.set_next("READ WRITE").unwrap();
    transaction.begin_statement();
    assert!(!transaction.is_open() && transaction.is_transactional());
    assert_eq!(preamble(&transaction, S1), ["START TRANSACTION READ WRITE"]);
    transaction.answered(S1, Access::WRITE, INSIDE);
    transaction.finish(Verb::Commit, Chain::No);
    assert!(!transaction.is_transactional());
}

#[test]
fn rolling_back_to_a_savepoint_before_the_first_write_frees_the_writer() {
    let mut transaction = Transaction::default();
    transaction.begin(false, false);
    transaction.savepoint("a").unwrap();
    transaction.answered(S1, Access::WRITE, INSIDE);
    transaction.rollback_to("a").unwrap();
    assert!(!transaction.spreads_to(S2));
    transaction.release_savepoint("a").unwrap();
    assert_eq!(transaction.rollback_to("a").unwrap_err().number, 1305);
}

#[test]
fn commit_names_readers_and_the_writer() {
    let mut transaction = Transaction::default();
    transaction.begin(false, false);
    transaction.answered(S2, Access::READ, INSIDE);
    transaction.answered(S1, Access::WRITE, INSIDE);
    let finish = transaction.finish(Verb::Commit, Chain::No);
    assert_eq!(finish.writers.as_slice(), [S1]);
    assert_eq!(finish.readers.as_slice(), [S2]);
    assert!(!transaction.is_open());
}

#[test]
fn chain_keeps_the_characteristics() {
    let mut transaction = Transaction::default();
    transaction.set_next("isolation level  read committed").unwrap();
    transaction.begin(true, false);
    transaction.finish(Verb::Commit, Chain::Yes);
    assert_eq!(
        preamble(&transaction, S1),
        ["SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION READ ONLY"]
    );
    assert!(transaction.set_next("READ WRITE").is_err());
}

#[test]
fn set_transaction_reaches_the_next_autocommit_statement_only() {
    let mut transaction = Transaction::default();
    transaction.set_next("ISOLATION LEVEL SERIALIZABLE, READ ONLY").unwrap();
    let expected = ["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY"];
    assert_eq!(preamble(&transaction, S1), expected);
    transaction.answered(S1, Access::READ, OUTSIDE);
    assert!(preamble(&transaction, S1).is_empty());
}

#[test]
fn without_autocommit_the_server_says_when_a_transaction_is_open() {
    let mut transaction = Transaction::default();
    assert_eq!(transaction.set_autocommit(false), None);
    assert_eq!(transaction.answered(S1, Access::READ, OUTSIDE), Next::Release);
    assert!(!transaction.is_open());
    assert_eq!(transaction.answered(S1, Access::WRITE, INSIDE), Next::Hold);
    assert!(transaction.is_open());
    assert_eq!(transaction.answered(S2, Access::READ, OUTSIDE), Next::Release);
    let finish = transaction.set_autocommit(true).unwrap();
    assert_eq!((finish.verb, finish.writers.as_slice()), (Verb::Commit, [S1].as_slice()));
}

#[test]
fn a_deadlock_on_one_shard_rolls_the_others_back() {
    let mut transaction = Transaction::default();
    transaction.begin(false, false);
    transaction.answered(S1, Access::READ, INSIDE);
    transaction.answered(S2, Access::WRITE, INSIDE);
    let deadlock = Answer { in_transaction: false, failed: true };
    let next = transaction.answered(S2, Access::WRITE, deadlock);
    let Next::Ended(finish) = next else { panic!("{next:?}") };
    assert_eq!(finish.verb, Verb::Rollback);
    assert_eq!(finish.readers.as_slice(), [S1]);
    assert!(finish.writers.is_empty());
    assert!(!transaction.is_open());
}

#[test]
fn a_lost_branch_ends_the_transaction() {
    let mut transaction = Transaction::default();
    transaction.begin(false, false);
    transaction.answered(S1, Access::READ, INSIDE);
    assert_eq!(transaction.lost(S2), None);
    assert!(transaction.is_open());
    let finish = transaction.lost(S1).unwrap();
    assert!(finish.readers.is_empty() && finish.writers.is_empty());
    assert!(!transaction.is_open());
}
