//! Statements about transactions over several shards: what is open, what became of one,
//! and what to do with one whose undoing is stuck.

use super::{end, operations};
use crate::{
    cursor::Cursor,
    lexer::TokenKind,
    plan::{Refusal, ResolveChoice, SessionStatement},
};

/// The database of Shardline's procedures.
pub(super) const PROCEDURES: &str = "shardline";
const TXN_RESOLVE: &str = "txn_resolve";
const USAGE: &str =
    "CALL shardline.txn_resolve('xid', 'keep' | 'restore' | 'merge' [, 'shard']) is there";

/// Behind SHOW: `TRANSACTIONS` or `TRANSACTION STATUS ['xid']`; None when it is neither.
pub(super) fn show(cursor: &mut Cursor<'_, '_>) -> Result<Option<SessionStatement>, Refusal> {
    if cursor.accept("TRANSACTIONS") {
        end(cursor)?;
        return Ok(Some(SessionStatement::ShowTransactions));
    }
    if !cursor.accept("TRANSACTION STATUS") {
        return Ok(None);
    }
    let xid = match cursor.at_end() {
        true => None,
        false => Some(cursor.string().ok_or_else(|| cursor.unexpected("a transaction's xid"))?),
    };
    end(cursor)?;
    Ok(Some(SessionStatement::ShowTransactionStatus { xid }))
}

/// `CALL shardline.procedure(..)`; None when it calls a procedure of another database.
pub(super) fn call(cursor: &mut Cursor<'_, '_>) -> Result<Option<SessionStatement>, Refusal> {
    let first = cursor.index;
    cursor.index += 1;
    let ours = cursor.identifier().is_some_and(|name| name.eq_ignore_ascii_case(PROCEDURES))
        && cursor.accept_kind(TokenKind::Dot);
    if !ours {
        cursor.index = first;
        return Ok(None);
    }
    let name = cursor.identifier().ok_or_else(|| cursor.unexpected("a procedure's name"))?;
    if !name.eq_ignore_ascii_case(TXN_RESOLVE) {
        return operations::call(cursor, name).map(Some);
    }
    let wrong = |cursor: &Cursor<'_, '_>, wanted: &str| Refusal {
        hint: USAGE.into(),
        ..cursor.unexpected(wanted)
    };
    let comma = |cursor: &mut Cursor<'_, '_>| cursor.accept_kind(TokenKind::Comma);
    if !cursor.accept_kind(TokenKind::LeftParen) {
        return Err(wrong(cursor, "("));
    }
    let xid = cursor.string().ok_or_else(|| wrong(cursor, "a transaction's xid"))?;
    if !comma(cursor) {
        return Err(wrong(cursor, "a comma"));
    }
    let at = cursor.index;
    let choice = cursor.string().and_then(|word| choice(&word));
    let Some(choice) = choice else {
        cursor.index = at;
        return Err(wrong(cursor, "'keep', 'restore' or 'merge'"));
    };
    let shard = match comma(cursor) {
        true => Some(cursor.name_or_string().ok_or_else(|| wrong(cursor, "a shard's name"))?),
        false => None,
    };
    if !cursor.accept_kind(TokenKind::RightParen) {
        return Err(wrong(cursor, ")"));
    }
    end(cursor)?;
    Ok(Some(SessionStatement::TransactionResolve { xid, choice, shard }))
}

fn choice(word: &str) -> Option<ResolveChoice> {
    let choices = [
        ("keep", ResolveChoice::Keep),
        ("restore", ResolveChoice::Restore),
        ("merge", ResolveChoice::Merge),
    ];
    choices.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, choice)| choice)
}
