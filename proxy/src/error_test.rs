//! Tests of the errors' texts and classes.

use super::*;

#[test]
fn a_refusal_carries_reason_and_hint() {
    let refusal = Refusal { code: 1235, reason: "no.".into(), hint: "do this".into() };
    let error = SqlError::refused(&refusal);
    assert_eq!(error.message_text(), "no. Hint: do this");
    assert_eq!(&error.state, b"42000");
}

#[test]
fn a_lost_write_is_of_unknown_outcome() {
    assert_eq!(SqlError::shard_lost("s1", "eof", true).retry, RetryClass::Unknown);
    assert_eq!(SqlError::shard_lost("s1", "eof", false).retry, RetryClass::Statement);
}

#[test]
fn where_it_happened_keeps_the_servers_number() {
    let cause = SqlError::from_server(1050, *b"42S01", b"Table 't' already exists".to_vec());
    let error = cause.on_shard("s2", "undone on s1");
    assert_eq!(error.number, 1050);
    assert!(error.message_text().ends_with("(on shard s2; undone on s1)"));
}
