//! The tables of `_shardline` that a move keeps its state in, as statements. Those of a flow are on the
//! server that receives its rows, so that one transaction has both; the marks are on the one that sends.
//!
//! Whoever drives a flow has its owner's name in these rows; every write asks for the name and changes
//! nothing when another driver has put in its own.

use crate::position::Position;
use shardline_binlog::literal;

/// The version of these tables.
pub(crate) const VERSION: u32 = 1;

/// What makes them; may run any number of times.
pub(crate) const SETUP: [&str; 8] = [
    "CREATE DATABASE IF NOT EXISTS _shardline",
    "CREATE TABLE IF NOT EXISTS _shardline.move_schema_version (\
         version INT UNSIGNED NOT NULL PRIMARY KEY) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS _shardline.move_mark (\
         move_id VARBINARY(64) NOT NULL, \
         place INT UNSIGNED NOT NULL, \
         owner VARBINARY(64) NOT NULL, \
         mark BIGINT UNSIGNED NOT NULL, \
         PRIMARY KEY (move_id, place)) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS _shardline.move_flow (\
         move_id VARBINARY(64) NOT NULL, \
         direction TINYINT UNSIGNED NOT NULL, \
         owner VARBINARY(64) NOT NULL, \
         since BIGINT UNSIGNED NOT NULL, \
         switched BIGINT UNSIGNED NULL, \
         lanes INT UNSIGNED NOT NULL, \
         sender VARBINARY(255) NOT NULL, \
         log_file VARBINARY(255) NOT NULL, \
         log_offset BIGINT UNSIGNED NOT NULL, \
         back_server VARBINARY(255) NOT NULL DEFAULT '', \
         back_file VARBINARY(255) NOT NULL DEFAULT '', \
         back_offset BIGINT UNSIGNED NOT NULL DEFAULT 0, \
         PRIMARY KEY (move_id, direction)) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS _shardline.move_lane (\
         move_id VARBINARY(64) NOT NULL, \
         direction TINYINT UNSIGNED NOT NULL, \
         lane INT UNSIGNED NOT NULL, \
         owner VARBINARY(64) NOT NULL, \
         log_file VARBINARY(255) NOT NULL, \
         log_offset BIGINT UNSIGNED NOT NULL, \
         PRIMARY KEY (move_id, direction, lane)) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS _shardline.move_table (\
         move_id VARBINARY(64) NOT NULL, \
         number INT UNSIGNED NOT NULL, \
         owner VARBINARY(64) NOT NULL, \
         done TINYINT UNSIGNED NOT NULL, \
         copied_rows BIGINT UNSIGNED NOT NULL, \
         copied_bytes BIGINT UNSIGNED NOT NULL, \
         key_after LONGBLOB NOT NULL, \
         PRIMARY KEY (move_id, number)) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS _shardline.move_purge (\
         move_id VARBINARY(64) NOT NULL PRIMARY KEY, \
         owner VARBINARY(64) NOT NULL, \
         step BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB",
    "INSERT IGNORE INTO _shardline.move_schema_version VALUES (1)",
];

/// Every version that the tables ever had here, in order.
pub(crate) const VERSIONS: &str = "SELECT MAX(version) FROM _shardline.move_schema_version";

/// Which way rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the source to the target.
    Forward,
    /// Back, after the switch.
    Reverse,
}

impl Direction {
    fn number(self) -> u8 {
        match self {
            Direction::Forward => 1,
            Direction::Reverse => 2,
        }
    }
}

/// One flow of one move and its driver.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The move.
    pub(crate) id: String,
    /// The driver.
    pub(crate) owner: String,
    /// The flow.
    pub(crate) direction: Direction,
}

fn quoted(text: &str) -> String {
    literal::binary(text.as_bytes())
}

impl Names {
    fn flow(&self) -> String {
        format!("move_id = {} AND direction = {}", quoted(&self.id), self.direction.number())
    }

    fn owned(&self) -> String {
        format!("owner = {}", quoted(&self.owner))
    }

    /// Says that the rows that follow in the log are newer than this.
    pub(crate) fn mark(&self, place: u32, mark: u64) -> String {
        format!(
            "REPLACE INTO _shardline.move_mark (move_id, place, owner, mark) \
             VALUES ({}, {place}, {}, {mark})",
            quoted(&self.id),
            quoted(&self.owner)
        )
    }

    /// The flow's row: since, switched, lanes, sender, log_file, log_offset, back_server, back_file, back_offset.
    pub(crate) fn read_flow(&self) -> String {
        format!(
            "SELECT since, switched, lanes, sender, log_file, log_offset, back_server, back_file, back_offset \
             FROM _shardline.move_flow WHERE {}",
            self.flow()
        )
    }

    /// The lanes' rows: lane, file, offset.
    pub(crate) fn read_lanes(&self) -> String {
        let flow = self.flow();
        format!(
            "SELECT lane, log_file, log_offset FROM _shardline.move_lane WHERE {flow} ORDER BY lane"
        )
    }

    /// The tables' rows: number, done, rows, bytes, key.
    pub(crate) fn read_tables(&self) -> String {
        format!(
            "SELECT number, done, copied_rows, copied_bytes, key_after FROM _shardline.move_table \
             WHERE move_id = {} ORDER BY number",
            quoted(&self.id)
        )
    }

    /// A flow that begins at a position of its sender's log, whatever was there of it.
    pub(crate) fn begin(
        &self,
        since: u64,
        lanes: usize,
        sender: &str,
        at: &Position,
    ) -> Vec<String> {
        let (id, owner, number) = (quoted(&self.id), quoted(&self.owner), self.direction.number());
        let (file, offset) = (quoted(&at.file), at.offset);
        let mut all = vec![
            format!("DELETE FROM _shardline.move_lane WHERE {}", self.flow()),
            format!(
                "REPLACE INTO _shardline.move_flow \
                 (move_id, direction, owner, since, lanes, sender, log_file, log_offset) \
                 VALUES ({id}, {number}, {owner}, {since}, {lanes}, {}, {file}, {offset})",
                quoted(sender)
            ),
        ];
        let rows: Vec<String> = (0..lanes)
            .map(|lane| format!("({id}, {number}, {lane}, {owner}, {file}, {offset})"))
            .collect();
        all.push(format!(
            "INSERT INTO _shardline.move_lane (move_id, direction, lane, owner, log_file, log_offset) VALUES {}",
            rows.join(", ")
        ));
        all
    }

    /// Tables that have to be copied.
    pub(crate) fn begin_tables(&self, tables: usize) -> String {
        let (id, owner) = (quoted(&self.id), quoted(&self.owner));
        let rows: Vec<String> =
            (0..tables).map(|number| format!("({id}, {number}, {owner}, 0, 0, 0, '')")).collect();
        format!("INSERT IGNORE INTO _shardline.move_table VALUES {}", rows.join(", "))
    }

    /// Makes this driver the owner of everything that is there of the flow.
    pub(crate) fn claim(&self) -> Vec<String> {
        let (flow, owner, id) = (self.flow(), self.owned(), quoted(&self.id));
        vec![
            format!("UPDATE _shardline.move_flow SET {owner} WHERE {flow}"),
            format!("UPDATE _shardline.move_lane SET {owner} WHERE {flow}"),
            format!("UPDATE _shardline.move_table SET {owner} WHERE move_id = {id}"),
        ]
    }

    /// Everything before this position is on the receiver.
    pub(crate) fn save_position(&self, at: &Position) -> String {
        format!(
            "UPDATE _shardline.move_flow SET log_file = {}, log_offset = {} WHERE {} AND {}",
            quoted(&at.file),
            at.offset,
            self.flow(),
            self.owned()
        )
    }

    /// A lane has written everything of its own up to here.
    pub(crate) fn save_lane(&self, lane: usize, at: &Position) -> String {
        format!(
            "UPDATE _shardline.move_lane SET log_file = {}, log_offset = {} WHERE {} AND lane = {lane} AND {}",
            quoted(&at.file),
            at.offset,
            self.flow(),
            self.owned()
        )
    }

    /// A table is copied up to a key, inclusive.
    pub(crate) fn save_table(
        &self,
        number: usize,
        done: bool,
        rows: u64,
        bytes: u64,
        key: &[String],
    ) -> String {
        format!(
            "UPDATE _shardline.move_table SET done = {}, copied_rows = {rows}, copied_bytes = {bytes}, \
             key_after = {} WHERE move_id = {} AND number = {number} AND {}",
            u8::from(done),
            quoted(&key.join("\n")),
            quoted(&self.id),
            self.owned()
        )
    }

    /// The flow has ended: the units are switched under this epoch, and the flow back begins there.
    pub(crate) fn save_switch(&self, epoch: u64, server: &str, back: &Position) -> String {
        format!(
            "UPDATE _shardline.move_flow SET switched = {epoch}, back_server = {}, back_file = {}, \
             back_offset = {} WHERE {} AND {}",
            quoted(server),
            quoted(&back.file),
            back.offset,
            self.flow(),
            self.owned()
        )
    }

    /// The flow goes on where it was: the catalog has not heard of the switch.
    pub(crate) fn unsave_switch(&self) -> String {
        format!(
            "UPDATE _shardline.move_flow SET switched = NULL, owner = {} WHERE {}",
            quoted(&self.owner),
            self.flow()
        )
    }

    /// The row that makes transactions of a purge known as this move's own.
    pub(crate) fn begin_purge(&self) -> String {
        format!(
            "INSERT INTO _shardline.move_purge (move_id, owner, step) VALUES ({}, {owner}, 0) \
             ON DUPLICATE KEY UPDATE owner = {owner}, step = step + 1",
            quoted(&self.id),
            owner = quoted(&self.owner)
        )
    }

    /// A step of a purge.
    pub(crate) fn step_purge(&self) -> String {
        format!(
            "UPDATE _shardline.move_purge SET step = step + 1 WHERE move_id = {} AND {}",
            quoted(&self.id),
            self.owned()
        )
    }

    /// Takes everything of the move away from a server.
    pub(crate) fn forget(&self) -> Vec<String> {
        ["move_mark", "move_flow", "move_lane", "move_table", "move_purge"]
            .map(|table| {
                format!("DELETE FROM _shardline.{table} WHERE move_id = {}", quoted(&self.id))
            })
            .into()
    }
}

/// A key as [`Names::save_table`] has written it.
pub(crate) fn key_of(text: &str) -> Vec<String> {
    text.split('\n').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_asks_for_the_owner() {
        let names = Names { id: "m".into(), owner: "o".into(), direction: Direction::Forward };
        let at = Position { file: "b.1".into(), offset: 4 };
        for sql in [
            names.save_position(&at),
            names.save_lane(1, &at),
            names.save_table(0, true, 1, 2, &["1".into()]),
            names.save_switch(7, "s", &at),
            names.step_purge(),
        ] {
            assert!(sql.ends_with("AND owner = _binary x'6f'"), "{sql}");
        }
    }

    #[test]
    fn keys_survive() {
        let key = vec!["1".to_owned(), "_utf8mb4 x'61'".to_owned()];
        assert_eq!(key_of(&key.join("\n")), key);
        assert!(key_of("").is_empty());
    }
}
