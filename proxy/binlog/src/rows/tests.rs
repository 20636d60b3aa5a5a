//! Rows events made by hand.

use super::*;
use crate::column::ColumnType;
use crate::table_map::Column;

fn table() -> Arc<TableMap> {
    let int = Column::new(ColumnType::Int { bytes: 1 }, false);
    let text = Column::new(ColumnType::VarChar { bytes: 20, compressed: false }, true);
    Arc::new(TableMap { id: 7, database: "d".into(), table: "t".into(), columns: vec![int, text] })
}

fn kind(change: ChangeKind) -> RowsKind {
    RowsKind { change, extra: true, compressed: false }
}

fn rows(change: ChangeKind, rest: &[u8]) -> Result<Rows, DecodeError> {
    let mut body = vec![7, 0, 0, 0, 0, 0, 1, 0, 2, 0];
    body.extend(rest);
    RawRows::decode(Bytes::from(body), kind(change), 6)?.of(table(), kind(change))
}

fn text(text: &'static str) -> Option<Value> {
    Some(Value::Bytes(Bytes::from_static(text.as_bytes())))
}

#[test]
fn images_with_all_and_with_some_columns() {
    let mut event = rows(ChangeKind::Insert, &[2, 3, 0, 5, 1, b'a', 2, 6]).expect("a rows event");
    assert!(event.ends_statement());
    let found: Vec<_> = event.by_ref().collect::<Result<_, _>>().expect("rows");
    assert_eq!(found[0].after, Some(vec![Some(Value::Int(5)), text("a")]));
    assert_eq!(found[1].after, Some(vec![Some(Value::Int(6)), Some(Value::Null)]));
    assert_eq!(found.len(), 2);
    // An update that logs all columns before and only the second one after.
    let mut event =
        rows(ChangeKind::Update, &[2, 3, 2, 0, 5, 1, b'a', 0, 1, b'b']).expect("a rows event");
    let images = event.next().expect("a row").expect("images");
    assert_eq!(images.before, Some(vec![Some(Value::Int(5)), text("a")]));
    assert_eq!(images.after, Some(vec![None, text("b")]));
    assert!(event.next().is_none());
}

#[test]
fn broken_rows_end_the_event() {
    let mut event = rows(ChangeKind::Insert, &[2, 3, 0, 5, 9, b'a']).expect("a rows event");
    assert!(event.next().expect("an answer").is_err());
    assert!(event.next().is_none());
    assert!(rows(ChangeKind::Insert, &[3, 3]).is_err());
    assert!(rows(ChangeKind::Insert, &[2, 3]).is_err());
    // Images without columns would never end.
    let mut event = rows(ChangeKind::Insert, &[2, 0, 1, 1]).expect("a rows event");
    assert!(event.next().expect("an answer").is_err());
}

#[test]
fn extra_data_is_passed_over() {
    let mut body = vec![7, 0, 0, 0, 0, 0, 1, 0, 5, 0, 9, 9, 9];
    body.extend([2, 3, 0, 5, 1, b'a']);
    let insert = kind(ChangeKind::Insert);
    let raw = RawRows::decode(Bytes::from(body.clone()), insert, 6).expect("a header");
    assert_eq!(raw.of(table(), insert).map(Iterator::count), Ok(1));
    body[8] = 1;
    assert!(RawRows::decode(Bytes::from(body), insert, 6).is_err());
}
