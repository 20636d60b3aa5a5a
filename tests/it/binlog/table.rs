//! The table of the round trips: a column of every type, computed and invisible columns, a composite key.

use super::columns::{self, Column};
use super::random::Random;
use anyhow::Result;
use mysql_async::{Conn, Row, Value, prelude::Queryable};
use shardline_binlog::Family;
use shardline_binlog::undo::{TableDefinition, definition};
use shardline_tests::sql;

/// The test's table, `d.t`.
pub(crate) struct Table {
    columns: Vec<Column>,
    next_id: u64,
}

impl Table {
    /// Makes it.
    pub(crate) async fn create(connection: &mut Conn, family: Family) -> Result<Self> {
        let columns = columns::all(family);
        let list: Vec<String> = columns
            .iter()
            .map(|column| format!("`{}` {}", column.name, column.definition))
            .collect();
        let invisible = match family {
            Family::Mariadb => "hid VARCHAR(9) INVISIBLE",
            Family::Mysql => "hid VARCHAR(9) INVISIBLE",
        };
        let create = format!(
            "CREATE TABLE d.t (id INT NOT NULL AUTO_INCREMENT, k VARCHAR(20) NOT NULL, `back``tick` INT, \
             uq INT NULL, gs INT AS (uq * 2) STORED, gv INT AS (uq + 1) VIRTUAL, {invisible}, {}, \
             PRIMARY KEY (k, id), UNIQUE (uq), KEY (id)) ENGINE=InnoDB CHARACTER SET utf8mb4",
            list.join(", ")
        );
        sql::run(
            connection,
            &["CREATE DATABASE IF NOT EXISTS d", "DROP TABLE IF EXISTS d.t", &create],
        )
        .await?;
        Ok(Self { columns, next_id: 1 })
    }

    fn key(&self, random: &mut Random) -> String {
        // Letters of both cases are the same key to the collation, and not the same bytes.
        ["a", "A", "é", "b "][random.below(4) as usize].to_owned()
    }

    fn value(column: &Column, random: &mut Random) -> String {
        if random.below(6) == 0 { "NULL".to_owned() } else { (column.value)(random) }
    }

    /// A statement that inserts rows.
    pub(crate) fn insert(&mut self, random: &mut Random, rows: u64) -> String {
        let names: Vec<String> =
            self.columns.iter().map(|column| format!("`{}`", column.name)).collect();
        let mut tuples = Vec::new();
        for _ in 0..rows {
            let mut values = vec![
                if random.below(9) == 0 { "0".to_owned() } else { self.next_id.to_string() },
                format!("'{}'", self.key(random)),
                random.below(9).to_string(),
                self.next_id.to_string(),
                format!("'h{}'", random.below(99)),
            ];
            self.next_id += 1;
            values.extend(self.columns.iter().map(|column| Self::value(column, random)));
            tuples.push(format!("({})", values.join(", ")));
        }
        let names = names.join(", ");
        format!(
            "INSERT IGNORE INTO d.t (id, k, `back``tick`, uq, hid, {names}) VALUES {}",
            tuples.join(", ")
        )
    }

    /// A statement that changes or removes rows, or adds some.
    pub(crate) fn change(&mut self, random: &mut Random) -> String {
        let id = random.below(self.next_id.max(1));
        let condition = match random.below(5) {
            0 => "1 = 1".to_owned(),
            1 => format!("id > {id}"),
            _ => format!("id BETWEEN {id} AND {}", id + 2),
        };
        match random.below(10) {
            0 | 1 => self.insert(random, 1 + id % 3),
            2 => format!("DELETE FROM d.t WHERE {condition} LIMIT 3"),
            3 => format!("UPDATE IGNORE d.t SET k = '{}' WHERE {condition}", self.key(random)),
            4 => format!(
                "UPDATE IGNORE d.t SET id = {} WHERE id = {id}",
                self.next_id + random.below(9)
            ),
            5 => format!("UPDATE d.t SET uq = uq + 1 WHERE {condition} ORDER BY uq DESC"),
            6 => self.insert(random, 1).replacen("INSERT IGNORE", "REPLACE", 1),
            _ => {
                let column = &self.columns[random.below(self.columns.len() as u64) as usize];
                let other = &self.columns[random.below(self.columns.len() as u64) as usize];
                let sets = [column, other]
                    .map(|column| format!("`{}` = {}", column.name, Self::value(column, random)));
                let sets =
                    if column.name == other.name { sets[0].clone() } else { sets.join(", ") };
                format!("UPDATE IGNORE d.t SET {sets}, hid = NULL WHERE {condition}")
            }
        }
    }

    /// Everything in the table, exactly: the server's checksum and each value in a form that loses nothing.
    pub(crate) async fn content(&self, connection: &mut Conn) -> Result<Content> {
        let exact: Vec<&str> = self.columns.iter().map(|column| column.exact.as_str()).collect();
        let all = format!(
            "SELECT id, HEX(k), `back``tick`, uq, gs, gv, hid, {} FROM d.t ORDER BY HEX(k), id",
            exact.join(", ")
        );
        let checksum = sql::value(connection, "CHECKSUM TABLE d.t").await?;
        let checksum = if checksum == "d.t" {
            sql::rows(connection, "CHECKSUM TABLE d.t").await?[0][1].clone()
        } else {
            checksum
        };
        let rows: Vec<Row> = connection.query(all).await?;
        Ok(Content { checksum, rows: rows.into_iter().map(Row::unwrap).collect() })
    }
}

/// What a table holds.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    checksum: String,
    rows: Vec<Vec<Value>>,
}

impl Content {
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }
}

/// A table's definition, read as the crate says.
pub(crate) async fn definition(
    connection: &mut Conn,
    database: &str,
    table: &str,
) -> Result<TableDefinition> {
    let mut answers: [Vec<definition::TextRow>; 5] = Default::default();
    for (answer, query) in answers.iter_mut().zip(definition::queries(database, table)) {
        let rows: Vec<Row> = connection.query(query).await?;
        let text = |value: Value| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            other => Some(other.as_sql(true)),
        };
        *answer =
            rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect();
    }
    Ok(TableDefinition::from_rows(database, table, answers)?)
}
