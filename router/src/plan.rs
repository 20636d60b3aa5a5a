//! Plans: plain data that says where a statement runs and how its results are put
//! together. The text form (`Display`) is what `EXPLAIN SHARDING` and the golden
//! tests print.

mod rehearsal;

pub use rehearsal::{FilledIds, KeyColumn, Outcome, Rehearsal};

use shardline_model::id::{ShardId, TableId};
use std::ops::Range;

/// What is done with one statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// The whole statement on one shard; its result is streamed back undecoded.
    Single(Single),
    /// The same or an edited statement on several shards, merged.
    Scatter(Scatter),
    /// A read whose rows are brought to one server, which runs the rest.
    Compute(Box<Compute>),
    /// A write on several shards.
    Write(Write),
    /// A write that is done on copies of its rows, and then on the shards.
    Rehearse(Box<Rehearsal>),
    /// A schema change on all shards.
    Ddl(Ddl),
    /// Handled by the session.
    Session(SessionStatement),
    /// Not run at all.
    Refuse(Refusal),
}

/// A statement that one shard answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Single {
    /// Where.
    pub target: Target,
    /// What is sent.
    pub sql: ShardSql,
    /// What it does there.
    pub traits: Traits,
    /// Where its insert id comes from.
    pub insert_id: InsertId,
}

/// Which shard a [`Single`] runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one: it holds the rows.
    Shard(ShardId),
    /// Any: no table, or broadcast tables read without locks. The session's open
    /// transaction prefers a shard that it has already touched.
    Any,
}

/// The text for a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardSql {
    /// The client's own bytes.
    Unchanged,
    /// The client's bytes with pieces replaced. Parameters (`?`) stay parameters when
    /// `keeps_parameters`; otherwise they were replaced by literals.
    Edited {
        /// The text.
        sql: Vec<u8>,
        /// Whether the text still holds all the statement's `?`, in order.
        keeps_parameters: bool,
    },
}

/// What a statement does to the data and to the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// It changes rows.
    pub writes: bool,
    /// It takes row locks (`FOR UPDATE` and the like).
    pub locks: bool,
    /// It locks every row that it reads, so it opens no snapshot: what is read behind it in its
    /// transaction is as it is then.
    pub opens_no_snapshot: bool,
    /// It returns rows.
    pub returns_rows: bool,
    /// It assigns user variables (`:=`, `INTO @v`), or what FOUND_ROWS() says: read back after it
    /// ran.
    pub assigns_variables: bool,
    /// The server keeps session state that nothing can put back (temporary tables,
    /// GET_LOCK, LOCK TABLES): the session stays on that connection.
    pub pins_session: bool,
}

/// A read on several shards.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// The statement for each shard; parameters are already literals.
    pub parts: Vec<ShardStatement>,
    /// How the results become one.
    pub merge: Merge,
    /// What it does.
    pub traits: Traits,
    /// Why one shard was not enough, for EXPLAIN.
    pub reason: String,
}

/// A read that no merge of the shards' rows answers: the tables that it names are filled, on one
/// server, with the rows that can matter, and the statement runs there as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Compute {
    /// The statement, for that server.
    pub statement: Single,
    /// What it needs, table by table.
    pub fetches: Vec<Fetch>,
    /// The shard whose server already has a table of it that no other has.
    pub home: Option<ShardId>,
}

impl Compute {
    /// The shards that are read, without repetition.
    pub fn shards(&self) -> Vec<ShardId> {
        let parts = self.fetches.iter().flat_map(|fetch| &fetch.parts);
        let mut shards: Vec<ShardId> = parts.map(|part| part.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}

/// The rows of one table that a [`Compute`] may need.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetch {
    /// The table.
    pub table: TableName,
    /// Where all of it is.
    pub whole: Whole,
    /// The names of the columns that `*` stands for, in order.
    pub shown: Vec<String>,
    /// What the parts select, in order.
    pub columns: Vec<FetchColumn>,
    /// Whether every column that is left out may be left out of an INSERT.
    pub complete: bool,
    /// The query for each shard.
    pub parts: Vec<ShardStatement>,
    /// A write changes the table, so that its rows are locked.
    pub locked: bool,
}

/// Which shards have all rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// None.
    Nowhere,
    /// This one.
    On(ShardId),
    /// Each.
    Everywhere,
}

/// A column of a [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchColumn {
    /// Its name.
    pub name: String,
    /// How its values come.
    pub carried: Carried,
}

/// How a value comes from a shard, and so how it is written for another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Digits, as they are.
    Number,
    /// ASCII text, in quotes.
    Text,
    /// Bytes in the column's own character set.
    Bytes,
    /// UTF-8.
    Utf8,
    /// Seconds since 1970, with a fraction; 0 is the date of zeros.
    Timestamp,
}

/// One shard's share of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStatement {
    /// Where.
    pub shard: ShardId,
    /// What.
    pub sql: Vec<u8>,
}

/// How the shards' rows become the client's. Every shard's result has the statement's
/// own (visible) columns first and `hidden` columns after them, which are dropped.
///
/// Applied in this order: `grouping`, `distinct`, `order_by`, `offset` and `limit`.
/// With no grouping and no distinct and an `order_by`, every shard's rows come sorted
/// and are merged as a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merge {
    /// How many trailing columns are not the client's.
    pub hidden: usize,
    /// Groups of rows that become one row.
    pub grouping: Option<Grouping>,
    /// Columns by which equal rows are one.
    pub distinct: Option<Vec<SortColumn>>,
    /// The order; empty when the statement fixes none.
    pub order_by: Vec<OrderKey>,
    /// Rows to skip after merging.
    pub offset: u64,
    /// Rows to return at most.
    pub limit: Option<u64>,
}

/// GROUP BY, or one group of everything when `keys` is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Grouping {
    /// The grouping columns.
    pub keys: Vec<SortColumn>,
    /// How each aggregate column of the result comes from the shards' columns.
    /// Columns that are not named here take any row's value of the group.
    pub aggregates: Vec<AggregateColumn>,
    /// The statement has no GROUP BY: its result is one row, even of no rows.
    pub one_row: bool,
}

/// One aggregate of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateColumn {
    /// The visible column it fills.
    pub column: ColumnRef,
    /// How.
    pub function: MergeFunction,
}

/// How partial aggregates become the whole one.
#[derive(Clone, Debug, PartialEq)]
pub enum MergeFunction {
    /// COUNT: the sum of the counts, never NULL.
    SumOfCounts,
    /// SUM: the sum of what is not NULL, else NULL; exact for integers and decimals.
    Sum,
    /// AVG: `sum` / `count`, with the scale of the visible column.
    Average {
        /// Hidden column with SUM.
        sum: ColumnRef,
        /// Hidden column with COUNT.
        count: ColumnRef,
    },
    /// MIN by the comparison of `by`.
    Min {
        /// What is compared.
        by: SortColumn,
    },
    /// MAX by the comparison of `by`.
    Max {
        /// What is compared.
        by: SortColumn,
    },
    /// COUNT(DISTINCT ..): how many different lists of values without NULL came.
    CountDistinct {
        /// The values.
        values: Vec<SortColumn>,
    },
    /// SUM(DISTINCT ..): the sum of the different values that are not NULL, else NULL.
    SumDistinct {
        /// The value, a number.
        value: SortColumn,
    },
    /// AVG(DISTINCT ..) of the same.
    AverageDistinct {
        /// The value, a number.
        value: SortColumn,
    },
}

/// A column of the shards' results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnRef {
    /// Counted from the first of the statement's own columns.
    Visible(usize),
    /// Counted from the first hidden column.
    Hidden(usize),
}

/// A column that is compared. For a character column `weight` holds
/// `WEIGHT_STRING(expr)` and `pad` the weight of one space under the same collation
/// (empty under NO PAD): the shorter weight is padded by it. Where `weight` is NULL or
/// absent, the values are compared by the column's type. NULL sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortColumn {
    /// The value.
    pub value: ColumnRef,
    /// Its weight, for what may be a string.
    pub weight: Option<ColumnRef>,
    /// The weight of the pad character.
    pub pad: Option<ColumnRef>,
}

/// One ORDER BY key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderKey {
    /// What is compared.
    pub column: SortColumn,
    /// DESC.
    pub descending: bool,
}

/// A write that several shards do. Until distributed transactions exist it is not
/// atomic, and an open transaction refuses it.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The statement for each shard; parameters are already literals.
    pub parts: Vec<ShardStatement>,
    /// As in [`Traits`].
    pub opens_no_snapshot: bool,
    /// How many rows it says it changed.
    pub affected: Affected,
    /// Where its insert id comes from.
    pub insert_id: InsertId,
    /// Why one shard was not enough, for EXPLAIN.
    pub reason: String,
}

/// How the affected-row counts of several shards become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affected {
    /// Each shard changed its own rows.
    Sum,
    /// Every shard changed its copy of the same rows.
    Copies,
}

/// Where the insert id in the OK packet, and LAST_INSERT_ID(), come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InsertId {
    /// No AUTO_INCREMENT column is filled: the session's value stays.
    #[default]
    None,
    /// The server's own AUTO_INCREMENT (a single table): take it from its OK packet.
    FromServer,
    /// The cluster's sequence; the first value given out by this statement.
    Generated(u64),
    /// The statement named the value: the OK packet shows it, LAST_INSERT_ID() stays.
    /// `high` is the largest one: the sequence must go on after it.
    Explicit {
        /// Value for the OK packet.
        shown: u64,
        /// Largest value in the statement.
        high: u64,
        /// The sequence's table.
        table: TableId,
    },
}

/// What cannot be done, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// MySQL error number; 1235 (not supported yet) unless one fits better.
    pub code: u16,
    /// What and why.
    pub reason: String,
    /// What to do instead.
    pub hint: String,
}

/// A schema change. The sharding clauses are already taken out of `sql`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ddl {
    /// What the catalog needs to know.
    pub kind: DdlKind,
    /// The statement for every shard.
    pub sql: Vec<u8>,
}

/// The schema changes that the catalog follows.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields are named as in the grammar of their variant")]
pub enum DdlKind {
    /// CREATE DATABASE.
    CreateDatabase { name: String, if_not_exists: bool },
    /// ALTER DATABASE.
    AlterDatabase { name: String },
    /// DROP DATABASE.
    DropDatabase { name: String, if_exists: bool },
    /// CREATE TABLE with the declared kind, if any (clause, then comment; the rules
    /// of the catalog apply where both are absent).
    CreateTable {
        table: TableName,
        if_not_exists: bool,
        sharding: Option<ShardingClause>,
        like: Option<TableName>,
    },
    /// ALTER TABLE, CREATE INDEX, DROP INDEX; `renamed` when it also renames.
    AlterTable { table: TableName, renamed: Option<TableName> },
    /// ALTER TABLE that spreads the table anew; a background job when the statement does not wait.
    Reshard { table: TableName, sharding: ShardingClause, background: bool },
    /// DROP TABLE of one or more tables.
    DropTables { tables: Vec<TableName>, if_exists: bool },
    /// TRUNCATE TABLE.
    TruncateTable { table: TableName },
    /// RENAME TABLE; pairs of old and new.
    RenameTables { pairs: Vec<(TableName, TableName)> },
}

/// A table's full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Its database (the session's when the statement gave none).
    pub database: String,
    /// Its name.
    pub table: String,
}

/// A parsed sharding clause.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields are named as in the grammar of their variant")]
pub enum ShardingClause {
    /// `SHARD BY HASH (columns) [COLOCATE (table)]`.
    Hash { columns: Vec<String>, colocate: Option<TableName> },
    /// `SHARD BY RANGE (columns) [(VALUES LESS THAN (..) ON shard, ..)] [COLOCATE (table)]`.
    Range { columns: Vec<String>, units: Vec<RangeClauseUnit>, colocate: Option<TableName> },
    /// `SHARD BY LIST (columns) [(VALUES IN (..) ON shard, .. [, DEFAULT ON shard])] [COLOCATE (table)]`.
    List {
        columns: Vec<String>,
        units: Vec<ListClauseUnit>,
        default: Option<String>,
        colocate: Option<TableName>,
    },
    /// `BROADCAST`.
    Broadcast,
    /// `SINGLE [ON shard]`.
    Single { shard: Option<String> },
}

/// `VALUES LESS THAN (bound) ON shard`.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeClauseUnit {
    /// Literals as SQL text, one for each column; None is MAXVALUE.
    pub less_than: Option<Vec<String>>,
    /// Shard name.
    pub shard: String,
}

/// `VALUES IN (..) ON shard`.
#[derive(Clone, Debug, PartialEq)]
pub struct ListClauseUnit {
    /// Keys: literals as SQL text, one for each column.
    pub values: Vec<Vec<String>>,
    /// Shard name.
    pub shard: String,
}

/// Statements that the session handles itself.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields are named as in the grammar of their variant")]
pub enum SessionStatement {
    /// `USE db`.
    Use { database: String },
    /// `SET ...`, as a list in the statement's order.
    Set { assignments: Vec<Assignment> },
    /// `BEGIN`, `START TRANSACTION ...`; the characteristics are in the text.
    Begin { read_only: bool, consistent_snapshot: bool },
    /// `COMMIT [AND CHAIN] [RELEASE]`.
    Commit { chain: bool, release: bool },
    /// `ROLLBACK [AND CHAIN] [RELEASE]`.
    Rollback { chain: bool, release: bool },
    /// `SAVEPOINT name`.
    Savepoint { name: String },
    /// `ROLLBACK TO [SAVEPOINT] name`.
    RollbackTo { name: String },
    /// `RELEASE SAVEPOINT name`.
    ReleaseSavepoint { name: String },
    /// `PREPARE name FROM text`; names are lower case.
    Prepare {
        /// The statement's name.
        name: String,
        /// Its text.
        text: PreparedText,
    },
    /// `EXECUTE name [USING ..]`.
    Execute {
        /// The statement's name.
        name: String,
        /// A value for each `?`.
        arguments: Vec<Argument>,
    },
    /// `DEALLOCATE | DROP PREPARE name`.
    Deallocate {
        /// The statement's name.
        name: String,
    },
    /// `KILL [CONNECTION | QUERY] id`.
    Kill { id: u64, query_only: bool },
    /// `SHOW DATABASES | SCHEMAS [LIKE ..]`.
    ShowDatabases { like: Option<String> },
    /// `SHOW CREATE TABLE t`: run on a shard, the sharding clause added to the answer.
    ShowCreateTable { table: TableName },
    /// `SHOW WARNINGS` / `SHOW ERRORS` with their LIMIT, and the counting form.
    ShowWarnings { errors_only: bool, count_only: bool, offset: u64, limit: Option<u64> },
    /// `SHOW [FULL] PROCESSLIST`.
    ShowProcesslist { full: bool },
    /// `SHOW [GLOBAL | SESSION] STATUS [LIKE ..]`.
    ShowStatus { like: Option<String> },
    /// `SHOW [GLOBAL | SESSION] VARIABLES LIKE 'shard..'`: Shardline's own.
    ShowVariables { global: bool, like: String },
    /// `SHOW SHARDS`.
    ShowShards,
    /// `SHOW TRANSACTIONS`: those over several shards that are not done with.
    ShowTransactions,
    /// `SHOW TRANSACTION STATUS ['xid']`: what became of one; without an xid of the
    /// session's last one.
    ShowTransactionStatus { xid: Option<String> },
    /// `CALL shardline.txn_resolve('xid', 'choice' [, shard])`.
    TransactionResolve { xid: String, choice: ResolveChoice, shard: Option<String> },
    /// `SHOW JOBS`.
    ShowJobs,
    /// `CALL shardline.procedure(..)`: an operation on the cluster; its arguments as texts.
    CallOperation { procedure: String, arguments: Vec<String> },
    /// A query that reads tables of the database `shardline`; where they stand in its text.
    ReadOperations { tables: Vec<OperationTable> },
    /// `EXPLAIN SHARDING statement`: the byte range of the inner statement.
    ExplainSharding { statement: Range<usize> },
}

/// A table of the database `shardline` in a query's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationTable {
    /// The bytes of `shardline.table`.
    pub place: Range<usize>,
    /// The table's name, lower case.
    pub name: String,
    /// What stands there.
    pub role: OperationRole,
}

/// What a name of a table stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationRole {
    /// The table, with a name of its own behind it.
    Named,
    /// The table.
    Plain,
    /// The qualifier of a column.
    Qualifier,
}

/// What to do with changes that cannot be undone since others changed the rows after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveChoice {
    /// The rows stay as they are.
    Keep,
    /// They become as they were before the transaction.
    Restore,
    /// Rows that nobody changed since become as they were before the transaction; the others
    /// stay as they are.
    Merge,
}

/// Where PREPARE takes the text from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreparedText {
    /// A string.
    Literal(String),
    /// A user variable, without its `@`.
    Variable(String),
}

/// A value of EXECUTE .. USING.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A user variable, without its `@`.
    Variable(String),
    /// A literal, as written.
    Literal(String),
}

/// One assignment of SET.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields are named as in the grammar of their variant")]
pub enum Assignment {
    /// `@name = expr`.
    UserVariable { name: String, value: String },
    /// `[@@][SESSION|LOCAL] name = expr`. Names are lower case. `DEFAULT` is kept as text.
    Session { name: String, value: String },
    /// `GLOBAL name = expr`.
    Global { name: String, value: String },
    /// `NAMES charset [COLLATE c]` or `CHARACTER SET charset`; None for DEFAULT.
    Names { charset: Option<String>, collation: Option<String>, character_set_only: bool },
    /// `[SESSION | GLOBAL] TRANSACTION ...`; `next_only` without a scope word.
    Transaction { next_only: bool, global: bool, characteristics: String },
}
