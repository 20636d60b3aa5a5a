//! Global transaction ids: MariaDB's `domain-server-sequence` and MySQL's `uuid[:tag]:number`, as
//! events and as sets.

pub mod mariadb;
pub mod mysql;

pub use mariadb::{MariadbGtid, MariadbGtidEvent};
pub use mysql::{GtidSet, MysqlGtidEvent, Source};
