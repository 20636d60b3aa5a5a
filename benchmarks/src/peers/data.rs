//! The tables that all targets have, with the same rows everywhere.

use super::target::{Tables, Target};
use crate::random::Random;
use anyhow::{Context, Result};
use mysql_async::{Conn, prelude::Queryable};
use shardline_tests::sql;
use std::fmt::Write as _;

/// Rows of one INSERT.
const INSERT_ROWS: u32 = 1_000;
/// Tables `sbtest1` ..., as sysbench counts them.
pub const TABLES: u32 = 4;
/// Rows of one customer in `ledger1`.
pub const CUSTOMER_ROWS: u32 = 100;
/// Different values of `g` in `scatter1`.
const GROUPS: u64 = 100;

/// A group of tables that workloads need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableSet {
    /// `sbtest1` ... with rows, as sysbench makes them, spread by `id`.
    Sbtest,
    /// `sbtest1` ... without rows, in a database of their own; emptied before each run.
    Empty,
    /// `ledger1`: rows of customers, spread by `customer`.
    Ledger,
    /// `scatter1`: for statements over all rows, spread by `id`.
    Scatter,
}

/// A table with its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
}

/// A table of a set.
struct Table {
    name: TableName,
    columns: String,
    key: &'static str,
    rows: u32,
    row: fn(u32, u32, &mut Random, &mut String),
}

/// How many rows the tables have.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Rows of each `sbtest` table and of `ledger1`.
    pub table: u32,
    /// Rows of `scatter1`.
    pub scatter: u32,
}

/// Name of the database of a set, for a target whose own database is `database`.
pub fn database_of(set: TableSet, database: &str) -> String {
    match set {
        TableSet::Empty => format!("{database}_empty"),
        TableSet::Sbtest | TableSet::Ledger | TableSet::Scatter => database.to_owned(),
    }
}

/// The names of a set's tables.
pub fn names(set: TableSet, database: &str) -> Vec<TableName> {
    let sizes = Sizes { table: 0, scatter: 0 };
    tables(set, database, sizes).into_iter().map(|table| table.name).collect()
}

fn tables(set: TableSet, database: &str, sizes: Sizes) -> Vec<Table> {
    let database = database_of(set, database);
    let table = |name: String, columns: &str, key, rows, row| Table {
        name: TableName { database: database.clone(), name },
        columns: columns.to_owned(),
        key,
        rows,
        row,
    };
    let sbtest = |number: u32, rows| {
        let columns = "id INT NOT NULL AUTO_INCREMENT, k INT NOT NULL DEFAULT 0, \
                       c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', \
                       PRIMARY KEY (id), KEY k_1 (k)";
        table(format!("sbtest{number}"), columns, "id", rows, sbtest_row)
    };
    match set {
        TableSet::Sbtest => (1..=TABLES).map(|number| sbtest(number, sizes.table)).collect(),
        TableSet::Empty => (1..=TABLES).map(|number| sbtest(number, 0)).collect(),
        TableSet::Ledger => {
            let columns = "customer INT NOT NULL, id INT NOT NULL, k INT NOT NULL, \
                           c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL, \
                           PRIMARY KEY (customer, id), KEY k_1 (customer, k)";
            vec![table("ledger1".into(), columns, "customer", sizes.table, ledger_row)]
        }
        TableSet::Scatter => {
            let columns = "id INT NOT NULL, k INT NOT NULL, g INT NOT NULL, \
                           c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL, \
                           PRIMARY KEY (id), KEY k_1 (k)";
            vec![table("scatter1".into(), columns, "id", sizes.scatter, scatter_row)]
        }
    }
}

/// Makes and fills the tables of a set through a target.
///
/// # Errors
/// A statement is refused.
pub async fn load(target: &Target, database: &str, set: TableSet, sizes: Sizes) -> Result<()> {
    let mut conn = Conn::new(target.options()).await.context("connecting")?;
    let create = format!("CREATE DATABASE IF NOT EXISTS {}", database_of(set, database));
    sql::run(&mut conn, &[&create]).await?;
    for table in tables(set, database, sizes) {
        let name = format!("{}.{}", table.name.database, table.name.name);
        if let Tables::Foreign(_) = target.tables {
            // Of an earlier run.
            sql::run(&mut conn, &[&format!("DROP TABLE IF EXISTS {name}")]).await?;
        }
        let end = target.tables.suffix(&table.name, table.key);
        sql::run(&mut conn, &[&format!("CREATE TABLE {name} ({}) {end}", table.columns)]).await?;
        let mut random = Random::new(0x2545_f491_4f6c_dd1d);
        let mut first = 1;
        while first <= table.rows {
            let end = (first + INSERT_ROWS).min(table.rows + 1);
            let mut text = format!("INSERT INTO {name} VALUES ");
            for number in first..end {
                if number > first {
                    text.push(',');
                }
                (table.row)(number, table.rows, &mut random, &mut text);
            }
            conn.query_drop(text).await.with_context(|| format!("filling {name}"))?;
            first = end;
        }
    }
    Ok(conn.disconnect().await?)
}

fn sbtest_row(number: u32, rows: u32, random: &mut Random, text: &mut String) {
    let k = 1 + random.below(u64::from(rows));
    push(text, format_args!("({number},{k},'"));
    texts(random, text);
}

fn ledger_row(number: u32, rows: u32, random: &mut Random, text: &mut String) {
    let (customer, id) = ((number - 1) / CUSTOMER_ROWS + 1, (number - 1) % CUSTOMER_ROWS + 1);
    let k = 1 + random.below(u64::from(rows));
    push(text, format_args!("({customer},{id},{k},'"));
    texts(random, text);
}

fn scatter_row(number: u32, rows: u32, random: &mut Random, text: &mut String) {
    let (k, g) = (1 + random.below(u64::from(rows / 10).max(1)), random.below(GROUPS));
    push(text, format_args!("({number},{k},{g},'"));
    texts(random, text);
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}

/// Two text columns of ten and of five groups of eleven digits, as sysbench fills them.
fn texts(random: &mut Random, text: &mut String) {
    for (groups, end) in [(10, "','"), (5, "')")] {
        random.digits(groups, text);
        text.push_str(end);
    }
}
