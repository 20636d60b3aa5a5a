//! `shardline cluster`, `database`, `table`, `session`, `txn`, `explain` and `sql-stats`.

use super::{
    access::{escaped, shown},
    job::moment,
    live_arguments::{
        ClusterVerb, DatabaseVerb, ExplainArguments, SessionVerb, StatisticsVerb, TableVerb,
        TransactionVerb,
    },
    shard::client,
    show::{bytes, count, table},
};
use crate::{
    api::handlers::live::{ExplainRequest, KillRequest, Killed},
    exit::{Failure, Reason},
    operations::{
        cluster::{ClusterView, MetaNodeView, ProxyView, ServerView},
        live::{
            DigestListing, DigestView, PlanView, SeriesView, SessionRow, ShardTimeView, SlowView,
            TransactionRow,
        },
        tables::{DatabaseView, TableView},
        view::Listing,
    },
};

/// How many characters of a statement a table shows.
const TEXT_CHARS: usize = 80;

fn maybe(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn cut(text: Option<&str>) -> String {
    text.unwrap_or("-").chars().take(TEXT_CHARS).collect()
}

fn us(us: Option<u64>) -> String {
    us.map_or_else(|| "-".to_owned(), |us| format!("{:.2} ms", us as f64 / 1e3))
}

/// Rows under a header.
fn rows(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = table(header);
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}

/// `shardline cluster`.
pub(super) async fn cluster(verb: &ClusterVerb) -> Result<(), Failure> {
    match verb {
        ClusterVerb::Show(api) => {
            let cluster: ClusterView = client(api)?.get("/api/v1/cluster").await?;
            shown(&cluster, api.output, || summary(&cluster))
        }
        ClusterVerb::Servers(api) => {
            let all: Listing<ServerView> = client(api)?.get("/api/v1/servers").await?;
            shown(&all, api.output, || servers(&all.items))
        }
        ClusterVerb::Proxies(api) => {
            let all: Listing<ProxyView> = client(api)?.get("/api/v1/proxies").await?;
            shown(&all, api.output, || {
                let row = |proxy: &ProxyView| {
                    vec![
                        proxy.id.to_string(),
                        proxy.address.clone(),
                        proxy.version.clone(),
                        proxy.state.clone(),
                        maybe(proxy.acknowledged_epoch),
                        maybe(proxy.sessions),
                    ]
                };
                let header = ["PROXY", "ADDRESS", "VERSION", "STATE", "EPOCH", "SESSIONS"];
                rows(&header, all.items.iter().map(row))
            })
        }
        ClusterVerb::Nodes(api) => {
            let all: Listing<MetaNodeView> = client(api)?.get("/api/v1/meta-nodes").await?;
            shown(&all, api.output, || {
                let row = |node: &MetaNodeView| {
                    vec![
                        node.id.to_string(),
                        node.address.clone(),
                        node.role.clone(),
                        maybe(node.matched_index),
                    ]
                };
                rows(&["NODE", "ADDRESS", "ROLE", "LOG INDEX"], all.items.iter().map(row))
            })
        }
        ClusterVerb::Rates(arguments) => {
            let path = format!("/api/v1/metrics/series?minutes={}", arguments.minutes);
            let series: SeriesView = client(&arguments.api)?.get(&path).await?;
            shown(&series, arguments.api.output, || rates(&series))
        }
        ClusterVerb::Watch(api) => client(api)?.stream("/api/v1/events").await,
    }
}

fn summary(cluster: &ClusterView) -> String {
    let mut text = format!("{} · {}\n", cluster.name, cluster.health.sentence);
    for reason in &cluster.health.reasons {
        text.push_str(&format!("  {}: {}\n", reason.code, reason.text));
    }
    text.push_str(&format!(
        "{} databases · {} tables · {} jobs running · catalog {}",
        cluster.databases, cluster.tables, cluster.jobs_running, cluster.epoch
    ));
    if let Some(now) = &cluster.now {
        text.push_str(&format!(
            "\n{:.0} statements/s · {:.1} errors/s · p50 {} · p99 {} · {} sessions",
            now.statements_per_s,
            now.errors_per_s,
            us(now.p50_us),
            us(now.p99_us),
            now.sessions
        ));
    }
    text
}

fn servers(servers: &[ServerView]) -> String {
    let row = |server: &ServerView| {
        vec![
            server.shard.clone(),
            server.role.clone(),
            server.address.clone(),
            if server.up { "up" } else { "down" }.to_owned(),
            maybe(server.version.as_ref()),
            format!("{} of {}", maybe(server.connections), maybe(server.connections_max)),
            maybe(server.problem.as_ref()),
        ]
    };
    let header = ["SHARD", "ROLE", "ADDRESS", "STATE", "VERSION", "CONNECTIONS", "PROBLEM"];
    rows(&header, servers.iter().map(row))
}

fn rates(series: &SeriesView) -> String {
    let header = ["UNTIL", "STATEMENTS/S", "ERRORS/S", "P50", "P99", "SESSIONS"];
    let points = series.points.iter().map(|point| {
        vec![
            moment(point.unix_s),
            format!("{:.1}", point.statements_per_s),
            format!("{:.1}", point.errors_per_s),
            us(point.p50_us),
            us(point.p99_us),
            point.sessions.to_string(),
        ]
    });
    rows(&header, points)
}

/// `shardline database`.
pub(super) async fn database(verb: &DatabaseVerb) -> Result<(), Failure> {
    let DatabaseVerb::List(api) = verb;
    let all: Listing<DatabaseView> = client(api)?.get("/api/v1/databases").await?;
    shown(&all, api.output, || {
        let row = |one: &DatabaseView| {
            vec![
                one.name.clone(),
                one.home.clone(),
                one.collation.clone(),
                one.tables.to_string(),
                maybe(one.guard.as_ref()),
            ]
        };
        rows(&["DATABASE", "HOME", "COLLATION", "TABLES", "GUARD"], all.items.iter().map(row))
    })
}

/// `shardline table`.
pub(super) async fn tables(verb: &TableVerb) -> Result<(), Failure> {
    match verb {
        TableVerb::List(arguments) => {
            let path = format!("/api/v1/databases/{}/tables", escaped(&arguments.database));
            let all: Listing<TableView> = client(&arguments.api)?.get(&path).await?;
            shown(&all, arguments.api.output, || {
                let row = |one: &TableView| {
                    vec![
                        one.name.clone(),
                        one.kind.clone(),
                        one.clause.clone().unwrap_or_else(|| "-".to_owned()),
                        one.rows.map_or_else(|| "-".to_owned(), count),
                        one.bytes.map_or_else(|| "-".to_owned(), bytes),
                        one.skew.map_or_else(|| "-".to_owned(), |skew| format!("{skew:.2}")),
                    ]
                };
                let header = ["TABLE", "KIND", "HOW", "ROWS", "SIZE", "SKEW"];
                rows(&header, all.items.iter().map(row))
            })
        }
        TableVerb::Show(arguments) => {
            let (database, name) = arguments
                .table
                .split_once('.')
                .ok_or_else(|| Failure::new(Reason::Usage, "a table is named DATABASE.TABLE"))?;
            let path = format!("/api/v1/databases/{}/tables/{}", escaped(database), escaped(name));
            let one: TableView = client(&arguments.api)?.get(&path).await?;
            shown(&one, arguments.api.output, || placement(&one))
        }
    }
}

fn placement(one: &TableView) -> String {
    let how = one.clause.as_deref().unwrap_or(&one.kind);
    let parts = one.shards.iter().map(|part| {
        vec![
            part.shard.clone(),
            part.share.clone(),
            part.rows.map_or_else(|| "-".to_owned(), count),
            part.bytes.map_or_else(|| "-".to_owned(), bytes),
            maybe(part.problem.as_ref()),
        ]
    });
    let parts = rows(&["SHARD", "OWNS", "ROWS", "SIZE", "PROBLEM"], parts);
    let skew = one.skew.map_or_else(String::new, |skew| format!(" · skew {skew:.2}"));
    format!("{}.{} · {how}{skew}\n{parts}", one.database, one.name)
}

/// `shardline session`.
pub(super) async fn session(verb: &SessionVerb) -> Result<(), Failure> {
    match verb {
        SessionVerb::List(api) => {
            let all: Listing<SessionRow> = client(api)?.get("/api/v1/sessions").await?;
            shown(&all, api.output, || {
                let row = |one: &SessionRow| {
                    vec![
                        one.id.to_string(),
                        one.user.clone(),
                        one.host.clone(),
                        maybe(one.database.as_ref()),
                        one.command.clone(),
                        format!("{} ms", one.elapsed_ms),
                        cut(one.statement.as_deref()),
                    ]
                };
                let header = ["SESSION", "USER", "FROM", "DATABASE", "DOES", "FOR", "STATEMENT"];
                rows(&header, all.items.iter().map(row))
            })
        }
        SessionVerb::Kill(arguments) => {
            let path = format!("/api/v1/sessions/{}:kill", arguments.id);
            let request = KillRequest { query_only: arguments.query_only };
            let killed: Killed = client(&arguments.api)?.post(&path, &request).await?;
            shown(&killed, arguments.api.output, || {
                format!("✓ session {} is told to end", killed.id)
            })
        }
    }
}

/// `shardline txn`.
pub(super) async fn transaction(verb: &TransactionVerb) -> Result<(), Failure> {
    let TransactionVerb::List(api) = verb;
    let all: Listing<TransactionRow> = client(api)?.get("/api/v1/transactions").await?;
    shown(&all, api.output, || {
        let names = ["xid", "state", "anchor", "shards", "age", "waits_for"];
        let row = |one: &TransactionRow| {
            names.iter().map(|name| maybe(one.get(*name).cloned().flatten())).collect()
        };
        let header = ["XID", "STATE", "ANCHOR", "SHARDS", "AGE", "WAITS FOR"];
        rows(&header, all.items.iter().map(row))
    })
}

/// `shardline explain`.
pub(super) async fn explain(arguments: &ExplainArguments) -> Result<(), Failure> {
    let request =
        ExplainRequest { database: arguments.database.clone(), sql: arguments.sql.clone() };
    let plan: PlanView = client(&arguments.api)?.post("/api/v1/sql:explain", &request).await?;
    shown(&plan, arguments.api.output, || plan.plan.join("\n"))
}

/// `shardline sql-stats`.
pub(super) async fn statistics(verb: &StatisticsVerb) -> Result<(), Failure> {
    match verb {
        StatisticsVerb::Top(arguments) => {
            let mut path = format!(
                "/api/v1/sql/digests?order={}&limit={}",
                escaped(&arguments.order),
                arguments.limit
            );
            if let Some(database) = &arguments.database {
                path.push_str(&format!("&database={}", escaped(database)));
            }
            let all: DigestListing = client(&arguments.api)?.get(&path).await?;
            shown(&all, arguments.api.output, || digests(&all.items))
        }
        StatisticsVerb::Slow(arguments) => {
            let path = format!("/api/v1/sql/slow?limit={}", arguments.limit);
            let all: Listing<SlowView> = client(&arguments.api)?.get(&path).await?;
            shown(&all, arguments.api.output, || slow(&all.items))
        }
        StatisticsVerb::Show(arguments) => {
            let path = format!("/api/v1/sql/digests/{}", escaped(&arguments.id));
            let one: DigestView = client(&arguments.api)?.get(&path).await?;
            shown(&one, arguments.api.output, || {
                format!(
                    "{}\n{}",
                    one.text.as_deref().unwrap_or("-"),
                    digests(std::slice::from_ref(&one))
                )
            })
        }
    }
}

fn digests(all: &[DigestView]) -> String {
    let row = |one: &DigestView| {
        vec![
            one.id.clone(),
            count(one.calls),
            one.errors.to_string(),
            us(Some(one.mean_us)),
            us(one.p99_us),
            us(Some(one.max_us)),
            format!("{:.1}", one.shards_touched),
            maybe(one.database.as_ref()),
            cut(one.text.as_deref()),
        ]
    };
    let header =
        ["DIGEST", "CALLS", "ERRORS", "MEAN", "P99", "LONGEST", "SHARDS", "DATABASE", "STATEMENT"];
    rows(&header, all.iter().map(row))
}

fn slow(all: &[SlowView]) -> String {
    let row = |one: &SlowView| {
        let shards: Vec<String> = one.shards.iter().map(ShardTimeView::text).collect();
        vec![
            moment(one.unix_s),
            format!("{} ms", one.ms),
            shards.join(", "),
            one.user.clone(),
            maybe(one.database.as_ref()),
            maybe(one.error),
            cut(one.text.as_deref()),
        ]
    };
    let header = ["WHEN", "TOOK", "SHARDS", "USER", "DATABASE", "ERROR", "STATEMENT"];
    rows(&header, all.iter().map(row))
}
