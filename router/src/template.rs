//! Templates: statements planned once for a digest, and bound to the literals and
//! parameters of each execution. Binding a statement that one shard answers by one
//! integer key allocates nothing.

use crate::{
    lexer::{SqlMode, TokenKind},
    parse::Pieces,
    plan::{
        Affected, InsertId, Plan, Refusal, Scatter, ShardSql, ShardStatement, Single, Target,
        Traits, Write,
    },
    planner::{
        self, Context, compute::ComputeForm, functions::SessionCall, holds::Holds,
        insert::InsertForm, modify::ModifyForm, rehearse::RehearsalForm, scatter::build,
        select::ReadForm, strangers::Strangers,
    },
    route::{Destination, Values},
    splice::{Edit, Splicer},
    touch::{self, Touches, Touching},
    view::SessionView,
};
use shardline_model::{
    catalog::Catalog,
    id::{ShardId, TableId},
    key::Literal,
};
use std::{collections::BTreeSet, ops::Range, sync::Arc};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub use crate::planner::holds::Waits;

/// Where a literal stands in a statement's text, in the text's order.
pub use crate::lexer::LiteralSpan;

/// What the session contributes to an execution: the answers of the functions that a
/// shared connection to a shard cannot give.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionValues {
    /// CONNECTION_ID().
    pub connection_id: u64,
    /// LAST_INSERT_ID().
    pub last_insert_id: u64,
    /// USER(), SESSION_USER(), SYSTEM_USER(): `name@host`.
    pub user: String,
    /// CURRENT_USER(): `name@host pattern`.
    pub current_user: String,
    /// `sql_select_limit`, when the session has set it.
    pub select_limit: Option<u64>,
    /// FOUND_ROWS().
    pub found_rows: u64,
    /// ROW_COUNT().
    pub row_count: i64,
    /// `shardline_read_consistency`.
    pub read_consistency: &'static str,
    /// `@@socket`: the proxy's own; empty when it has none.
    pub socket: Arc<str>,
    /// `@@port`: the proxy's own.
    pub port: u16,
}

/// One execution of a template.
#[derive(Clone, Debug)]
pub struct BindInput<'a> {
    /// The statement's text, of the same fingerprint as the template's.
    pub sql: &'a [u8],
    /// Its literals.
    pub literals: &'a [LiteralSpan],
    /// The parameters of a prepared statement, one for each `?`; None for a text that
    /// the client sent by itself.
    pub params: Option<&'a [Literal<'a>]>,
    /// The session's values.
    pub session: &'a SessionValues,
    /// The snapshot that the template was made from.
    pub catalog: &'a Catalog,
    /// Sequence numbers, when [`BindError::NeedsIds`] asked for them.
    pub ids: Option<Range<u64>>,
}

/// Why a template gives no plan yet, or none at all.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BindError {
    /// Sequence numbers are needed first: reserve them and bind again.
    #[error("the statement needs {count} sequence numbers of table {table}")]
    NeedsIds {
        /// The sequence's table.
        table: TableId,
        /// How many, consecutive.
        count: u64,
    },
    /// The values make the statement one that cannot be done.
    #[error("{}", .0.reason)]
    Refused(Refusal),
}

/// A statement whose place no value decides.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) target: Target,
    pub(crate) traits: Traits,
    pub(crate) insert_id: InsertId,
    pub(crate) touching: Touching,
}

/// What is known of a statement before its values.
#[derive(Debug)]
pub(crate) enum Form {
    Fixed(Fixed),
    Read(ReadForm),
    Insert(InsertForm),
    Modify(ModifyForm),
    /// Its rows are brought to one server, whatever its values.
    Rehearse(Box<RehearsalForm>),
    /// A plan that is the same for every execution.
    Whole(Plan, Touching),
}

/// What a statement is called by in statistics: its text without values, and its database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementDigest {
    /// A hash of the whole of both.
    pub key: u64,
    /// The text, cut; values are marks.
    pub text: Arc<str>,
    /// The database.
    pub database: Option<Arc<str>>,
}

/// The longest text of a [`StatementDigest`], in bytes.
const DIGEST_TEXT_BYTES_MAX: usize = 1_024;

impl StatementDigest {
    /// Of a normalised text and the current database.
    pub fn new(text: &[u8], database: Option<&str>) -> Self {
        let seed = xxh3_64(database.unwrap_or_default().as_bytes());
        let cut = &text[..text.len().min(DIGEST_TEXT_BYTES_MAX)];
        let (key, text) = (xxh3_64_with_seed(text, seed), String::from_utf8_lossy(cut));
        Self { key, text: text.into(), database: database.map(Into::into) }
    }
}

/// A statement planned for one digest and one epoch.
#[derive(Debug)]
pub struct Template {
    digest: StatementDigest,
    form: Form,
    calls: Vec<SessionCall>,
    parameter_count: usize,
    mode: SqlMode,
    traits: Traits,
    holds: Holds,
}

impl Template {
    pub(crate) fn new(
        form: Form,
        calls: Vec<SessionCall>,
        pieces: &Pieces<'_>,
        holds: Holds,
    ) -> Self {
        let traits = match &form {
            Form::Fixed(fixed) => fixed.traits,
            Form::Read(read) => read.traits,
            Form::Insert(insert) => insert.traits,
            Form::Modify(modify) => modify.traits,
            Form::Rehearse(rehearsal) => rehearsal.traits,
            Form::Whole(..) => Traits::default(),
        };
        let (parameter_count, mode) = (pieces.parameters, pieces.mode);
        let digest = StatementDigest::default();
        Self { digest, form, calls, parameter_count, mode, traits, holds }
    }

    /// A template of a plan that no value changes: schema changes and statements of the
    /// session. It is good for texts with the same literals only. `touches` is what it
    /// writes or locks.
    pub fn of_plan(plan: Plan, touches: Touches, parameter_count: usize) -> Self {
        let traits = match &plan {
            Plan::Single(single) => single.traits,
            Plan::Scatter(scatter) => scatter.traits,
            Plan::Compute(compute) => compute.statement.traits,
            Plan::Write(_) => Traits { writes: true, ..Traits::default() },
            Plan::Rehearse(rehearsal) => rehearsal.compute.statement.traits,
            Plan::Ddl(_) | Plan::Session(_) | Plan::Refuse(_) => Traits::default(),
        };
        let mode = SqlMode::default();
        let form = Form::Whole(plan, Touching::told(touches));
        let holds = Holds::default();
        let digest = StatementDigest::default();
        Self { digest, form, calls: Vec::new(), parameter_count, mode, traits, holds }
    }

    /// The same, called by something.
    pub(crate) fn named(self, digest: StatementDigest) -> Self {
        Self { digest, ..self }
    }

    /// What it is called by in statistics.
    pub fn digest(&self) -> &StatementDigest {
        &self.digest
    }

    /// The same, for a plan whose execution waits for moves.
    pub(crate) fn waiting(mut self, waits: Waits) -> Self {
        self.holds.known = Some(waits).filter(|waits| !waits.is_empty());
        self
    }

    /// Whether units of its tables are held, so that [`Template::waits`] may say something.
    #[inline]
    pub fn may_wait(&self) -> bool {
        !self.holds.is_empty()
    }

    /// Whether units of its tables have come to another shard, so that [`Template::arrived`] may
    /// say something.
    #[inline]
    pub fn may_have_arrived(&self) -> bool {
        self.holds.has_arrived()
    }

    /// The moves by which units that this execution touches came to their shard: a snapshot of
    /// that shard from before does not have all of their rows.
    pub fn arrived(&self, input: &BindInput<'_>, plan: &Plan) -> Waits {
        self.holds.arrived(&self.form, input, &self.values(input), plan)
    }

    /// The moves that hold units which this execution touches: it waits until they are done
    /// or taken back, and is then planned anew. `input` and `plan` are as in [`Template::bind`].
    pub fn waits(&self, input: &BindInput<'_>, plan: &Plan) -> Waits {
        self.holds.waits(&self.form, input, &self.values(input), plan)
    }

    /// How many `?` it has.
    pub fn parameter_count(&self) -> usize {
        self.parameter_count
    }

    /// What it does.
    pub fn traits(&self) -> Traits {
        self.traits
    }

    /// The databases of the tables that it writes or locks, or reads while there are guards.
    pub fn touched_databases(&self) -> &[Arc<str>] {
        &self.touching().databases
    }

    fn touching(&self) -> &Touching {
        match &self.form {
            Form::Fixed(fixed) => &fixed.touching,
            Form::Read(read) => &read.touching,
            Form::Insert(insert) => &insert.touching,
            Form::Modify(modify) => &modify.touching,
            Form::Rehearse(rehearsal) => &rehearsal.touching,
            Form::Whole(_, touching) => touching,
        }
    }

    /// What one execution writes or locks, or reads while there are guards; `input` is as [`Template::bind`] made a plan of
    /// it, with the sequence numbers.
    pub fn touches(&self, input: &BindInput<'_>) -> Touches {
        let values = self.values(input);
        self.touching().touches(&values, input.catalog, || match &self.form {
            Form::Insert(form) => Some(touch::insert::of_form(form, input, &values)),
            Form::Fixed(_)
            | Form::Read(_)
            | Form::Modify(_)
            | Form::Rehearse(_)
            | Form::Whole(..) => None,
        })
    }

    fn values<'a>(&self, input: &BindInput<'a>) -> Values<'a> {
        let params = input.params.unwrap_or_default();
        Values { sql: input.sql, mode: self.mode, literals: input.literals, params }
    }

    /// The plan for one execution.
    ///
    /// # Errors
    /// [`BindError::NeedsIds`] asks the caller for sequence numbers;
    /// [`BindError::Refused`] says why these values cannot be used.
    pub fn bind(&self, input: &BindInput<'_>) -> Result<Plan, BindError> {
        let values = self.values(input);
        let editor = Editor { template: self, input };
        match &self.form {
            Form::Whole(plan, _) => Ok(plan.clone()),
            Form::Fixed(fixed) => editor.plan_single(fixed.target, fixed.traits, fixed.insert_id),
            Form::Read(form) => self.bind_read(form, input, values, &editor),
            Form::Modify(form) => self.bind_modify(form, input, values, &editor),
            Form::Insert(form) => self.bind_insert(form, input, &values, &editor),
            Form::Rehearse(form) => form.bind(&values, input.catalog, &editor, true),
        }
    }

    fn bind_insert(
        &self,
        form: &InsertForm,
        input: &BindInput<'_>,
        values: &Values<'_>,
        editor: &Editor<'_>,
    ) -> Result<Plan, BindError> {
        let refusal = match planner::insert::bind::bind(form, input, values, editor) {
            Err(BindError::Refused(refusal)) if refusal.is_of_shards() => refusal,
            bound => return bound,
        };
        let refused = |refusal: Refusal| BindError::Refused(refusal);
        if form.ids_only_generated {
            // Whoever inserts the rows.
            planner::insert::bind::row_ids(form, input, values)?;
        }
        let pieces = editor.pieces().map_err(refused)?;
        let view = SessionView {
            database: form.database.as_deref(),
            sql_mode: self.mode,
            allow_explicit_ids: !form.ids_only_generated,
        };
        let context = Context { pieces: &pieces, view: &view, catalog: input.catalog };
        let (table, ids) = (&form.table, form.ids_only_generated);
        let otherwise = planner::insert::rehearsed(&context, table, form.traits, ids, &refusal);
        otherwise.map_err(refused)?.bind(values, input.catalog, editor, true)
    }

    fn bind_read(
        &self,
        form: &ReadForm,
        input: &BindInput<'_>,
        values: Values<'_>,
        editor: &Editor<'_>,
    ) -> Result<Plan, BindError> {
        let shards = match form.route.destination(&values, input.catalog) {
            Destination::One(shard) => {
                return editor.plan_single(Target::Shard(shard), form.traits, InsertId::None);
            }
            Destination::Anywhere if form.traits.locks && form.route.broadcast => {
                // Every session must lock the same copy: that of the first shard.
                let first = input.catalog.shards.keys().next().copied();
                let target = first.map_or(Target::Any, Target::Shard);
                return editor.plan_single(target, form.traits, InsertId::None);
            }
            Destination::Anywhere => {
                return editor.plan_single(Target::Any, form.traits, InsertId::None);
            }
            Destination::Several(shards) => shards,
            Destination::Apart => BTreeSet::new(),
        };
        let refusal = match self.bind_scatter(form, input, values, editor, shards) {
            Err(BindError::Refused(refusal)) if refusal.is_of_shards() => refusal,
            bound => return bound,
        };
        let limit = input.session.select_limit;
        let again;
        let compute = match (&form.compute, &form.scatter) {
            (Some(compute), _) => &**compute,
            (None, Ok(scatter)) => {
                let pieces = editor.pieces().map_err(BindError::Refused)?;
                again = ComputeForm::of_scatter(&pieces, input.catalog, scatter, form.traits);
                &again
            }
            (None, Err(_)) => return Err(BindError::Refused(refusal)),
        };
        let compute = compute.as_ref().map_err(|refusal| BindError::Refused(refusal.clone()))?;
        planner::compute::bind(compute, &values, input.catalog, limit, editor)
    }

    fn bind_scatter(
        &self,
        form: &ReadForm,
        input: &BindInput<'_>,
        values: Values<'_>,
        editor: &Editor<'_>,
        shards: BTreeSet<ShardId>,
    ) -> Result<Plan, BindError> {
        let scatter =
            form.scatter.as_ref().map_err(|refusal| BindError::Refused(refusal.clone()))?;
        if shards.is_empty() {
            return Err(BindError::Refused(Refusal::not_supported(
                "the statement's tables are on different shards",
                "declare the smaller tables BROADCAST, or read the tables one by one",
            )));
        }
        let pieces = editor.pieces().map_err(BindError::Refused)?;
        let splicer = editor.splicer(&pieces, Vec::new(), true);
        let built = build::build(scatter, &pieces, values, splicer, input.session.select_limit)
            .map_err(BindError::Refused)?;
        let names: Vec<&str> = scatter
            .facts
            .instances
            .iter()
            .filter(|i| i.sharding().is_some())
            .map(|instance| instance.name.as_str())
            .collect();
        let strangers = scatter.strangers.reason(shards.iter().copied());
        Ok(Plan::Scatter(Scatter {
            parts: parts(shards, &scatter.strangers, |edits| built.text(edits)),
            merge: built.merge,
            traits: form.traits,
            reason: format!("rows of {} are on several shards{strangers}", names.join(", ")),
        }))
    }

    fn bind_modify(
        &self,
        form: &ModifyForm,
        input: &BindInput<'_>,
        values: Values<'_>,
        editor: &Editor<'_>,
    ) -> Result<Plan, BindError> {
        let otherwise = |refusal: Refusal, wide: bool| match form.otherwise.as_deref() {
            Some(Ok(rehearsal)) => rehearsal.bind(&values, input.catalog, editor, wide),
            Some(Err(refusal)) => Err(BindError::Refused(refusal.clone())),
            None => Err(BindError::Refused(refusal)),
        };
        for assignment in &form.key_assignments {
            if let Err(refusal) = assignment.check(&values) {
                return otherwise(refusal, true);
            }
        }
        let (shards, affected) = if form.copies {
            (planner::modify::all_shards(input.catalog), Affected::Copies)
        } else {
            match form.route.destination(&values, input.catalog) {
                Destination::One(shard) => {
                    return editor.plan_single(Target::Shard(shard), form.traits, form.insert_id);
                }
                Destination::Anywhere => {
                    return editor.plan_single(Target::Any, form.traits, form.insert_id);
                }
                Destination::Several(shards) => (shards.into_iter().collect(), Affected::Sum),
                Destination::Apart => (Vec::new(), Affected::Sum),
            }
        };
        if let [shard] = shards.as_slice() {
            return editor.plan_single(Target::Shard(*shard), form.traits, form.insert_id);
        }
        if let (false, Err(refusal)) = (form.copies, &form.several) {
            return otherwise(refusal.clone(), false);
        }
        if shards.is_empty() {
            let refusal = Refusal::not_supported(
                "the statement's tables are on different shards",
                "change one table at a time, by values read before",
            );
            return otherwise(refusal, false);
        }
        let pieces = editor.pieces().map_err(BindError::Refused)?;
        let splicer = editor.splicer(&pieces, Vec::new(), true);
        let text = |edits| splicer.with(edits).text(0..pieces.len());
        let strangers = form.strangers.reason(shards.iter().copied());
        let reason = match affected {
            Affected::Sum => format!("rows of {} are on several shards{strangers}", form.table),
            Affected::Copies => format!("broadcast table {} has a copy on every shard", form.table),
        };
        Ok(Plan::Write(Write {
            parts: parts(shards, &form.strangers, text),
            opens_no_snapshot: form.traits.opens_no_snapshot,
            affected,
            insert_id: InsertId::None,
            reason,
        }))
    }
}

/// The text of each shard: one for all that hold no rows of others.
fn parts(
    shards: impl IntoIterator<Item = ShardId>,
    strangers: &Strangers,
    text: impl Fn(Vec<Edit>) -> Vec<u8>,
) -> Vec<ShardStatement> {
    let mut plain: Option<Vec<u8>> = None;
    let mut part = |shard: ShardId| {
        let edits = strangers.edits(shard);
        let sql = match edits.is_empty() {
            true => plain.get_or_insert_with(|| text(edits)).clone(),
            false => text(edits),
        };
        ShardStatement { shard, sql }
    };
    shards.into_iter().map(&mut part).collect()
}

/// The longest alias that servers take.
const ALIAS_BYTES_MAX: usize = 255;

/// An alias for a select item whose text changes, so that its column keeps its name.
pub(crate) fn alias(pieces: &Pieces<'_>, item: &Range<usize>) -> Edit {
    let bytes = pieces.start_of(item.start)..pieces.end_of(item.end);
    let name = pieces.sql.get(bytes).unwrap_or_default();
    let mut text = b"AS `".to_vec();
    for &byte in name.iter().take(ALIAS_BYTES_MAX) {
        text.extend_from_slice(if byte == b'`' { b"``" } else { std::slice::from_ref(&byte) });
    }
    text.push(b'`');
    Edit { pieces: item.end..item.end, text }
}

/// Makes the texts of one execution.
pub(crate) struct Editor<'a> {
    template: &'a Template,
    input: &'a BindInput<'a>,
}

impl<'a> Editor<'a> {
    /// The execution's own pieces: literals differ in length between texts.
    pub(crate) fn pieces(&self) -> Result<Pieces<'a>, Refusal> {
        Ok(Pieces::of(self.input.sql, self.template.mode)?)
    }

    /// A splicer with the session's values, more edits, and the parameters written out
    /// when `literal`.
    pub(crate) fn splicer<'p>(
        &self,
        pieces: &'p Pieces<'p>,
        mut edits: Vec<Edit>,
        literal: bool,
    ) -> Splicer<'p>
    where
        'a: 'p,
    {
        let no_escapes = self.template.mode.no_backslash_escapes;
        for call in &self.template.calls {
            let text = call.text(self.input.session, no_escapes);
            // An edit around the call already replaces it.
            let covered = edits.iter().any(|e| e.pieces.contains(&call.pieces.start));
            if !covered {
                edits.push(Edit { pieces: call.pieces.clone(), text });
            }
        }
        if let Form::Read(form) = &self.template.form {
            edits.extend(self.aliases(form, pieces, literal));
        }
        let params = if literal { self.input.params } else { None };
        Splicer { pieces, edits, params }
    }

    /// Aliases for select items whose text changes, so that their columns keep their names.
    fn aliases(&self, form: &ReadForm, pieces: &Pieces<'_>, literal: bool) -> Vec<Edit> {
        let changed = |range: &&Range<usize>| {
            self.template.calls.iter().any(|call| range.contains(&call.pieces.start))
                || (literal && (*range).clone().any(|i| pieces.is(i, TokenKind::Parameter)))
                || is_respaced(pieces, (*range).clone())
        };
        form.nameless.iter().filter(changed).map(|range| alias(pieces, range)).collect()
    }

    /// The text for one shard; parameters stay unless one of them was replaced.
    pub(crate) fn single(
        &self,
        edits: Vec<Edit>,
        replaces_parameter: bool,
    ) -> Result<ShardSql, Refusal> {
        if edits.is_empty() && self.template.calls.is_empty() {
            return Ok(ShardSql::Unchanged);
        }
        let literal = replaces_parameter && self.template.parameter_count > 0;
        let pieces = self.pieces()?;
        let splicer = self.splicer(&pieces, edits, literal);
        let sql = splicer.text(0..pieces.len());
        Ok(ShardSql::Edited { sql, keeps_parameters: !literal })
    }

    fn plan_single(
        &self,
        target: Target,
        traits: Traits,
        insert_id: InsertId,
    ) -> Result<Plan, BindError> {
        let sql = self.single(Vec::new(), false).map_err(BindError::Refused)?;
        Ok(Plan::Single(Single { target, sql, traits, insert_id }))
    }
}

/// Whether a splice writes an expression with other spaces or without its comments, where
/// the server names the column by the text. It does not for columns and literals, with or
/// without parentheses.
fn is_respaced(pieces: &Pieces<'_>, range: Range<usize>) -> bool {
    let plain = range.clone().all(|index| match pieces.kind(index) {
        Some(TokenKind::Dot | TokenKind::LeftParen | TokenKind::RightParen) => true,
        Some(kind) if kind.is_literal() => true,
        _ => pieces.identifier(index).is_some() && !pieces.is(index + 1, TokenKind::LeftParen),
    });
    !plain
        && (range.start + 1..range.end).any(|index| {
            let between = pieces.sql.get(pieces.end_of(index)..pieces.start_of(index));
            // The server leaves the marks of executable comments out of the name.
            !matches!(between, Some(b"" | b" "))
                && between.is_some_and(|text| !text.contains(&b'!'))
        })
}
