//! What is on the servers, compared to the byte.

use crate::{
    bench::{Bench, Case},
    columns,
};
use anyhow::{Result, ensure};
use mysql_async::{Conn, Row, Value, prelude::Queryable};
use shardline_binlog::Family;
use shardline_model::predicate;

/// True for exactly the rows of the units: the model's own SQL.
pub(crate) fn inside(case: &Case, key: &str) -> String {
    predicate::units_sql(&case.units, std::slice::from_ref(&case.key_type), &[key])
}

/// What is selected of a table so that every byte shows.
fn exact(family: Family, table: &str) -> String {
    if table != "t" {
        return "*".to_owned();
    }
    let columns = columns::all(family);
    let exact: Vec<&str> = columns.iter().map(|column| column.exact.as_str()).collect();
    format!("id, HEX(k), `back``tick`, uq, gs, gv, hid, {}", exact.join(", "))
}

async fn rows(
    connection: &mut Conn,
    family: Family,
    table: &str,
    condition: &str,
) -> Result<Vec<Vec<Value>>> {
    let list = exact(family, table);
    let sql = format!("SELECT {list} FROM d.{table} WHERE {condition} ORDER BY 1, 2");
    let rows: Vec<Row> = connection.query(sql).await?;
    Ok(rows.into_iter().map(Row::unwrap).collect())
}

/// The rows of the units are the same on both servers; how many there are.
pub(crate) async fn same(bench: &Bench, case: &Case) -> Result<usize> {
    let (mut source, mut target) = bench.connect().await?;
    let mut count = 0;
    for (table, key) in &case.tables {
        let inside = inside(case, key);
        let ours = rows(&mut source, bench.family, table, &inside).await?;
        let theirs = rows(&mut target, bench.family, table, &inside).await?;
        count += ours.len();
        ensure!(
            ours.len() == theirs.len(),
            "d.{table}: {} rows, {} on the target",
            ours.len(),
            theirs.len()
        );
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let place = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
            if let Some(place) = place {
                anyhow::bail!(
                    "d.{table}: column {place} of {:?} is {}, and {} on the target",
                    &ours[..2],
                    ours[place].as_sql(false),
                    theirs[place].as_sql(false)
                );
            }
        }
    }
    Ok(count)
}

/// Rows on one server that are not of the units.
pub(crate) async fn outside(
    connection: &mut Conn,
    case: &Case,
    family: Family,
) -> Result<Vec<Vec<Vec<Value>>>> {
    let mut all = Vec::new();
    for (table, key) in &case.tables {
        let condition = format!("NOT {}", inside(case, key));
        all.push(rows(connection, family, table, &condition).await?);
    }
    Ok(all)
}

/// Rows of the units on one server.
pub(crate) async fn count(connection: &mut Conn, case: &Case) -> Result<u64> {
    let mut count = 0;
    for (table, key) in &case.tables {
        let sql = format!("SELECT COUNT(*) FROM d.{table} WHERE {}", inside(case, key));
        let rows: Option<u64> = connection.query_first(sql).await?;
        count += rows.unwrap_or(0);
    }
    Ok(count)
}
