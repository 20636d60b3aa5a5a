//! The Rust function from a key to its place agrees with the SQL predicate on a real
//! server, for 100,000 random keys of each accepted column type and collation: slots, order,
//! equality, range and list predicates; and for awkward literals of every kind, as compared and as
//! stored. It needs `mariadbd` and `mariadb-install-db`, and starts a server of its own.

mod random;

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use random::{Random, sql_literal};
use shardline_model::{
    catalog::Column,
    hash,
    id::ShardId,
    key::{Key, KeyPart, KeyType, KeyUse, Literal},
    placement::{ListMap, Placement, RangeUnit, SLOTS, Units, compare_keys, even_hash},
    predicate,
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const KEYS: usize = 100_000;
const ROWS_PER_INSERT: usize = 5_000;
/// Keys that are checked again under other settings of the session.
const KEYS_AGAIN: usize = 10_000;
/// Rows of the small table that awkward literals are compared with.
const PROBED: usize = 500;

/// A server on a unix socket in a temporary folder; killed and removed when dropped.
struct Server {
    process: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Result<Server> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let as_root = rustix::process::geteuid().is_root().then_some("--user=root");
        let installed = Command::new("mariadb-install-db")
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(as_root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("mariadb-install-db cannot be run (package mariadb-server-core)")?;
        ensure!(installed.success(), "mariadb-install-db failed");
        let process = Command::new("mariadbd")
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", folder.path().join("s").display()))
            .args(["--skip-networking", "--innodb-flush-log-at-trx-commit=0"])
            .args(["--max-allowed-packet=64M", "--innodb-log-file-size=256M"])
            .args(as_root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("mariadbd cannot be run (package mariadb-server-core)")?;
        Ok(Server { process, folder })
    }

    async fn connect(&self) -> Result<Conn> {
        let socket = self.folder.path().join("s").display().to_string();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let options = OptsBuilder::default()
                .socket(Some(socket.clone()))
                .user(Some("root"))
                .init(vec!["SET NAMES utf8mb4"]);
            match Conn::new(options).await {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One set of key columns under test.
struct Case {
    /// The columns in SQL: type and attributes, without names.
    columns: Vec<String>,
    types: Vec<KeyType>,
}

impl Case {
    fn names(&self) -> Vec<String> {
        (0..self.types.len()).map(|index| format!("k`{index}")).collect()
    }

    fn random_key(&self, random: &mut Random) -> (Key, Vec<String>) {
        loop {
            let literals: Vec<Literal<'_>> =
                self.types.iter().map(|key_type| random.literal(key_type)).collect();
            let key: Result<Key, _> = self
                .types
                .iter()
                .zip(&literals)
                .map(|(key_type, literal)| key_type.canonical(literal, KeyUse::Store))
                .collect();
            // Days that do not exist and characters that the column cannot hold.
            if let Ok(key) = key {
                return (key, literals.iter().map(sql_literal).collect());
            }
        }
    }
}

/// Every accepted type and collation, alone and in keys of several columns.
const CASES: &[&[&str]] = &[
    &["tinyint"],
    &["int(11) zerofill"],
    &["bigint"],
    &["bigint unsigned"],
    &["year"],
    &["decimal(10,2)"],
    &["decimal(38,10)"],
    &["decimal(15,0) unsigned zerofill"],
    &["varchar(6) collate utf8mb4_bin"],
    &["char(6) collate utf8mb4_bin"],
    &["varchar(6) collate utf8mb3_bin"],
    &["varchar(6) collate latin1_bin"],
    &["char(6) collate latin1_bin"],
    &["varchar(6) collate ascii_bin"],
    &["varchar(6) collate utf8mb4_nopad_bin"],
    &["varchar(6) collate utf8mb3_nopad_bin"],
    &["varchar(6) collate latin1_nopad_bin"],
    &["varchar(6) collate ascii_nopad_bin"],
    &["varchar(6) collate utf8mb4_general_ci"],
    &["char(6) collate utf8mb4_general_ci"],
    &["varchar(6) collate utf8mb3_general_ci"],
    &["varchar(6) collate ascii_general_ci"],
    &["varbinary(5)"],
    &["binary(4)"],
    &["date"],
    &["datetime"],
    &["datetime(6)"],
    &["time"],
    &["time(3)"],
    &["smallint", "varchar(4) collate utf8mb4_general_ci"],
    &["char(3) collate latin1_bin", "date", "decimal(6,3)"],
];

/// Literals on which servers convert, round, pad or compare in surprising ways.
fn awkward_literals() -> Vec<Literal<'static>> {
    let texts = [
        "",
        " ",
        "a",
        "A ",
        "a\u{1}",
        "é",
        "E",
        "ß",
        "s",
        "😀",
        "\u{FFFD}",
        "0",
        "-0",
        "5",
        "05",
        "5 ",
        " 5",
        "+5",
        "5.0",
        "5.5",
        "5e0",
        "9007199254740993",
        "18446744073709551615",
        "2026",
        "26",
        "2026-01-02",
        "2026-1-2",
        "20260102",
        "2026-01-02 00:00:00",
        "2026-01-02T03:04:05",
        "2026-01-02 03:04:05.5",
        "2026-01-02 03:04:05.000000",
        "0000-00-00",
        "12:34:56",
        "-12:34:56",
        "-00:00:00",
        "12:34",
        "123456",
        "838:59:59",
        "1.50",
        "1.5",
        ".5",
        "1.505",
        "-1.50",
        "abcdefgh",
        "abcdef  ",
        "ж",
        "€",
    ];
    let integers = [
        0,
        1,
        -1,
        5,
        26,
        70,
        99,
        127,
        128,
        -129,
        2026,
        9_007_199_254_740_993,
        20_260_102,
        123_456,
        20_260_102_030_405,
        i128::from(u64::MAX),
        1 << 66,
    ];
    let decimals =
        ["5.0", "5.00", "5.5", "-0.0", "1.50", "1.505", ".5", "5.", "99999999999999999999.5"];
    let floats = [0.0, -0.0, 5.0, 5.5, 2026.0, 1e15, 9_007_199_254_740_992.0, 1e30];
    let bytes: [&[u8]; 5] = [b"", b"a", b"abcd", b"ab\0\0", &[0xFF, 0x00]];
    let temporals = [
        "2026-01-02",
        "2026-01-02 00:00:00",
        "2026-01-02 03:04:05",
        "2026-01-02 03:04:05.5",
        "12:34:56",
        "-12:34:56.5",
    ];
    let mut literals = Vec::new();
    literals.extend(texts.map(|text| Literal::Text(text.into())));
    literals.extend(integers.map(Literal::Integer));
    literals.extend(decimals.map(|text| Literal::Decimal(text.into())));
    literals.extend(floats.map(Literal::Float));
    literals.extend(bytes.map(|bytes| Literal::Bytes(bytes.into())));
    literals.extend(temporals.map(|text| Literal::Temporal(text.into())));
    literals
}

/// Makes the case's table and reads the key types from the server's own description.
async fn create(connection: &mut Conn, table: &str, columns: &[&str]) -> Result<Case> {
    let definitions: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| format!("`k``{index}` {column} NOT NULL"))
        .collect();
    let sql = format!("CREATE TABLE {table} (id INT PRIMARY KEY, {})", definitions.join(", "));
    connection.query_drop(sql).await.context(format!("{columns:?}"))?;
    let described: Vec<(String, String, Option<String>)> = connection
        .query(format!(
            "SELECT column_name, column_type, collation_name FROM information_schema.columns \
             WHERE table_schema = 'agreement' AND table_name = '{table}' AND column_name <> 'id' \
             ORDER BY ordinal_position"
        ))
        .await?;
    let types = described
        .into_iter()
        .map(|(name, column_type, collation)| {
            let column = Column {
                name,
                column_type,
                collation,
                nullable: false,
                default: None,
                generated: false,
                invisible: false,
            };
            KeyType::of_column(&column).map_err(anyhow::Error::from)
        })
        .collect::<Result<_>>()?;
    Ok(Case { columns: columns.iter().map(|column| (*column).to_owned()).collect(), types })
}

/// Inserts random keys; the row's id is the index of its key.
async fn load(
    connection: &mut Conn,
    table: &str,
    case: &Case,
    random: &mut Random,
) -> Result<Vec<Key>> {
    let mut keys = Vec::with_capacity(KEYS);
    connection.query_drop("BEGIN").await?;
    while keys.len() < KEYS {
        let rows: Vec<String> = (0..ROWS_PER_INSERT)
            .map(|_| {
                let (key, values) = case.random_key(random);
                keys.push(key);
                format!("({},{})", keys.len() - 1, values.join(","))
            })
            .collect();
        connection.query_drop(format!("INSERT INTO {table} VALUES {}", rows.join(","))).await?;
    }
    connection.query_drop("COMMIT").await?;
    Ok(keys)
}

async fn check_slots(connection: &mut Conn, table: &str, case: &Case, keys: &[Key]) -> Result<()> {
    let names = case.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let slot = predicate::slot_sql(&case.types, &names);
    let rows: Vec<(usize, u16)> = connection
        .query(format!("SELECT id, {slot} FROM {table} WHERE id < {}", keys.len()))
        .await?;
    ensure!(rows.len() == keys.len());
    for (id, slot) in rows {
        let ours = hash::slot_of(&keys[id], &case.types).0;
        ensure!(ours == slot, "{:?}: {:?} is in slot {slot}, not {ours}", case.columns, keys[id]);
    }
    Ok(())
}

/// The server's order and equality are those of the canonical keys.
async fn check_order(connection: &mut Conn, table: &str, case: &Case, keys: &[Key]) -> Result<()> {
    let names: Vec<String> =
        case.names().iter().map(|name| predicate::quote_identifier(name)).collect();
    let columns = names.join(", ");
    let ids: Vec<usize> =
        connection.query(format!("SELECT id FROM {table} ORDER BY {columns}")).await?;
    for pair in ids.windows(2) {
        let (left, right) = (&keys[pair[0]], &keys[pair[1]]);
        let order = compare_keys(left, right, &case.types);
        let in_order = order != Ordering::Greater || sort_as_equal(left, right);
        ensure!(in_order, "{:?}: {left:?} before {right:?}", case.columns);
        ensure!((order == Ordering::Equal) == (left == right), "{left:?} {right:?}");
    }
    let distinct: Option<usize> = connection
        .query_first(format!("SELECT COUNT(*) FROM (SELECT DISTINCT {columns} FROM {table}) d"))
        .await?;
    let ours = keys.iter().collect::<BTreeSet<_>>().len();
    ensure!(distinct == Some(ours), "{:?}: {distinct:?} distinct keys, not {ours}", case.columns);
    Ok(())
}

/// MariaDB's sort (not its comparison) takes texts under NO PAD that differ only in NULs at
/// the end for equal.
fn sort_as_equal(left: &Key, right: &Key) -> bool {
    let without = |key: &Key| match key.as_slice() {
        [KeyPart::Text(bytes)] => {
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            Some(bytes[..end].to_vec())
        }
        _ => None,
    };
    without(left).is_some() && without(left) == without(right)
}

/// Each shard's predicate selects exactly the rows of the keys that it owns.
async fn check_predicates(
    connection: &mut Conn,
    table: &str,
    case: &Case,
    keys: &[Key],
) -> Result<()> {
    let names = case.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let shards = [ShardId(1), ShardId(2), ShardId(3)];
    for placement in placements(case, keys, &shards) {
        let mut seen = 0;
        for shard in shards {
            let condition = predicate::sql(&placement, &case.types, &names, shard);
            let ids: Vec<usize> =
                connection.query(format!("SELECT id FROM {table} WHERE {condition}")).await?;
            seen += ids.len();
            for id in ids {
                let owner = placement.owner(&keys[id], &case.types);
                ensure!(
                    owner == Some(shard),
                    "{:?}: {:?} is not on {shard} but {owner:?}",
                    case.columns,
                    keys[id]
                );
            }
        }
        let owned = keys.iter().filter(|key| placement.owner(key, &case.types).is_some()).count();
        ensure!(seen == owned, "{:?}: {seen} rows selected, {owned} owned", case.columns);
    }
    Ok(())
}

/// Units of every kind select exactly the rows of the keys that they contain.
async fn check_units(connection: &mut Conn, table: &str, case: &Case, keys: &[Key]) -> Result<()> {
    let names = case.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bounds: Vec<Key> = keys.iter().step_by(KEYS / 7).cloned().collect();
    bounds.sort_by(|left, right| compare_keys(left, right, &case.types));
    bounds.dedup();
    let (low, high) = (bounds.first().cloned(), bounds.last().cloned());
    let listed: BTreeSet<Key> = keys.iter().step_by(KEYS / 50).cloned().collect();
    let listed: Vec<Key> = listed.into_iter().collect();
    for units in [
        Units::Slots(vec![0..1, 100..2_000, 9_000..SLOTS]),
        Units::Interval { start: low.clone(), end: high.clone() },
        Units::Interval { start: None, end: high },
        Units::Interval { start: low, end: None },
        Units::Values(listed.clone()),
        Units::OtherValues { but: listed },
    ] {
        let condition = predicate::units_sql(&units, &case.types, &names);
        for (condition, expected) in
            [(condition.clone(), true), (format!("NOT {condition}"), false)]
        {
            let sql = format!("SELECT id FROM {table} WHERE {condition} ORDER BY id");
            let found: Vec<usize> = connection.query(sql).await?;
            let contains = |id: &usize| units.contains(&keys[*id], &case.types) == expected;
            let ours: Vec<usize> = (0..keys.len()).filter(contains).collect();
            ensure!(found == ours, "{:?}: {units}: other rows in SQL", case.columns);
        }
    }
    Ok(())
}

/// A hash, a range and two list placements made from the keys themselves.
fn placements(case: &Case, keys: &[Key], shards: &[ShardId; 3]) -> Vec<Placement> {
    let mut bounds: Vec<Key> = keys.iter().step_by(KEYS / 20).cloned().collect();
    bounds.sort_by(|left, right| compare_keys(left, right, &case.types));
    bounds.dedup();
    let units: Vec<RangeUnit> = bounds
        .iter()
        .zip(shards.iter().cycle())
        .map(|(key, shard)| RangeUnit { less_than: Some(key.clone()), shard: *shard })
        .collect();
    let mut whole = units.clone();
    whole.push(RangeUnit { less_than: None, shard: shards[2] });
    let values: BTreeMap<Key, ShardId> =
        keys.iter().step_by(KEYS / 100).cloned().zip(shards.iter().cycle().copied()).collect();
    let mut placements = vec![
        Placement::Range(units),
        Placement::Range(whole),
        Placement::List(ListMap { values: values.clone(), default: None }),
        Placement::List(ListMap { values, default: Some(shards[1]) }),
    ];
    placements.extend(even_hash(shards));
    placements
}

/// Awkward literals: where a place is claimed, the server compares and stores so.
async fn check_literals(
    connection: &mut Conn,
    table: &str,
    case: &Case,
    keys: &[Key],
) -> Result<()> {
    let [key_type] = case.types.as_slice() else { return Ok(()) };
    let name = predicate::quote_identifier(&case.names()[0]);
    let mut keys: Vec<Key> = keys[..PROBED].to_vec();
    connection.query_drop(format!("CREATE TABLE {table}p LIKE {table}")).await?;
    connection
        .query_drop(format!("INSERT INTO {table}p SELECT * FROM {table} WHERE id < {PROBED}"))
        .await?;
    let literals = awkward_literals();
    for literal in &literals {
        let Ok(part) = key_type.canonical(literal, KeyUse::Store) else { continue };
        let sql = format!("INSERT INTO {table}p VALUES ({}, {})", keys.len(), sql_literal(literal));
        connection.query_drop(&sql).await.with_context(|| format!("{:?}: {sql}", case.columns))?;
        keys.push(std::iter::once(part).collect());
    }
    let names = case.names();
    let slot = predicate::slot_sql(&case.types, &[names[0].as_str()]);
    let slots: Vec<(usize, u16)> =
        connection.query(format!("SELECT id, {slot} FROM {table}p")).await?;
    for (id, slot) in slots {
        let ours = hash::slot_of(&keys[id], &case.types).0;
        ensure!(
            ours == slot,
            "{:?}: stored {:?} is in slot {slot}, not {ours}",
            case.columns,
            keys[id]
        );
    }
    connection.query_drop(format!("ALTER TABLE {table}p ADD INDEX ({name})")).await?;
    for hint in ["", "FORCE INDEX FOR JOIN (`k``0`)"] {
        for literal in &literals {
            let Ok(part) = key_type.canonical(literal, KeyUse::Compare) else { continue };
            for (operator, order) in
                [("=", Ordering::Equal), ("<", Ordering::Less), (">", Ordering::Greater)]
            {
                let value = sql_literal(literal);
                let sql = format!(
                    "SELECT id FROM {table}p {hint} WHERE {name} {operator} {value} ORDER BY id"
                );
                let found: Vec<usize> = connection.query(&sql).await?;
                let matches = |id: &usize| key_type.compare(&keys[*id][0], &part) == order;
                let ours: Vec<usize> = (0..keys.len()).filter(matches).collect();
                ensure!(
                    found == ours,
                    "{:?}: {sql} ({literal}, {part:?}): {found:?}, not {ours:?}",
                    case.columns
                );
            }
        }
    }
    connection.query_drop(format!("DROP TABLE {table}p")).await?;
    Ok(())
}

/// Checks the cases whose index is `remainder` modulo two.
async fn check_half(mut connection: Conn, remainder: usize) -> Result<()> {
    connection.query_drop("USE agreement").await?;
    for (index, columns) in CASES.iter().enumerate().filter(|(index, _)| index % 2 == remainder) {
        let table = format!("t{index}");
        let seed = 0x5EED_0000_0000_0001 + index as u64;
        let mut random = Random(seed);
        let context = || format!("columns {columns:?}, seed {seed:#x}");
        let case = create(&mut connection, &table, columns).await?;
        let keys = load(&mut connection, &table, &case, &mut random).await.with_context(context)?;
        check_slots(&mut connection, &table, &case, &keys).await.with_context(context)?;
        check_order(&mut connection, &table, &case, &keys).await.with_context(context)?;
        check_predicates(&mut connection, &table, &case, &keys).await.with_context(context)?;
        check_units(&mut connection, &table, &case, &keys).await.with_context(context)?;
        check_literals(&mut connection, &table, &case, &keys).await.with_context(context)?;
        // The expression does not depend on what the session set.
        for setting in
            ["character_set_connection = utf16", "sql_mode = 'ANSI,PAD_CHAR_TO_FULL_LENGTH'"]
        {
            connection.query_drop(format!("SET {setting}")).await?;
            let again = &keys[..KEYS_AGAIN];
            check_slots(&mut connection, &table, &case, again).await.with_context(|| setting)?;
            connection.query_drop("SET NAMES utf8mb4, sql_mode = DEFAULT").await?;
        }
        connection.query_drop(format!("DROP TABLE {table}")).await?;
    }
    connection.disconnect().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_have_the_same_place_in_rust_and_in_sql() -> Result<()> {
    let server = Server::start()?;
    let mut connection = server.connect().await?;
    connection.query_drop("CREATE DATABASE agreement").await?;
    let other = server.connect().await?;
    let halves = [tokio::spawn(check_half(connection, 0)), tokio::spawn(check_half(other, 1))];
    for half in halves {
        half.await??;
    }
    Ok(())
}
