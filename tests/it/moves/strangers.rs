//! Rows of others are never seen: the same statements through a proxy, while shards hold copies
//! that they do not own and that are wrong on purpose, and on one server that holds the
//! right rows alone.

use super::Bench;
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_model::{
    id::ShardId,
    key::{Key, KeyUse, Literal},
    moves::MoveState,
    placement::Units,
};
use shardline_tests::{Server, sql};

const TABLES: [(&str, &str, &str); 5] = [
    (
        "h",
        "id INT NOT NULL PRIMARY KEY, v INT NOT NULL, w VARCHAR(20), KEY (v)",
        "SHARD BY HASH (id)",
    ),
    (
        "c",
        "hid INT NOT NULL, n INT NOT NULL, v INT NOT NULL, PRIMARY KEY (hid, n)",
        "SHARD BY HASH (hid) COLOCATE (h)",
    ),
    (
        "r",
        "id INT NOT NULL PRIMARY KEY, v INT NOT NULL, w VARCHAR(20)",
        "SHARD BY RANGE (id) (VALUES LESS THAN (100) ON s1, VALUES LESS THAN (200) ON s2, \
         VALUES LESS THAN (MAXVALUE) ON s3)",
    ),
    (
        "l",
        "k VARCHAR(4) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL, \
         id INT NOT NULL, v INT NOT NULL, w VARCHAR(20), PRIMARY KEY (k, id)",
        "SHARD BY LIST (k) (VALUES IN ('a', 'b') ON s1, VALUES IN ('c') ON s2, DEFAULT ON s3)",
    ),
    ("b", "w VARCHAR(20) NOT NULL PRIMARY KEY, name VARCHAR(20)", "BROADCAST"),
];

const READS: [&str; 41] = [
    "SELECT COUNT(*), SUM(v), MIN(v), MAX(v), AVG(v) FROM h",
    "SELECT * FROM h",
    "SELECT * FROM h ORDER BY id LIMIT 7, 50",
    "SELECT id FROM h ORDER BY v DESC, id LIMIT 20",
    "SELECT * FROM h WHERE v > 100 OR w = 'w3'",
    "SELECT * FROM h WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)",
    "SELECT * FROM h WHERE id BETWEEN 20 AND 120 AND NOT w = 'w1'",
    "SELECT w, COUNT(*), SUM(v) FROM h GROUP BY w",
    "SELECT w, COUNT(*) AS n FROM h WHERE v > 50 GROUP BY w ORDER BY n DESC, w LIMIT 3",
    "SELECT DISTINCT w FROM h ORDER BY w",
    "SELECT COUNT(DISTINCT v), COUNT(DISTINCT w) FROM h",
    "SELECT x.id, x.v + 1 FROM h AS x WHERE x.v % 2 = 0",
    "SELECT d.h.id FROM d.h WHERE d.h.v > 7",
    "SELECT `h`.`id` /* c */ FROM `h` -- end",
    "SELECT id FROM h FORCE INDEX (v) WHERE v > 30",
    "SELECT id FROM h WHERE v > 30 FOR UPDATE",
    "SELECT id FROM h LOCK IN SHARE MODE",
    "SELECT h.id, c.n, c.v FROM h JOIN c ON c.hid = h.id",
    "SELECT h.id, c.n FROM h JOIN c ON c.hid = h.id WHERE c.n > 1 AND h.v > 10 ORDER BY h.id, c.n",
    "SELECT h.id, c.n FROM h LEFT JOIN c ON c.hid = h.id AND c.n = 2",
    "SELECT h.id, c.n FROM c RIGHT JOIN h ON c.hid = h.id AND c.v > 3",
    "SELECT h.id, c.n FROM h, c WHERE c.hid = h.id",
    "SELECT h.id FROM h LEFT JOIN c ON c.hid = h.id WHERE c.n IS NULL",
    "SELECT c.hid, COUNT(*) FROM c JOIN h ON h.id = c.hid GROUP BY c.hid",
    "SELECT h.id, b.name FROM h JOIN b ON b.w = h.w",
    "SELECT SUM(c.v) FROM c",
    "SELECT * FROM r",
    "SELECT COUNT(*), SUM(v) FROM r WHERE id > 50",
    "SELECT * FROM r WHERE id > 90 AND id < 220 ORDER BY id",
    "SELECT w, SUM(v) FROM r GROUP BY w",
    "SELECT * FROM l",
    "SELECT COUNT(*), SUM(v) FROM l WHERE v > 1",
    "SELECT * FROM l WHERE k IN ('a', 'C', 'x')",
    "SELECT k, COUNT(*) FROM l GROUP BY k",
    "SELECT a.id, b.id FROM h a JOIN h b ON b.v = a.id WHERE a.v > 3",
    "SELECT h.id, l.v FROM h LEFT JOIN l ON l.v = h.id % 20 ORDER BY h.id, l.v",
    "SELECT id FROM h WHERE id NOT IN (SELECT hid FROM c)",
    "SELECT id FROM h WHERE EXISTS (SELECT 1 FROM r WHERE r.id = h.v AND r.w = 'w2')",
    "SELECT w, COUNT(*) FROM h GROUP BY w HAVING COUNT(*) > 3",
    "SELECT id FROM h UNION SELECT v FROM l",
    "SELECT * FROM h NATURAL JOIN r WHERE id > 5",
];

const WRITES: [&str; 9] = [
    "UPDATE h SET v = v + 1",
    "UPDATE h AS x SET x.v = (x.v + 1) WHERE x.w = 'w1' OR x.w = 'w2'",
    "UPDATE h SET v = v + 3 WHERE v > 20 ORDER BY id",
    "DELETE FROM h WHERE v % 11 = 0 OR w = 'w4'",
    "UPDATE c SET v = v + 2",
    "DELETE FROM c WHERE n = 3",
    "UPDATE r SET v = v + 5 WHERE w = 'w2'",
    "DELETE FROM r WHERE v % 7 = 0",
    "UPDATE l SET v = v * 2",
];

/// Keys whose rows are read one by one.
const KEYED: [&str; 3] =
    ["SELECT * FROM h WHERE id = ", "SELECT * FROM c WHERE hid = ", "SELECT * FROM r WHERE id = "];

async fn load(proxy: &mut Conn, single: &mut Conn) -> Result<()> {
    sql::run(proxy, &["CREATE DATABASE d", "USE d"]).await?;
    sql::run(single, &["CREATE DATABASE d", "USE d"]).await?;
    for (name, columns, sharding) in TABLES {
        proxy.query_drop(format!("CREATE TABLE {name} ({columns}) {sharding}")).await?;
        single.query_drop(format!("CREATE TABLE {name} ({columns})")).await?;
    }
    let list = |rows: Vec<String>| rows.join(", ");
    let h = (0..300).map(|id| format!("({id}, {}, 'w{}')", id * 7 % 131, id % 6)).collect();
    let c = (0..300)
        .filter(|id| id % 3 != 0)
        .flat_map(|id| (1..=id % 4).map(move |n| format!("({id}, {n}, {})", id % 17)))
        .collect();
    let l = (0..200)
        .map(|id| format!("('{}', {id}, {}, 'w{}')", ["a", "B", "c", "x"][id % 4], id % 13, id % 5))
        .collect();
    let b = (0..6).map(|n| format!("('w{n}', 'name {n}')")).collect();
    let (h, c, l, b) = (list(h), list(c), list(l), list(b));
    for (table, rows) in [("h", &h), ("c", &c), ("r", &h), ("l", &l), ("b", &b)] {
        let insert = format!("INSERT INTO {table} VALUES {rows}");
        proxy.query_drop(&insert).await?;
        single.query_drop(&insert).await?;
    }
    Ok(())
}

async fn compare(proxy: &mut Conn, single: &mut Conn, statement: &str) -> Result<()> {
    let mut ours = sql::rows(proxy, statement).await?;
    let mut theirs = sql::rows(single, statement).await?;
    if !statement.contains("ORDER BY") {
        ours.sort();
        theirs.sort();
    }
    ensure!(
        ours == theirs,
        "{statement}: {} rows, not {}\n{ours:?}\n{theirs:?}",
        ours.len(),
        theirs.len()
    );
    Ok(())
}

async fn compare_all(proxy: &mut Conn, single: &mut Conn) -> Result<()> {
    for statement in READS {
        compare(proxy, single, statement).await?;
        // As a prepared statement.
        let mut ours: Vec<mysql_async::Row> =
            proxy.exec(statement, ()).await.with_context(|| statement.to_owned())?;
        let theirs: Vec<mysql_async::Row> = single.exec(statement, ()).await?;
        ensure!(ours.len() == theirs.len(), "{statement}: {} rows prepared", ours.len());
        ours.clear();
    }
    for statement in KEYED {
        for id in (0..300).step_by(7) {
            compare(proxy, single, &format!("{statement}{id}")).await?;
        }
    }
    Ok(())
}

async fn write_all(proxy: &mut Conn, single: &mut Conn) -> Result<()> {
    for statement in WRITES {
        proxy.query_drop(statement).await.with_context(|| statement.to_owned())?;
        let ours = proxy.affected_rows();
        single.query_drop(statement).await?;
        let theirs = single.affected_rows();
        ensure!(ours == theirs, "{statement}: {ours} rows affected, not {theirs}");
        for table in ["h", "c", "r", "l"] {
            compare(proxy, single, &format!("SELECT * FROM {table}")).await?;
        }
    }
    Ok(())
}

/// Rows of the units on a shard, as they are there.
async fn strangers(
    bench: &Bench,
    tables: &[&str],
    units: &Units,
    on: ShardId,
) -> Result<Vec<Vec<Vec<String>>>> {
    let mut all = Vec::new();
    for table in tables {
        let condition = bench.condition(table, units)?;
        let read = format!("SELECT * FROM d.{table} WHERE {condition} ORDER BY 1, 2");
        all.push(sql::rows(&mut bench.shard(on).await?, &read).await?);
    }
    Ok(all)
}

/// Makes the rows of others wrong, so that none can hide.
async fn spoil(bench: &Bench, tables: &[&str], units: &Units, on: ShardId) -> Result<()> {
    for table in tables {
        let condition = bench.condition(table, units)?;
        let change = format!("UPDATE d.{table} SET v = v + 1000000 WHERE {condition}");
        let mut shard = bench.shard(on).await?;
        shard.query_drop(change).await?;
        ensure!(shard.affected_rows() > 0, "no row of others in {table}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_are_never_seen() -> Result<()> {
    let bench = Bench::start(1).await?;
    let server = Server::start().await?;
    let (mut proxy, mut single) = (bench.cluster.connect(0).await?, server.connect().await?);
    load(&mut proxy, &mut single).await?;
    compare_all(&mut proxy, &mut single).await?;
    let catalog = bench.meta.catalog();
    drop(catalog);
    let key = |value: i128| Key::from_iter([shardline_model::key::KeyPart::Integer(value)]);
    let types = bench.group("l")?.key_types.clone();
    let text = |text: &'static str| -> Result<Key> {
        Ok(Key::from_iter([types[0].canonical(&Literal::Text(text.into()), KeyUse::Store)?]))
    };
    let (hash, range) = (
        Units::Slots(vec![100..1_500, 3_000..4_000]),
        Units::Interval { start: Some(key(120)), end: Some(key(170)) },
    );
    let values = Units::Values(vec![text("b")?]);
    let others = Units::OtherValues { but: vec![text("a")?, text("b")?, text("c")?] };
    let moves: [(&[&str], Units, u32, u32); 4] = [
        (&["h", "c"], hash, 1, 3),
        (&["r"], range, 2, 1),
        (&["l"], values, 1, 2),
        (&["l"], others, 3, 2),
    ];
    let mut begun = Vec::new();
    for (tables, units, from, to) in &moves {
        let id = bench.begin(tables[0], units.clone(), *from, *to).await?;
        for table in *tables {
            let copied = bench.copy(table, units, ShardId(*from), ShardId(*to)).await?;
            ensure!(copied > 0, "nothing to copy of {table}");
        }
        spoil(&bench, tables, units, ShardId(*to)).await?;
        begun.push(id);
    }
    compare_all(&mut proxy, &mut single).await?;
    let mut before = Vec::new();
    for (tables, units, _, to) in &moves {
        before.push(strangers(&bench, tables, units, ShardId(*to)).await?);
    }
    write_all(&mut proxy, &mut single).await?;
    for ((tables, units, _, to), before) in moves.iter().zip(before) {
        let after = strangers(&bench, tables, units, ShardId(*to)).await?;
        ensure!(after == before, "rows of others in {tables:?} were changed");
    }

    // The switch: now the source holds rows of others.
    for ((tables, units, from, to), id) in moves.iter().zip(&begun) {
        let held = bench.set(*id, MoveState::Held).await?;
        bench.acknowledged(held).await?;
        for table in *tables {
            let condition = bench.condition(table, units)?;
            let delete = format!("DELETE FROM d.{table} WHERE {condition}");
            bench.shard(ShardId(*to)).await?.query_drop(delete).await?;
            bench.copy(table, units, ShardId(*from), ShardId(*to)).await?;
        }
        let switched = bench.set(*id, MoveState::Outgoing).await?;
        bench.acknowledged(switched).await?;
        spoil(&bench, tables, units, ShardId(*from)).await?;
    }
    compare_all(&mut proxy, &mut single).await?;
    write_all(&mut proxy, &mut single).await?;
    let explained = sql::rows(&mut proxy, "EXPLAIN SHARDING SELECT COUNT(*) FROM h").await?;
    let explained = format!("{explained:?}");
    ensure!(explained.contains("rows of others are left out on s1"), "{explained}");

    for (name, statement) in [
        ("h", "ALTER TABLE h ADD COLUMN x INT"),
        ("c", "TRUNCATE TABLE c"),
        ("l", "DROP TABLE l"),
        ("r", "RENAME TABLE r TO r2"),
        ("h", "CREATE INDEX i ON h (w)"),
    ] {
        let error = proxy.query_drop(statement).await.err().context(statement)?.to_string();
        ensure!(error.contains(&format!("'d.{name}' cannot be changed: job")), "{error}");
    }
    let colocated = "CREATE TABLE z (id INT NOT NULL PRIMARY KEY) SHARD BY HASH (id) COLOCATE (h)";
    let error = proxy.query_drop(colocated).await.err().context(colocated)?.to_string();
    ensure!(error.contains("'d.h' cannot be changed: job"), "{error}");
    compare_all(&mut proxy, &mut single).await
}
