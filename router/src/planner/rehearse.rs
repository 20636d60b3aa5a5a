//! Writes that no shard can do by itself: they are done on one server, on copies of the rows,
//! and what has become of these is written on the shards that own them.
//!
//! A second copy, from before the statement, tells by primary key what has become of the rows. So
//! nothing has to be known of what the statement means.

use crate::{
    bind::{Facts, primary_key, same_name},
    plan::{
        FetchColumn, FilledIds, KeyColumn, Outcome, Plan, Refusal, Rehearsal, ShardStatement,
        TableName, Traits,
    },
    planner::{
        Context,
        compute::{ComputeForm, columns},
        modify,
    },
    route::Values,
    template::{BindError, Editor},
    touch::Touching,
};
use shardline_model::{
    catalog::{Catalog, Table, TableKind},
    id::ShardId,
    predicate::{self, quote_identifier},
};
use sqlparser::ast::Statement;
use std::sync::Arc;

/// A write whose rows are brought to one server.
#[derive(Debug)]
pub(crate) struct RehearsalForm {
    compute: ComputeForm,
    targets: Vec<Changed>,
    pub(crate) traits: Traits,
    pub(crate) touching: Touching,
    reason: String,
}

/// How the rows of a statement whose shards cannot do it are brought together, or why not.
pub(crate) type Otherwise = Option<Box<Result<RehearsalForm, Refusal>>>;

/// A table that a statement changes.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) table: Arc<Table>,
    pub(crate) how: How,
}

/// How it changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Rows are added; none that is there matters, but that a server refuses equal keys.
    Adds {
        /// Only the cluster's sequence gives ids.
        only_generated: bool,
    },
    /// Rows are added, and become something else where there are rows of their keys.
    Meets {
        /// As above.
        only_generated: bool,
        /// What was there is deleted, as REPLACE does.
        replaces: bool,
    },
    /// Rows are deleted.
    Deletes,
    /// Rows are changed.
    Updates,
    /// Rows are changed but for those whose keys are taken.
    UpdatesWhereFree,
}

impl How {
    /// Whether all rows of the table matter.
    pub(crate) fn needs_all(self) -> bool {
        match self {
            Self::Meets { .. } | Self::UpdatesWhereFree => true,
            Self::Adds { .. } | Self::Deletes | Self::Updates => false,
        }
    }

    /// Whether the table's own reference in the statement reads no row.
    pub(crate) fn only_adds(self) -> bool {
        matches!(self, Self::Adds { .. })
    }

    fn inserts(self) -> Option<bool> {
        match self {
            Self::Adds { only_generated } | Self::Meets { only_generated, .. } => {
                Some(only_generated)
            }
            Self::Deletes | Self::Updates | Self::UpdatesWhereFree => None,
        }
    }
}

impl RehearsalForm {
    /// That of a statement which is understood.
    ///
    /// # Errors
    /// Why it cannot be done this way either.
    pub(crate) fn of(
        context: &Context<'_>,
        statement: &Statement,
        facts: &Facts,
        targets: Vec<Changed>,
        traits: Traits,
        reason: String,
    ) -> Result<Self, Refusal> {
        for target in &targets {
            check(target, facts)?;
        }
        let touching = Touching::of_tables(targets.iter().map(|target| target.table.as_ref()));
        let compute = ComputeForm::of_write(context, statement, facts, traits, &targets)?;
        Ok(Self { compute, targets, traits, touching, reason })
    }

    /// The plan of one execution.
    pub(crate) fn bind(
        &self,
        values: &Values<'_>,
        catalog: &Catalog,
        editor: &Editor<'_>,
        wide: bool,
    ) -> Result<Plan, BindError> {
        let sql = editor.single(Vec::new(), false).map_err(BindError::Refused)?;
        let compute = self.compute.bound(values, catalog, sql, self.traits);
        let outcomes = self.targets.iter().enumerate();
        let outcomes = outcomes.map(|(number, target)| target.outcome(number, catalog));
        let outcomes = outcomes.collect::<Result<Vec<_>, Refusal>>();
        Ok(Plan::Rehearse(Box::new(Rehearsal {
            compute,
            outcomes: outcomes.map_err(BindError::Refused)?,
            wide,
            reason: self.reason.clone(),
        })))
    }
}

/// What a table must have so that rows can be told apart.
fn check(target: &Changed, facts: &Facts) -> Result<(), Refusal> {
    let table = &target.table;
    let is_table = |id| table.id == id;
    let named = facts.instances.iter().filter_map(|instance| instance.table.as_ref());
    let named = named.filter(|table| is_table(table.id)).count();
    let Some(key) = primary_key(table) else {
        if target.how.only_adds() && named == 1 {
            return Ok(());
        }
        return Err(Refusal::not_supported(
            format!(
                "'{}' has no primary key, by which its changed rows could be found",
                table.name
            ),
            "give the table a primary key, or give the shard key a value in WHERE",
        ));
    };
    let inexact = |name: &&String| {
        let column = table.column(name);
        column.is_none_or(|column| column.generated || column.column_type.starts_with("float"))
    };
    match key.columns.iter().find(inexact) {
        None => Ok(()),
        Some(name) => Err(Refusal::not_supported(
            format!(
                "the primary key column '{name}' of '{}' cannot be compared exactly",
                table.name
            ),
            "give the shard key a value in WHERE",
        )),
    }
}

impl Changed {
    fn shards(&self, catalog: &Catalog) -> Vec<ShardId> {
        match &self.table.kind {
            TableKind::Broadcast => modify::all_shards(catalog),
            TableKind::Single { shard } => vec![*shard],
            TableKind::Sharded(_) => {
                let group = self.table.group(catalog);
                group
                    .map(|group| group.placement.shards().into_iter().collect())
                    .unwrap_or_default()
            }
        }
    }

    fn outcome(&self, number: usize, catalog: &Catalog) -> Result<Outcome, Refusal> {
        let table = self.table.as_ref();
        let columns = columns::all(table)?;
        let copies = Copies::of(table, number, &columns);
        let changes = !self.how.only_adds();
        let is_compared = copies.key.is_some();
        let updates = changes && self.how != How::Deletes;
        let (gone, changed) = (copies.gone(catalog)?, copies.changed(catalog)?);
        let new = copies.new_rows();
        Ok(Outcome {
            table: TableName { database: table.database.clone(), table: table.name.clone() },
            id: table.id,
            shards: self.shards(catalog),
            key: self.key(&columns),
            ids: self.ids(&copies, &new),
            keep: if is_compared { copies.keep() } else { Vec::new() },
            gone: gone.filter(|_| changes),
            changed: changed.filter(|_| updates),
            new: match self.how {
                How::Deletes => None,
                _ => Some(format!(
                    "SELECT {},{} {new}",
                    copies.owner(catalog, "a.")?,
                    copies.reads("a.", &columns)
                )),
            },
            moves: !matches!(self.how, How::Deletes | How::Meets { replaces: true, .. }),
            columns,
        })
    }

    fn key(&self, columns: &[FetchColumn]) -> Vec<KeyColumn> {
        let names = primary_key(&self.table).map(|key| key.columns.as_slice()).unwrap_or_default();
        let of = |name: &String| {
            let column = columns.iter().find(|column| same_name(&column.name, name))?.clone();
            let definition = self.table.column(name)?;
            let charset = definition.collation.as_deref();
            let charset = charset.and_then(|name| name.split('_').next()).map(str::to_owned);
            Some(KeyColumn { column, charset })
        };
        names.iter().filter_map(of).collect()
    }

    fn ids(&self, copies: &Copies<'_>, new: &str) -> Option<FilledIds> {
        let own = &copies.own;
        let only_generated = self.how.inserts()?;
        let column = self.table.columns.get(self.table.auto_increment?)?;
        let name = quote_identifier(&column.name);
        let next = match self.table.kind {
            TableKind::Single { shard } => {
                let sql = format!("SELECT COALESCE(MAX({name}),0)+1 FROM {own} FOR UPDATE");
                Some(ShardStatement { shard, sql: sql.into_bytes() })
            }
            TableKind::Sharded(_) | TableKind::Broadcast => None,
        };
        Some(FilledIds {
            column: column.name.clone(),
            count: format!("SELECT COUNT(*) {new}"),
            given: format!(
                "SELECT MAX(IF(a.{name}>={{first}} AND a.{name}<{{end}},NULL,a.{name})),\
                 COUNT(IF(a.{name}>={{first}} AND a.{name}<{{end}},1,NULL)) {new}"
            ),
            only_generated,
            next,
        })
    }
}

/// The copy that the statement changes, `a`, and the one from before, `b`.
struct Copies<'a> {
    table: &'a Table,
    own: String,
    kept: String,
    columns: &'a [FetchColumn],
    /// How rows of both are tied; None without a primary key: then all rows are new.
    key: Option<String>,
    /// Whether a row has the keys it had, and the rest.
    same_key: String,
    same_rest: Option<String>,
}

impl<'a> Copies<'a> {
    fn of(table: &'a Table, number: usize, columns: &'a [FetchColumn]) -> Self {
        let database = quote_identifier(&table.database);
        let kept = quote_identifier(&format!("_shardline_before_{number}"));
        let pair = |column: &FetchColumn| {
            let read = |prefix| columns::read(table, column, prefix);
            format!("{}<=>{}", read("a."), read("b."))
        };
        let same = |wanted: bool| {
            let chosen = columns.iter().filter(|column| is_key(table, &column.name) == wanted);
            let each: Vec<String> = chosen.map(pair).collect();
            (!each.is_empty()).then(|| format!("({})", each.join(" AND ")))
        };
        let key = primary_key(table).map(|key| {
            let each = key.columns.iter().map(|name| {
                let name = quote_identifier(name);
                format!("a.{name}=b.{name}")
            });
            each.collect::<Vec<_>>().join(" AND ")
        });
        Self {
            table,
            own: format!("{database}.{}", quote_identifier(&table.name)),
            kept: format!("{database}.{kept}"),
            columns,
            key,
            same_key: same(true).unwrap_or_else(|| "TRUE".into()),
            same_rest: same(false),
        }
    }

    fn keep(&self) -> Vec<String> {
        let names: Vec<String> = self.columns.iter().map(|c| quote_identifier(&c.name)).collect();
        let (own, kept, names) = (&self.own, &self.kept, names.join(","));
        vec![
            format!("CREATE TEMPORARY TABLE {kept} LIKE {own}"),
            format!("INSERT INTO {kept} ({names}) SELECT {names} FROM {own}"),
        ]
    }

    fn reads(&self, prefix: &str, columns: &[FetchColumn]) -> String {
        let each = columns.iter().map(|column| columns::read(self.table, column, prefix));
        each.collect::<Vec<_>>().join(",")
    }

    fn owner(&self, catalog: &Catalog, prefix: &str) -> Result<String, Refusal> {
        owner(self.table, prefix, catalog)
    }

    /// The keys of rows that are no more, or have other keys.
    fn gone(&self, catalog: &Catalog) -> Result<Option<String>, Refusal> {
        let Some(key) = &self.key else { return Ok(None) };
        let names = primary_key(self.table).map(|key| key.columns.as_slice()).unwrap_or_default();
        let of_key = |name: &String| self.columns.iter().find(|c| same_name(&c.name, name));
        let columns: Vec<FetchColumn> = names.iter().filter_map(of_key).cloned().collect();
        let (owner, reads) = (self.owner(catalog, "b.")?, self.reads("b.", &columns));
        let first = quote_identifier(names.first().map(String::as_str).unwrap_or_default());
        Ok(Some(format!(
            "SELECT {owner},{reads} FROM {} b LEFT JOIN {} a ON {key} WHERE a.{first} IS NULL OR NOT {}",
            self.kept, self.own, self.same_key
        )))
    }

    /// Rows that have the keys they had.
    fn changed(&self, catalog: &Catalog) -> Result<Option<String>, Refusal> {
        let (Some(key), Some(same_rest)) = (&self.key, &self.same_rest) else { return Ok(None) };
        let (owner, reads) = (self.owner(catalog, "a.")?, self.reads("a.", self.columns));
        Ok(Some(format!(
            "SELECT {owner},{reads} FROM {} b JOIN {} a ON {key} WHERE {} AND NOT {same_rest}",
            self.kept, self.own, self.same_key
        )))
    }

    /// What chooses rows that are new, or have other keys.
    fn new_rows(&self) -> String {
        let (own, kept) = (&self.own, &self.kept);
        let first = primary_key(self.table).and_then(|key| key.columns.first());
        match (&self.key, first) {
            (Some(key), Some(first)) => format!(
                "FROM {own} a LEFT JOIN {kept} b ON {key} WHERE b.{} IS NULL OR NOT {}",
                quote_identifier(first),
                self.same_key
            ),
            _ => format!("FROM {own} a"),
        }
    }
}

/// What stands in a query for the shard of a row whose columns are behind `prefix`.
fn owner(table: &Table, prefix: &str, catalog: &Catalog) -> Result<String, Refusal> {
    match &table.kind {
        TableKind::Broadcast => Ok("0".into()),
        TableKind::Single { shard } => Ok(shard.0.to_string()),
        TableKind::Sharded(_) => {
            let missing = || Refusal::not_supported("the table's placement is missing", "retry");
            let group = table.group(catalog).ok_or_else(missing)?;
            let types = table.key_types().map_err(|_| missing())?;
            let names = table.key_column_names();
            let names: Vec<String> =
                names.iter().map(|name| format!("{prefix}{}", quote_identifier(name))).collect();
            let mut text = "CASE".to_owned();
            for shard in group.placement.shards() {
                let condition = predicate::sql_of(&group.placement, &types, &names, shard);
                text.push_str(&format!(" WHEN {condition} THEN {}", shard.0));
            }
            Ok(text + " ELSE -1 END")
        }
    }
}

/// Whether a column is of a unique key or the shard key: a row whose values there differ has
/// another place.
fn is_key(table: &Table, name: &str) -> bool {
    let mut keys = table.unique_keys.iter().flat_map(|key| &key.columns);
    keys.any(|key| same_name(key, name))
        || table.key_column_names().iter().any(|key| same_name(key, name))
}
