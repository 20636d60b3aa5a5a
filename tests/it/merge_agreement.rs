//! What the proxy's merge makes of shards' rows is what one real server makes of the whole
//! table: order under many collations, averages, sums of doubles.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use shardline_model::{
    catalog::{Catalog, ServerAddress, Shard},
    id::ShardId,
};
use shardline_proxy::{
    backend::{BackendConnection, ConnClass, PoolConfig, PoolSet, TextLimits, TextResult},
    config::BackendAccount,
    merge::{MergeLimits, Merger, RowFormat, Step, Wanted},
};
use shardline_router::plan::{
    AggregateColumn, ColumnRef, Grouping, Merge, MergeFunction, OrderKey, SortColumn,
};
use shardline_tests::{Server, server::account};
use shardline_wire::row::put_text;
use std::sync::Arc;

const SHARDS: usize = 3;
const LIMITS: MergeLimits = MergeLimits { rows_max: 1 << 20, bytes_max: 1 << 30 };

async fn connect(server: &Server) -> Result<impl std::ops::DerefMut<Target = BackendConnection>> {
    let account = account();
    let pools = PoolSet::new(PoolConfig::new(BackendAccount {
        user: account.user,
        password: account.password,
    }));
    let socket = Some(server.socket().display().to_string());
    let primary = ServerAddress { host: "127.0.0.1".into(), port: server.port(), socket };
    let shard = Shard { id: ShardId(1), name: "s1".into(), primary, replicas: vec![] };
    pools.apply_catalog(&Catalog {
        shards: [(ShardId(1), Arc::new(shard))].into(),
        ..Catalog::default()
    });
    Ok(pools.checkout(ShardId(1), ConnClass::default()).await?)
}

async fn query(connection: &mut BackendConnection, sql: &str) -> Result<TextResult> {
    connection
        .query_rows(sql.as_bytes(), TextLimits::default())
        .await
        .with_context(|| sql.to_owned())
}

fn payload(row: &[Option<Bytes>]) -> Bytes {
    let mut out = BytesMut::new();
    row.iter().for_each(|value| put_text(&mut out, value.as_deref()));
    out.freeze()
}

fn merge(plan: &Merge, results: &[TextResult]) -> Result<Vec<Bytes>> {
    let mut merger = Merger::new(plan, RowFormat::Text, results.len(), LIMITS);
    let mut rows: Vec<_> = results.iter().map(|result| result.rows.iter()).collect();
    let mut open: Vec<usize> = (0..results.len()).collect();
    for (source, result) in results.iter().enumerate() {
        merger.columns(source, &result.columns)?;
    }
    let mut merged = Vec::new();
    loop {
        let source = match merger.step()? {
            Step::Row(row) => {
                merged.push(row);
                continue;
            }
            Step::Done => return Ok(merged),
            Step::Need(Wanted::Source(source)) => source,
            Step::Need(Wanted::Any) => open[0],
        };
        match rows[source].next() {
            Some(row) => merger.push(source, payload(row))?,
            None => {
                merger.end(source)?;
                open.retain(|other| *other != source);
            }
        }
    }
}

#[tokio::test]
async fn order_and_distinct_are_the_servers_under_every_kind_of_collation() -> Result<()> {
    let server = Server::start().await?;
    let connection = &mut *connect(&server).await?;
    connection.query_ok(b"CREATE DATABASE m").await?;
    connection
        .query_ok(b"CREATE TABLE m.t (id INT PRIMARY KEY, s VARCHAR(20) CHARACTER SET utf8mb4)")
        .await?;
    let words = [
        "a",
        "A",
        "a ",
        "\u{e4}",
        "ae",
        "b",
        "B  ",
        "",
        " ",
        "z",
        "\u{df}",
        "ss",
        "\u{e9}",
        "e",
        "10",
        "9",
        "_",
        "a\u{1}",
        "\u{1f600}",
        "\u{421}",
        "\u{441}",
        "ll",
        "l",
        "ch",
        "c",
        "\u{f1}",
        "n",
        "o",
        "\u{f6}",
        "O\u{308}",
    ];
    let rows: Vec<_> = words
        .iter()
        .enumerate()
        .map(|(id, word)| {
            let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("({id}, x'{hex}')")
        })
        .collect();
    connection
        .query_ok(
            format!("INSERT INTO m.t VALUES {}, (900, NULL), (901, NULL)", rows.join(","))
                .as_bytes(),
        )
        .await?;
    let column = SortColumn {
        value: ColumnRef::Visible(1),
        weight: Some(ColumnRef::Hidden(0)),
        pad: Some(ColumnRef::Hidden(1)),
    };
    for collation in [
        "utf8mb4_general_ci",
        "utf8mb4_unicode_ci",
        "utf8mb4_bin",
        "utf8mb4_nopad_bin",
        "utf8mb4_unicode_520_ci",
        "utf8mb4_general_nopad_ci",
        "utf8mb4_swedish_ci",
        "utf8mb4_spanish2_ci",
        "utf8mb4_german2_ci",
        "uca1400_ai_ci",
        "uca1400_nopad_ai_ci",
        "uca1400_nopad_as_cs",
    ] {
        let expression = format!("(s COLLATE {collation})");
        let pad = if collation.contains("nopad") {
            "''".into()
        } else {
            format!("WEIGHT_STRING(_utf8mb4' ' COLLATE {collation})")
        };
        for (direction, descending) in [("ASC", false), ("DESC", true)] {
            let mut shards = Vec::new();
            for shard in 0..SHARDS {
                let sql = format!(
                    "SELECT id, s, WEIGHT_STRING({expression}), {pad} FROM m.t WHERE id % {SHARDS} = {shard} \
                     ORDER BY {expression} {direction}, id"
                );
                shards.push(query(connection, &sql).await?);
            }
            let id = SortColumn { value: ColumnRef::Visible(0), weight: None, pad: None };
            let order_by =
                vec![OrderKey { column, descending }, OrderKey { column: id, descending: false }];
            let plan = Merge { hidden: 2, order_by, ..Merge::default() };
            let merged =
                merge(&plan, &shards).with_context(|| format!("{collation} {direction}"))?;
            let whole = query(
                connection,
                &format!("SELECT id, s FROM m.t ORDER BY {expression} {direction}, id"),
            )
            .await?;
            let wanted: Vec<_> = whole.rows.iter().map(|row| payload(row)).collect();
            ensure!(merged == wanted, "{collation} {direction}: {merged:?} {wanted:?}");
            let distinct = Merge { distinct: Some(vec![column]), hidden: 2, ..Merge::default() };
            let count =
                query(connection, &format!("SELECT COUNT(DISTINCT {expression}) FROM m.t")).await?;
            let count: usize =
                std::str::from_utf8(count.rows[0][0].as_deref().context("a count")?)?.parse()?;
            let found = merge(&distinct, &shards)?.len();
            ensure!(
                found == count + 1,
                "{collation}: {found} distinct values, {count} and NULL on the server"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn averages_and_sums_are_printed_as_the_server_prints_them() -> Result<()> {
    let server = Server::start().await?;
    let connection = &mut *connect(&server).await?;
    connection.query_ok(b"CREATE DATABASE m").await?;
    for (type_name, expression) in [
        ("INT", "FLOOR(RAND(7) * 2000000000 - 1000000000)"),
        ("BIGINT UNSIGNED", "FLOOR(RAND(7) * 18000000000000000000)"),
        ("DECIMAL(10,5)", "RAND(7) * 10 - 5"),
        ("DECIMAL(30,0)", "RAND(7) * 1e29"),
        ("DECIMAL(40,18)", "RAND(7) * 1e15 - 5e14"),
        ("DECIMAL(5,2)", "IF(RAND(7) < 0.3, NULL, RAND(8))"),
        ("DOUBLE", "(RAND(7) - 0.5) * POW(10, FLOOR(RAND(8) * 40) - 20)"),
        ("DOUBLE(20,3)", "RAND(7) * 1000 - 500"),
        ("FLOAT", "RAND(7) * 1000"),
    ] {
        connection.query_ok(b"DROP TABLE IF EXISTS m.v").await?;
        connection.query_ok(format!("CREATE TABLE m.v (g INT, v {type_name})").as_bytes()).await?;
        connection
            .query_ok(
                format!("INSERT INTO m.v SELECT seq % 400, {expression} FROM m.seq_1_to_1400")
                    .as_bytes(),
            )
            .await?;
        // One group is on one shard, so that the order of adding doubles is the server's.
        let select = "SELECT g, SUM(v), AVG(v), SUM(v), COUNT(v) FROM m.v";
        let mut shards = Vec::new();
        for shard in 0..SHARDS {
            shards.push(
                query(connection, &format!("{select} WHERE g % {SHARDS} = {shard} GROUP BY g"))
                    .await?,
            );
        }
        let hidden = ColumnRef::Hidden;
        let aggregate =
            |column, function| AggregateColumn { column: ColumnRef::Visible(column), function };
        let key = SortColumn { value: ColumnRef::Visible(0), weight: None, pad: None };
        let grouping = Grouping {
            keys: vec![key],
            aggregates: vec![
                aggregate(1, MergeFunction::Sum),
                aggregate(2, MergeFunction::Average { sum: hidden(0), count: hidden(1) }),
            ],
            one_row: false,
        };
        let order_by = vec![OrderKey { column: key, descending: false }];
        let plan = Merge { hidden: 2, grouping: Some(grouping), order_by, ..Merge::default() };
        let merged = merge(&plan, &shards)?;
        let whole =
            query(connection, "SELECT g, SUM(v), AVG(v) FROM m.v GROUP BY g ORDER BY g").await?;
        ensure!(merged.len() == whole.rows.len() && !merged.is_empty());
        for (merged, wanted) in merged.iter().zip(&whole.rows) {
            if *merged != payload(wanted) {
                bail!("{type_name}: {merged:?} where the server has {wanted:?}");
            }
        }
    }
    Ok(())
}
