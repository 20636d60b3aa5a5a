//! Generated ids of a table that was single: its server has given them, and from its new owners on the
//! cluster's sequence does.

use super::Driver;
use crate::{
    Side,
    session::{READING, Session},
    state::Direction,
};
use shardline_binlog::literal::name as quoted;
use shardline_model::{
    catalog::{Catalog, TableKind},
    id::MoveId,
};

/// Lets the cluster's sequence of a table that is spread anew begin behind its highest id.
///
/// # Errors
/// Why that cannot be done.
pub(super) async fn advance(
    driver: &Driver,
    catalog: &Catalog,
    id: MoveId,
    direction: Direction,
) -> Result<(), String> {
    let Some(one) = catalog.reshards.get(&id) else { return Ok(()) };
    let (before, afterwards) = match direction {
        Direction::Forward => (&one.from, &one.to),
        Direction::Reverse => (&one.to, &one.from),
    };
    let (TableKind::Single { shard }, TableKind::Sharded(_) | TableKind::Broadcast) =
        (before, afterwards)
    else {
        return Ok(());
    };
    let table = catalog.table_by_id(one.table).ok_or("its table is gone")?;
    let Some(column) = table.auto_increment.and_then(|index| table.columns.get(index)) else {
        return Ok(());
    };
    let shard = catalog.shards.get(shard).ok_or("its shard is gone")?;
    let sql = format!(
        "SELECT MAX({}) FROM {}.{}",
        quoted(&column.name),
        quoted(&table.database),
        quoted(&table.name)
    );
    let endpoint = driver.endpoint(&shard.primary);
    let highest = async {
        let mut session = Session::open(Side::Source, &endpoint, READING).await?;
        session.one("the highest id of a table", &sql).await
    };
    let highest = highest.await.map_err(|error| error.to_string())?.text(0);
    let highest = match highest {
        // No row yet.
        None => 0,
        Some(text) => text.parse::<i128>().map_err(|_| {
            format!("the highest id of its table is {text}, which is no whole number")
        })?,
    };
    let next = u64::try_from(highest.max(0)).unwrap_or(u64::MAX).saturating_add(1);
    let reserved = driver.meta.reserve(one.table, 1, Some(next)).await;
    reserved.map(|_| ()).map_err(|error| error.to_string())
}
