//! Rows that move between two real servers while clients write them: by hash, range and list, every
//! column type, there and back, with faults at every point. Longer with `SHARDLINE_MOVE_SECONDS=600`.

#[path = "../it/binlog/columns.rs"]
mod columns;
#[path = "../it/binlog/random.rs"]
mod random;
#[expect(dead_code, reason = "the tables of another suite, which reads them in more ways")]
#[path = "../it/binlog/table.rs"]
mod table;

mod bench;
mod content;
mod writers;

mod crossing;
mod every_type;
mod faults;
mod findings;
mod kinds;
mod speed;
mod trouble;
