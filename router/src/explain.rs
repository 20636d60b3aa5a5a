//! The stable text form of plans, which EXPLAIN SHARDING and the golden tests print: one
//! line that says what is done, then indented lines with the parts.

use crate::plan::{
    Affected, ColumnRef, Compute, Ddl, Fetch, InsertId, Merge, MergeFunction, OrderKey, Plan,
    Refusal, Rehearsal, Scatter, ShardSql, ShardStatement, Single, SortColumn, TableName, Target,
    Traits, Whole, Write,
};
use std::fmt::{self, Display, Formatter};

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(single) => single.fmt(f),
            Self::Scatter(scatter) => scatter.fmt(f),
            Self::Compute(compute) => compute.fmt(f),
            Self::Write(write) => write.fmt(f),
            Self::Rehearse(rehearsal) => rehearsal.fmt(f),
            Self::Ddl(ddl) => ddl.fmt(f),
            Self::Session(statement) => write!(f, "session: {statement:?}"),
            Self::Refuse(refusal) => refusal.fmt(f),
        }
    }
}

impl Display for Single {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Shard(shard) => write!(f, "single on {shard}")?,
            Target::Any => write!(f, "single on any shard")?,
        }
        traits(f, self.traits)?;
        insert_id(f, self.insert_id)?;
        match &self.sql {
            ShardSql::Unchanged => Ok(()),
            ShardSql::Edited { sql, keeps_parameters } => {
                let kept = if *keeps_parameters { "" } else { " (parameters as literals)" };
                write!(f, "\n  sql{kept}: {}", one_line(sql))
            }
        }
    }
}

impl Display for Scatter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "scatter over {}: {}", shards(self.parts.len()), self.reason)?;
        traits(f, self.traits)?;
        parts(f, &self.parts)?;
        self.merge.fmt(f)
    }
}

impl Display for Compute {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.home {
            Some(shard) => write!(f, "compute on the server of {shard}")?,
            None => write!(f, "compute on the server of any shard")?,
        }
        traits(f, self.statement.traits)?;
        if let ShardSql::Edited { sql, .. } = &self.statement.sql {
            write!(f, "\n  sql: {}", one_line(sql))?;
        }
        for fetch in &self.fetches {
            let TableName { database, table } = &fetch.table;
            write!(f, "\n  fill {database}.{table}")?;
            match fetch.whole {
                Whole::Nowhere => {}
                Whole::On(shard) => write!(f, " unless that is {shard}")?,
                Whole::Everywhere => write!(f, " when in a transaction")?,
            }
            fill(f, fetch)?;
        }
        Ok(())
    }
}

impl Display for Rehearsal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "rehearse on the server of any shard: {}", self.reason)?;
        traits(f, self.compute.statement.traits)?;
        if let ShardSql::Edited { sql, .. } = &self.compute.statement.sql {
            write!(f, "\n  sql: {}", one_line(sql))?;
        }
        for fetch in &self.compute.fetches {
            let TableName { database, table } = &fetch.table;
            write!(f, "\n  fill {database}.{table}")?;
            fill(f, fetch)?;
        }
        for outcome in &self.outcomes {
            let TableName { database, table } = &outcome.table;
            let to: Vec<String> = outcome.shards.iter().map(ToString::to_string).collect();
            write!(f, "\n  then write {database}.{table} on {}", to.join(", "))?;
        }
        Ok(())
    }
}

fn fill(f: &mut Formatter<'_>, fetch: &Fetch) -> fmt::Result {
    for part in &fetch.parts {
        write!(f, "\n    {}: {}", part.shard, one_line(&part.sql))?;
    }
    Ok(())
}

impl Display for Write {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "write on {}: {}", shards(self.parts.len()), self.reason)?;
        insert_id(f, self.insert_id)?;
        match self.affected {
            Affected::Sum => write!(f, "\n  affected rows: the sum")?,
            Affected::Copies => write!(f, "\n  affected rows: of one copy")?,
        }
        parts(f, &self.parts)
    }
}

impl Display for Ddl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "ddl on all shards: {:?}\n  sql: {}", self.kind, one_line(&self.sql))
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "refused ({}): {}", self.code, self.reason)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  hint: {}", self.hint) }
    }
}

impl Display for Merge {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(grouping) = &self.grouping {
            match grouping.keys.as_slice() {
                [] => write!(f, "\n  merge into one group")?,
                keys => write!(f, "\n  merge groups by {}", list(keys))?,
            }
            for aggregate in &grouping.aggregates {
                write!(f, "\n    {} = {}", aggregate.column, aggregate.function)?;
            }
        }
        if let Some(columns) = &self.distinct {
            write!(f, "\n  distinct by {}", list(columns))?;
        }
        if !self.order_by.is_empty() {
            write!(f, "\n  order by {}", list(&self.order_by))?;
        }
        match (self.offset, self.limit) {
            (0, None) => {}
            (0, Some(limit)) => write!(f, "\n  limit {limit}")?,
            (offset, None) => write!(f, "\n  offset {offset}")?,
            (offset, Some(limit)) => write!(f, "\n  limit {limit} offset {offset}")?,
        }
        if self.hidden > 0 { write!(f, "\n  hidden columns: {}", self.hidden) } else { Ok(()) }
    }
}

impl Display for ColumnRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Visible(index) => write!(f, "column {}", index + 1),
            Self::Hidden(index) => write!(f, "hidden {}", index + 1),
        }
    }
}

impl Display for SortColumn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)?;
        if let Some(weight) = self.weight {
            write!(f, " weighed by {weight}")?;
        }
        if let Some(pad) = self.pad {
            write!(f, " padded by {pad}")?;
        }
        Ok(())
    }
}

impl Display for OrderKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.column, if self.descending { " desc" } else { "" })
    }
}

impl Display for MergeFunction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::SumOfCounts => write!(f, "sum of counts"),
            Self::Sum => write!(f, "sum"),
            Self::Average { sum, count } => write!(f, "{sum} / {count}"),
            Self::Min { by } => write!(f, "min by {by}"),
            Self::Max { by } => write!(f, "max by {by}"),
            Self::CountDistinct { values } => write!(f, "count of distinct {}", list(values)),
            Self::SumDistinct { value } => write!(f, "sum of distinct {value}"),
            Self::AverageDistinct { value } => write!(f, "average of distinct {value}"),
        }
    }
}

fn shards(count: usize) -> String {
    if count == 1 { "1 shard".into() } else { format!("{count} shards") }
}

fn list<T: Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn parts(f: &mut Formatter<'_>, parts: &[ShardStatement]) -> fmt::Result {
    for part in parts {
        write!(f, "\n  {}: {}", part.shard, one_line(&part.sql))?;
    }
    Ok(())
}

/// The traits that are not plain from the statement itself.
fn traits(f: &mut Formatter<'_>, traits: Traits) -> fmt::Result {
    let words = [
        (traits.writes, "writes"),
        (traits.locks, "locks"),
        (traits.assigns_variables, "assigns variables"),
        (traits.pins_session, "pins the session"),
    ];
    let words: Vec<_> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    if words.is_empty() { Ok(()) } else { write!(f, " [{}]", words.join(", ")) }
}

fn insert_id(f: &mut Formatter<'_>, id: InsertId) -> fmt::Result {
    match id {
        InsertId::None => Ok(()),
        InsertId::FromServer => write!(f, "\n  insert id: the server's"),
        InsertId::Generated(first) => write!(f, "\n  insert id: generated from {first}"),
        InsertId::Explicit { shown, high, table } => {
            write!(f, "\n  insert id: given {shown}, highest {high} of {table}")
        }
    }
}

fn one_line(sql: &[u8]) -> String {
    String::from_utf8_lossy(sql).replace(['\n', '\r'], " ")
}
