//! What real servers logged (the corpus of streams: MariaDB 10.11 with and without compressed events, MySQL
//! 9.7 with tagged transaction ids and with compressed transactions) is decoded to the same changes.

use bytes::Bytes;
use shardline_binlog::control::Checksum;
use shardline_binlog::find::{Finder, Mark};
use shardline_binlog::json::Json;
use shardline_binlog::rows::Row;
use shardline_binlog::transaction::{Limits, Progress, TransactionId};
use shardline_binlog::{Collector, Decoder, Family, Transaction, Value};

/// The first transaction that inserts the row of this name, with at most so many bytes.
fn find(file: &'static [u8], name: &'static str, bytes_max: usize) -> Result<usize, String> {
    let mut rest = Bytes::from_static(file);
    let mut decoder = Decoder::new(Checksum::None);
    let is_it = |row: &Row| row[1] == Some(Value::Bytes(Bytes::from_static(name.as_bytes())));
    let mark = Mark { database: "shop", table: "item", is_it: &is_it };
    let limits = Limits { bytes_max, ..Limits::default() };
    let mut finder = Finder::new(mark, &|_| true, limits);
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[9..13].try_into().expect("four bytes"));
        let event = decoder.decode(rest.split_to(length as usize));
        match finder.push(event) {
            Ok(Some(found)) => return Ok(found.changes.len()),
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(0)
}

#[test]
fn one_transaction_is_found_by_a_row_of_it() {
    for file in [
        &include_bytes!("../corpus/stream/mariadb")[..],
        include_bytes!("../corpus/stream/mariadb_compressed"),
        include_bytes!("../corpus/stream/mysql"),
        include_bytes!("../corpus/stream/mysql_compressed"),
    ] {
        assert_eq!(find(file, "Käse", 1 << 20), Ok(2));
        assert_eq!(find(file, "neu", 1 << 20), Ok(4));
        assert_eq!(find(file, "nowhere", 10), Ok(0));
        assert!(find(file, "neu", 10).is_err_and(|error| error.contains("10 bytes")));
    }
}

/// The transactions of a file without its first four bytes.
fn transactions(file: &'static [u8]) -> Vec<Transaction> {
    let mut rest = Bytes::from_static(file);
    let mut decoder = Decoder::new(Checksum::None);
    let mut collector = Collector::new(Limits::default());
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[9..13].try_into().expect("four bytes"));
        let event = rest.split_to(length as usize);
        let event = decoder.decode(event).expect("an event");
        if let Progress::Transaction(transaction) =
            collector.push(event, &|_| true).expect("in order")
        {
            found.push(transaction);
        }
    }
    found
}

fn shown(value: &Value, family: Family) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => format!("{number}u"),
        Value::Float(number) => format!("{number}f"),
        Value::Double(number) => format!("{number:e}"),
        Value::Decimal(number) => number.to_string(),
        Value::Bit(bits) => format!("b{bits:b}"),
        Value::Year(year) => format!("y{year}"),
        Value::Date(date) => date.to_string(),
        Value::Time(time) => time.to_string(),
        Value::DateTime(moment) => moment.to_string(),
        Value::Timestamp(moment) => format!("{moment}Z"),
        Value::Enum(number) => format!("e{number}"),
        Value::Set(bits) => format!("s{bits:b}"),
        Value::Json(bytes) => Json::decode(bytes).expect("JSON").to_string(),
        // Both families' JSON is shown alike.
        Value::Bytes(bytes) if family == Family::Mariadb && bytes.first() == Some(&b'{') => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if text.len() == 25 => {
                bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            Ok(text) if text.len() > 40 => format!("{} bytes", text.len()),
            Ok(text) => format!("{text:?}"),
            Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        },
    }
}

fn row(row: Option<&Row>, family: Family) -> String {
    let values = row.map_or(&[][..], Vec::as_slice).iter();
    let shown = |value: &Option<Value>| value.as_ref().map_or("?".into(), |v| shown(v, family));
    values.map(shown).collect::<Vec<_>>().join(" | ")
}

const FIRST: &str = "1u | \"Käse\" | -1234567.8901 | 0.1f | -2.5e-100 | 2026-11-21 10:00:00.125 | \
    2026-11-21 10:00:00.654321Z | -00:00:01.25 | 2026-11-21 | y2026 | e2 | s101 | b10000000001 | \
    \"\\n\\u{b}\\0\\0\\0\\0\" | 200 bytes | \
    {\"a\": [1, -2.5, \"x\", null, true], \"b\": {\"c\": 18446744073709551615}} | \
    000000000101000000000000000000f03f0000000000000040 | \
    \"ab\" | -8388608 | 18446744073709551615u";

fn check(file: &'static [u8], family: Family) -> Vec<Transaction> {
    let all = transactions(file);
    let with_rows: Vec<&Transaction> = all.iter().filter(|t| !t.changes.is_empty()).collect();
    let [fill, change] = &with_rows[..] else { panic!("{} with rows", with_rows.len()) };
    assert_eq!(row(fill.changes[0].after.as_ref(), family), FIRST);
    let nulls = format!("2u{}", " | -".repeat(19));
    assert_eq!(row(fill.changes[1].after.as_ref(), family), nulls);
    let [update, delete, insert, _] = &change.changes[..] else { panic!("{:?}", change.changes) };
    assert_eq!(row(update.before.as_ref(), family), FIRST);
    let after = FIRST.replacen("1u | \"Käse\"", "7u | \"Brot\"", 1);
    assert_eq!(row(update.after.as_ref(), family), after);
    assert_eq!(row(delete.before.as_ref(), family), nulls);
    assert!(row(insert.after.as_ref(), family).starts_with("8u | \"neu\" | - |"));
    assert_eq!(&*update.table.database, "shop");
    let names = update.table.columns.iter().filter_map(|column| column.name.as_deref());
    assert_eq!(names.take(3).collect::<Vec<_>>(), ["id", "name", "price"]);
    let statements: Vec<_> = all.iter().flat_map(|t| &t.statements).collect();
    assert!(statements.iter().any(|statement| statement.starts_with("create table item")));
    all
}

#[test]
fn mariadb() {
    for file in [
        &include_bytes!("../corpus/stream/mariadb")[..],
        include_bytes!("../corpus/stream/mariadb_compressed"),
    ] {
        let all = check(file, Family::Mariadb);
        let Some(TransactionId::Mariadb(last)) = all.last().and_then(|t| t.id.clone()) else {
            panic!("no id")
        };
        assert_eq!(last.gtid.sequence as usize, all.len());
    }
}

#[test]
fn mysql() {
    for (file, tag) in [
        (&include_bytes!("../corpus/stream/mysql")[..], "blue"),
        (include_bytes!("../corpus/stream/mysql_compressed"), ""),
    ] {
        let all = check(file, Family::Mysql);
        let Some(TransactionId::Mysql(last)) = all.last().and_then(|t| t.id.clone()) else {
            panic!("no id")
        };
        assert_eq!(last.source.map(|source| source.tag.into_string()).as_deref(), Some(tag));
        assert_eq!(last.number as usize, all.len());
    }
}
