//! The ids of new rows: they are the cluster's, or those of the one server that has the table.
//! How many a statement needs is known when it has run, so it runs once for that alone.

use super::super::{
    compute::{
        answer,
        scratch::{Scratch, unreadable},
    },
    scatter::drain,
    single::SingleRun,
};
use crate::{
    backend::TextLimits,
    error::SqlError,
    session::{Session, branches::WatchFailure, failure::Failure},
};
use shardline_model::predicate::quote_identifier;
use shardline_router::plan::{FilledIds, InsertId, Outcome, Rehearsal};
use shardline_wire::relay::End;
use std::ops::Range;

/// What the servers say of a statement's rows begins with it.
const RECORDS: &str = "Records: ";

/// The outcome that has ids, and those.
fn filled(plan: &Rehearsal) -> Option<(&Outcome, &FilledIds)> {
    plan.outcomes.iter().find_map(|outcome| Some((outcome, outcome.ids.as_ref()?)))
}

impl Session {
    /// Sees to it that new rows get ids that are free. None when no row is new.
    pub(super) async fn number_rows(
        &mut self,
        scratch: &mut Scratch,
        plan: &Rehearsal,
        run: &SingleRun<'_>,
    ) -> Result<Option<Range<u64>>, Failure> {
        let Some((outcome, ids)) = filled(plan) else { return Ok(None) };
        if run.traits.assigns_variables {
            return Err(SqlError::not_supported(
                "a statement that needs generated ids on several shards assigns user variables",
                "SET the variables before it",
            )
            .into());
        }
        let count = self.count_new(scratch, plan, ids, run).await?;
        if count == 0 {
            return Ok(None);
        }
        let range = match &ids.next {
            None => self.shared.clone().sequences.take(outcome.id, count).await?,
            Some(next) => {
                let rows = self.ask_branch(next.shard, &next.sql).await?;
                let first = number(rows.first().and_then(|row| row.first()));
                let first = first.ok_or_else(|| SqlError::internal("a server named no id"))?;
                first..first.saturating_add(count)
            }
        };
        let (database, table) = (&outcome.table.database, &outcome.table.table);
        let name = format!("{}.{}", quote_identifier(database), quote_identifier(table));
        scratch.run(&format!("ALTER TABLE {name} AUTO_INCREMENT={}", range.start)).await?;
        Ok(Some(range))
    }

    /// How many ids the statement may take. 0 when it fails: it will fail again.
    async fn count_new(
        &mut self,
        scratch: &mut Scratch,
        plan: &Rehearsal,
        ids: &FilledIds,
        run: &SingleRun<'_>,
    ) -> Result<u64, Failure> {
        scratch.run("START TRANSACTION READ ONLY").await?;
        let state = self.rehearsing_state()?;
        let sent = answer::send(scratch, &state, run).await;
        sent.map_err(|failure| scratch.failure(failure))?;
        let tried = if run.traits.returns_rows {
            let drained = drain(&mut scratch.connection, false, usize::MAX).await;
            if drained.is_err() {
                return Err(scratch.failure(crate::session::failure::BackendFailure::Lost(
                    "its answer broke off".into(),
                )));
            }
            1
        } else {
            match self.read_ok_watched(&mut scratch.connection).await {
                Ok(Ok(ok)) => records(&ok.info),
                // The same is said again when it runs for its effect.
                Ok(Err(_)) => 0,
                Err(WatchFailure::Backend(failure)) => return Err(scratch.failure(failure)),
                Err(WatchFailure::Client(lost)) => return Err(lost.into()),
            }
        };
        scratch.prepare_to_fill(&plan.compute, &self.state).await?;
        let asked = scratch.connection.query_rows(ids.count.as_bytes(), TextLimits::default());
        let rows = asked.await.map_err(|error| scratch.failure(error))?.rows;
        let new = number(rows.first().and_then(|row| row.first())).ok_or_else(unreadable)?;
        scratch.run("ROLLBACK").await?;
        Ok(new.max(tried))
    }

    /// Checks the ids that were given, and what they mean to the cluster's sequence.
    pub(super) async fn check_ids(
        &mut self,
        scratch: &mut Scratch,
        plan: &Rehearsal,
        range: Option<Range<u64>>,
        end: &End,
    ) -> Result<InsertId, Failure> {
        let Some((outcome, ids)) = filled(plan) else { return Ok(InsertId::None) };
        let range = range.unwrap_or(0..0);
        let sql = ids.given.replace("{first}", &range.start.to_string());
        let sql = sql.replace("{end}", &range.end.to_string());
        let asked = scratch.connection.query_rows(sql.as_bytes(), TextLimits::default()).await;
        let rows = asked.map_err(|error| scratch.failure(error))?.rows;
        let row = rows.first();
        let given = row.and_then(|row| row.first()?.as_deref());
        let generated = number(row.and_then(|row| row.get(1))).ok_or_else(unreadable)?;
        if let Some(given) = given {
            if ids.only_generated {
                return Err(SqlError::not_supported(
                    format!(
                        "an explicit value for '{}', whose uniqueness over the shards only the \
                         cluster's sequence keeps",
                        ids.column
                    ),
                    "leave the column out, or SET shardline_allow_explicit_ids = 1 and vouch for \
                     unique values",
                )
                .into());
            }
            let high = std::str::from_utf8(given).ok().and_then(|text| text.parse::<u64>().ok());
            if let (Some(high), None) = (high, &ids.next) {
                self.shared.clone().sequences.advance(outcome.id, high).await?;
            }
        }
        Ok(match generated {
            0 => InsertId::Explicit { shown: end.last_insert_id, high: 0, table: outcome.id },
            _ => InsertId::FromServer,
        })
    }
}

fn number(value: Option<&Option<bytes::Bytes>>) -> Option<u64> {
    std::str::from_utf8(value?.as_deref()?).ok()?.parse().ok()
}

/// How many rows a statement had, of which nothing is said when it was one.
fn records(info: &[u8]) -> u64 {
    let text = std::str::from_utf8(info).unwrap_or_default();
    let count = text.strip_prefix(RECORDS).and_then(|rest| rest.split(' ').next());
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}
