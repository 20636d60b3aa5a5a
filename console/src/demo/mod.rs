//! The demo: a small bank on all shards, written through the proxy as any client would.

pub mod load;
pub mod schema;

use mysql_async::{Conn, Opts, prelude::Queryable};
use schema::{ACCOUNTS, BRANCHES, CURRENCIES, CUSTOMERS, FIRST_YEAR, LEDGER_ENTRIES, YEARS};

/// Rows of one INSERT.
const ROWS_PER_INSERT: u32 = 1_000;

/// How the demo could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A statement failed.
    #[error("{step} failed")]
    Statement {
        /// What was being done.
        step: String,
        /// What the proxy said.
        #[source]
        source: mysql_async::Error,
    },
    /// Someone else's database has the demo's name.
    #[error("there is a database {} that is not the demo's", schema::DATABASE)]
    NameTaken,
}

fn failed(step: impl Into<String>) -> impl FnOnce(mysql_async::Error) -> DemoError {
    let step = step.into();
    move |source| DemoError::Statement { step, source }
}

/// What the demo asks before it changes anything: is its name free?
pub async fn check_name(options: &Opts) -> Result<(), DemoError> {
    let step = "looking for the demo's database";
    let mut connection = Conn::new(options.clone()).await.map_err(failed(step))?;
    let databases: Vec<String> = connection.query("SHOW DATABASES").await.map_err(failed(step))?;
    connection.disconnect().await.map_err(failed(step))?;
    if databases.iter().any(|name| name == schema::DATABASE) {
        return Err(DemoError::NameTaken);
    }
    Ok(())
}

/// Loads the demo from scratch, removing what an interrupted attempt has left.
pub async fn load(options: &Opts, shards: &[String]) -> Result<(), DemoError> {
    let mut connection =
        Conn::new(options.clone()).await.map_err(failed("connecting to the proxy"))?;
    for statement in schema::statements(shards) {
        let step = statement.lines().next().unwrap_or_default().to_owned();
        connection.query_drop(&statement).await.map_err(failed(step))?;
    }
    fill(&mut connection, "currency", CURRENCIES.len() as u32, currency).await?;
    fill(&mut connection, "branch", BRANCHES, branch).await?;
    fill(&mut connection, "account", ACCOUNTS, account).await?;
    fill(&mut connection, "txn", ACCOUNTS, transaction).await?;
    fill(&mut connection, "ledger", LEDGER_ENTRIES, ledger_entry).await?;
    connection.disconnect().await.map_err(failed("disconnecting from the proxy"))
}

/// Inserts `rows` rows that `row` writes for the numbers from 0.
async fn fill(
    connection: &mut Conn,
    table: &str,
    rows: u32,
    row: fn(u32) -> String,
) -> Result<(), DemoError> {
    let columns = schema::columns(table);
    for first in (0..rows).step_by(ROWS_PER_INSERT as usize) {
        let last = (first + ROWS_PER_INSERT).min(rows);
        let values: Vec<String> = (first..last).map(row).collect();
        let statement = format!("INSERT INTO {table} ({columns}) VALUES {}", values.join(","));
        let step = format!("filling {table} from row {first}");
        connection.query_drop(statement).await.map_err(failed(step))?;
    }
    Ok(())
}

/// Spreads numbers evenly and the same way each time (a step of a linear congruence).
fn scattered(number: u32, below: u32) -> u32 {
    (u64::from(number).wrapping_mul(2_654_435_761) >> 7) as u32 % below
}

/// The day after `day` days from the first of the demo's years, never past the 28th.
fn date(day: u32) -> String {
    let day = day % (YEARS * 336);
    let (year, rest) = (FIRST_YEAR + day / 336, day % 336);
    format!("{year}-{:02}-{:02}", rest / 28 + 1, rest % 28 + 1)
}

fn currency(number: u32) -> String {
    let (code, name) = CURRENCIES[number as usize];
    format!("('{code}','{name}')")
}

fn branch(number: u32) -> String {
    let region = schema::region_of(number);
    format!("({},'{region}','Branch {}')", number + 1, number + 1)
}

fn account(number: u32) -> String {
    let customer = number % CUSTOMERS + 1;
    let branch = scattered(number, BRANCHES) + 1;
    let (code, _) = CURRENCIES[scattered(number, CURRENCIES.len() as u32) as usize];
    let cents = scattered(number, 10_000_000);
    let opened = date(scattered(number, YEARS * 336));
    format!("({customer},{branch},'{code}',{}.{:02},'{opened}')", cents / 100, cents % 100)
}

fn transaction(number: u32) -> String {
    let customer = number % CUSTOMERS + 1;
    let cents = scattered(number.wrapping_add(7), 500_000);
    let booked = date(scattered(number.wrapping_add(3), YEARS * 336));
    let kind = ["deposit", "withdrawal", "transfer", "fee"][number as usize % 4];
    format!("({customer},'{kind}',{}.{:02},'{booked} 12:00:00')", cents / 100, cents % 100)
}

fn ledger_entry(number: u32) -> String {
    let booked = date(scattered(number, YEARS * 336));
    let branch = scattered(number.wrapping_add(11), BRANCHES) + 1;
    let cents = scattered(number.wrapping_add(5), 1_000_000);
    format!("('{booked}',{branch},{}.{:02},'entry {number}')", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_as_sql() {
        assert_eq!(currency(0), "('CNY','Renminbi')");
        assert!(account(0).starts_with("(1,"), "{}", account(0));
        assert_eq!(date(0), format!("{FIRST_YEAR}-01-01"));
        assert_eq!(date(335), format!("{FIRST_YEAR}-12-28"));
        assert_eq!(date(336), format!("{}-01-01", FIRST_YEAR + 1));
    }

    #[test]
    fn numbers_are_spread() {
        let mut seen = [0_u32; 10];
        (0..10_000).for_each(|number| seen[scattered(number, 10) as usize] += 1);
        assert!(seen.iter().all(|count| (500..2_000).contains(count)), "{seen:?}");
    }
}
