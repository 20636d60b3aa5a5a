//! Takes the units' rows away from one server, in small pieces: from the source after a move has ended, from
//! the target after one was cancelled. Its transactions are known as the move's own, so that no stream
//! carries them.

use crate::{
    chunk::{self, Range},
    error::{MoveError, Side},
    fault,
    flow::{endpoint, read_tables},
    session::{Session, WRITING},
    spec::MoveSpec,
    state::{self, Names},
    table::Table,
    units::Membership,
    yielding::Yielding,
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Rows that one transaction looks at.
const ROWS: u64 = 2_000;
/// The pause after a transaction, by the time that it took: others come first.
const PAUSE_SHARE: f64 = 0.25;
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(200);
const WHAT: &str = "rows that have moved";

/// Deletes the rows; may be run again at any time. `gone` counts them.
pub(crate) async fn purge(
    spec: &MoveSpec,
    names: &Names,
    side: Side,
    gone: &AtomicU64,
) -> Result<(), MoveError> {
    let units = Membership::new(spec);
    let mut session = Session::open(side, endpoint(spec, side), WRITING).await?;
    for sql in state::SETUP {
        session.one("its tables of moves", sql).await?;
    }
    session.one(WHAT, &names.begin_purge()).await?;
    Yielding::begin(&mut session).await?;
    for table in read_tables(&mut session, side, spec, &units).await? {
        let mut after = Vec::new();
        loop {
            let sql = chunk::bound(&table, &after, ROWS, false);
            let answer = session.one(WHAT, &sql).await?;
            let until = match answer.rows.first() {
                Some(row) => {
                    let row: Vec<Option<&[u8]>> = row.iter().map(Option::as_deref).collect();
                    Some(table.key_literals(&row)?)
                }
                None => None,
            };
            let range = Range { after, until: until.clone() };
            let begun = std::time::Instant::now();
            let rows = piece(&mut session, names, &table, &range).await?;
            gone.fetch_add(rows, Ordering::Relaxed);
            fault::point("purge.piece").await?;
            match until {
                Some(key) => after = key,
                None => break,
            }
            if rows > 0 {
                tokio::time::sleep(begun.elapsed().mul_f64(PAUSE_SHARE).min(PAUSE_MAX)).await;
            }
        }
    }
    Ok(())
}

async fn piece(
    session: &mut Session,
    names: &Names,
    table: &Table,
    range: &Range,
) -> Result<u64, MoveError> {
    let delete = format!("DELETE FROM {} WHERE {}", table.sql_name, range.inside(table));
    let packet = format!("BEGIN; {}; {delete}", names.step_purge());
    let mut turn = Yielding::default();
    loop {
        match transaction(session, names, &packet).await {
            Ok(gone) => {
                turn.done(session).await?;
                return Ok(gone);
            }
            Err(error) => turn.again(session, error).await?,
        }
    }
}

async fn transaction(session: &mut Session, names: &Names, packet: &str) -> Result<u64, MoveError> {
    let answers = session.run(WHAT, packet.as_bytes()).await?;
    if answers.get(1).is_none_or(|answer| answer.affected != 1) {
        return Err(MoveError::NotOwner { id: names.id.clone() });
    }
    session.one(WHAT, "COMMIT").await?;
    Ok(answers.get(2).map_or(0, |answer| answer.affected))
}
