//! What goes on now: sessions, transactions, statements and what they cost.

use crate::{
    api::{
        call::{Call, Reply},
        endpoint::{Endpoint, QueryParameter, Rule},
    },
    operations::{
        OperationError,
        live::{
            DigestListing, DigestOrder, DigestView, PlanView, SeriesView, SessionRow, SlowView,
            TransactionRow,
        },
        view::Listing,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_model::access::Scope;
use std::{sync::Arc, time::Duration};

const READ: Rule = Rule::Any(&[Scope::Read]);
const OPERATE: Rule = Rule::Any(&[Scope::Operate]);
const STATEMENTS: Rule = Rule::Any(&[Scope::Statements]);

/// What is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KillRequest {
    /// The statement that runs, and not the session.
    pub query_only: bool,
}

/// What was ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Killed {
    /// The session.
    pub id: u64,
}

/// A statement that is to be explained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExplainRequest {
    /// The database that it would run in.
    pub database: Option<String>,
    /// Its text.
    pub sql: String,
}

/// The operations.
pub(super) fn table() -> Vec<Endpoint> {
    const MINUTES: &[QueryParameter] = &[QueryParameter {
        name: "minutes",
        kind: "integer",
        text: "how far back, at most a week; 60 unless named",
    }];
    const TOP: &[QueryParameter] = &[
        QueryParameter { name: "order", kind: "string", text: "time, calls, errors or p99" },
        QueryParameter { name: "limit", kind: "integer", text: "how many, 50 unless named" },
        QueryParameter { name: "database", kind: "string", text: "only those of this database" },
    ];
    const SLOW: &[QueryParameter] =
        &[QueryParameter { name: "limit", kind: "integer", text: "how many, 100 unless named" }];
    vec![
        Endpoint::get::<Listing<SessionRow>, _>("listSessions", "/sessions", READ, sessions)
            .cli("session list")
            .does("The sessions of the proxy of the process that answers"),
        Endpoint::post::<KillRequest, Killed, _>(
            "killSession",
            "/sessions/{id}:kill",
            OPERATE,
            kill,
        )
        .cli("session kill")
        .does("Ends a session, or what it runs"),
        Endpoint::get::<Listing<TransactionRow>, _>(
            "listTransactions",
            "/transactions",
            READ,
            transactions,
        )
        .cli("txn list")
        .does("Transactions over several shards that are not done with"),
        Endpoint::post::<ExplainRequest, PlanView, _>(
            "explainStatement",
            "/sql:explain",
            STATEMENTS,
            explain,
        )
        .cli("explain")
        .does("What would be done with a statement; it is not run")
        .unnoted(),
        Endpoint::get::<SeriesView, _>("getSeries", "/metrics/series", READ, series)
            .query(MINUTES)
            .cli("cluster rates")
            .does("Statements, errors and times, over time"),
        Endpoint::get::<DigestListing, _>("listDigests", "/sql/digests", READ, digests)
            .query(TOP)
            .cli("sql-stats top")
            .does("What statements cost, by digest"),
        Endpoint::get::<DigestView, _>("getDigest", "/sql/digests/{id}", READ, digest)
            .cli("sql-stats show")
            .does("What one digest costs"),
        Endpoint::get::<Listing<SlowView>, _>("listSlow", "/sql/slow", READ, slow)
            .query(SLOW)
            .cli("sql-stats slow")
            .does("Slow statements, the newest first"),
    ]
}

async fn sessions(call: Arc<Call>) -> Result<Reply, OperationError> {
    let sessions = call.operations().session_rows(call.may(Scope::Statements))?;
    Reply::of(&Listing::of("SessionList", sessions))
}

async fn kill(call: Arc<Call>) -> Result<Reply, OperationError> {
    let (id, request): (_, KillRequest) = (call.number("id")?, call.body()?);
    call.operations().kill_session(id, request.query_only)?;
    Reply::of(&Killed { id })
}

async fn transactions(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&Listing::of("TransactionList", call.operations().transaction_rows()?))
}

async fn explain(call: Arc<Call>) -> Result<Reply, OperationError> {
    let request: ExplainRequest = call.body()?;
    Reply::of(&call.operations().explain(request.database.as_deref(), &request.sql)?)
}

async fn series(call: Arc<Call>) -> Result<Reply, OperationError> {
    let minutes = call.query_number("minutes", 60, 7 * 24 * 60)?;
    Reply::of(&call.operations().series(Duration::from_secs(minutes * 60))?)
}

async fn digests(call: Arc<Call>) -> Result<Reply, OperationError> {
    let order = call.query("order").unwrap_or("time");
    let order = DigestOrder::of(order)
        .ok_or_else(|| OperationError::usage("order is time, calls, errors or p99"))?;
    let limit = call.query_number("limit", 50, 10_000)? as usize;
    let texts = call.may(Scope::Statements);
    Reply::of(&call.operations().digests(order, limit, call.query("database"), texts)?)
}

async fn digest(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&call.operations().digest(call.part("id")?, call.may(Scope::Statements))?)
}

async fn slow(call: Arc<Call>) -> Result<Reply, OperationError> {
    let limit = call.query_number("limit", 100, 1_000)? as usize;
    let mut slow = call.operations().slow_since(0, call.may(Scope::Statements))?;
    slow.reverse();
    slow.truncate(limit);
    Reply::of(&Listing::of("SlowList", slow))
}
