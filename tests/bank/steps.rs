//! The statements of a transfer, in one of several ways: what applications do, and what undoing finds
//! hard.

use crate::{
    bank::{Bank, SHARDS, TRIOS},
    deed::Transfer,
    random::Random,
};
use anyhow::Result;

/// What a statement is answered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It changes so many rows.
    Rows(u64),
    /// It does not matter.
    Any,
    /// This error, and the transaction goes on.
    Error(u16),
}

/// A transaction up to its COMMIT.
pub(crate) struct Steps {
    /// What begins it.
    pub(crate) begin: Vec<&'static str>,
    /// The rest of it.
    pub(crate) statements: Vec<(String, Wanted)>,
    /// What puts the session back afterwards.
    pub(crate) after: Option<&'static str>,
    /// In which way, for people.
    pub(crate) way: &'static str,
}

/// "Duplicate entry".
const DUPLICATE: u16 = 1062;

impl Steps {
    /// A transfer. `next`: the next number for the journal.
    pub(crate) fn of(
        bank: &Bank,
        transfer: Transfer,
        next: &mut u64,
        random: &mut Random,
    ) -> Result<Self> {
        let (begin, after) = beginning(random);
        let mut steps = Steps { begin, statements: Vec::new(), after, way: "plain" };
        let Transfer { id, source, target, amount } = transfer;
        let journal = |state| row(transfer, id, state);
        // Mostly in one order, or there would be little but deadlocks.
        let crossing = random.per_mille(30);
        let mut both = [change(source, -amount), change(target, amount)];
        if (source > target) != crossing {
            both.reverse();
        }
        let [one, other] = both;
        match random.below(8) {
            0 => {
                steps.way = "with a savepoint";
                steps.add(one);
                steps.add_any("SAVEPOINT a");
                steps.add(change(target, 1_000));
                steps.add(insert(&[journal(7)]));
                steps.add_any("ROLLBACK TO SAVEPOINT a");
                steps.add(other);
                steps.add(insert(&[journal(1)]));
            }
            1 => {
                steps.way = "journal first, changed later";
                steps.add(insert(&[journal(0)]));
                steps.add(one);
                steps.add(other);
                steps.add(format!("UPDATE bank.journal SET state = 1 WHERE id = {id}"));
            }
            2 => {
                steps.way = "rows changed twice";
                steps.add(one);
                steps.add(change(source, 5));
                steps.add(change(source, -5));
                steps.add(other);
                steps.add(insert(&[journal(0)]));
                steps.add(format!("DELETE FROM bank.journal WHERE id = {id}"));
                steps.add(insert(&[journal(1)]));
            }
            3 => {
                steps.way = "after a look at all shards";
                for account in bank.trio(random.below(TRIOS as u64) as usize) {
                    let read = format!("SELECT balance FROM bank.account WHERE id = {account}");
                    steps.add_any(&read);
                }
                steps.add(one);
                steps.add(other);
                steps.add(insert(&[journal(1)]));
            }
            4 => {
                steps.way = "both by one statement";
                let sql = format!(
                    "UPDATE bank.account SET balance = balance + IF(id = {source}, -{amount}, \
                     {amount}) WHERE id IN ({source}, {target})"
                );
                steps.statements.push((sql, Wanted::Rows(2)));
                steps.add(insert(&[journal(1)]));
            }
            5 => {
                steps.way = "with a statement that one of its shards refuses";
                let elsewhere = bank.journal_on(random.below(SHARDS as u64) as usize, *next)?;
                *next = elsewhere + 1;
                steps.add(one);
                steps.add(insert(&[journal(1)]));
                let refused = insert(&[row(transfer, elsewhere, 8), journal(9)]);
                steps.statements.push((refused, Wanted::Error(DUPLICATE)));
                steps.add(other);
            }
            _ => {
                steps.add(one);
                steps.add(other);
                steps.add(insert(&[journal(1)]));
            }
        }
        Ok(steps)
    }

    fn add(&mut self, statement: String) {
        self.statements.push((statement, Wanted::Rows(1)));
    }

    fn add_any(&mut self, statement: &str) {
        self.statements.push((statement.to_owned(), Wanted::Any));
    }
}

/// How a transaction begins, and what follows its end.
fn beginning(random: &mut Random) -> (Vec<&'static str>, Option<&'static str>) {
    match random.below(10) {
        0 => (vec!["SET autocommit = 0"], Some("SET autocommit = 1")),
        1 => (vec!["SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN"], None),
        2 => (vec!["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION"], None),
        3 => (vec!["START TRANSACTION WITH CONSISTENT SNAPSHOT"], None),
        _ => (vec!["BEGIN"], None),
    }
}

fn change(account: u64, amount: i64) -> String {
    format!("UPDATE bank.account SET balance = balance + {amount} WHERE id = {account}")
}

fn row(transfer: Transfer, id: u64, state: u8) -> String {
    let Transfer { source, target, amount, .. } = transfer;
    format!("({id}, {source}, {target}, {amount}, {state})")
}

fn insert(rows: &[String]) -> String {
    format!("INSERT INTO bank.journal VALUES {}", rows.join(", "))
}
