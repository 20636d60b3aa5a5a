//! What clients may neither name nor set, since transactions over several shards rest on it:
//! Shardline's own schema on the shards, and the variables that say what the binlog holds.

use crate::{
    lexer::{TokenKind, Tokens},
    plan::Refusal,
};

/// The schema on every shard that is Shardline's own.
pub const OWN_SCHEMA: &str = "_shardline";
/// The letter of it that servers also make of another one when they write names in small
/// letters: U+0130 becomes `i`. So the names before and behind it, whatever the bytes between.
const AROUND_I: (&[u8], &[u8]) = (b"_shardl", b"ne");
/// The most bytes that one letter has.
const LETTER_BYTES_MAX: usize = 4;
/// MariaDB takes what follows for the name of a folder.
const FOLDER_PREFIX: &[u8] = b"#mysql50#";

/// Variables that decide what of a session's changes is in the binlog, and under which name.
/// What an aborted transaction changed is undone from there, and replicas live on it.
const BINLOG_VARIABLES: &[&str] = &[
    "binlog_direct_non_transactional_updates",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_value_options",
    "gtid_domain_id",
    "gtid_next",
    "gtid_seq_no",
    "pseudo_replica_mode",
    "pseudo_slave_mode",
    "server_id",
    "skip_replication",
    "sql_log_bin",
    "wsrep_on",
];

/// Whether a server may take this name of a database for Shardline's own schema, whatever its
/// `lower_case_table_names` and the client's character set are.
pub fn is_own_schema(name: &[u8]) -> bool {
    let prefix = name.get(..FOLDER_PREFIX.len());
    if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(FOLDER_PREFIX)) {
        return true;
    }
    if name.eq_ignore_ascii_case(OWN_SCHEMA.as_bytes()) {
        return true;
    }
    let (before, behind) = AROUND_I;
    let Some(letter) = name.len().checked_sub(before.len() + behind.len()) else { return false };
    let middle = &name[before.len()..before.len() + letter];
    (1..=LETTER_BYTES_MAX).contains(&letter)
        && !middle.is_ascii()
        && name[..before.len()].eq_ignore_ascii_case(before)
        && name[before.len() + letter..].eq_ignore_ascii_case(behind)
}

/// Refuses a statement that names Shardline's own schema, wherever: also as the table of a
/// foreign key or of LIKE.
pub(crate) fn names(tokens: &Tokens<'_>) -> Result<(), Refusal> {
    for index in 0..tokens.len() {
        // A name in quotes is two bytes longer, and `#mysql50#` is never without them.
        let text = match tokens.kind(index) {
            Some(TokenKind::Word) => tokens.text(index),
            Some(TokenKind::QuotedIdentifier) => {
                let text = tokens.text(index);
                text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
            }
            _ => continue,
        };
        if is_own_schema(text) {
            return Err(Refusal::not_supported(
                format!(
                    "the name {} is Shardline's own: the schema {OWN_SCHEMA} keeps the shards' \
                     part of transactions",
                    String::from_utf8_lossy(text)
                ),
                "use another name",
            ));
        }
    }
    Ok(())
}

/// Refuses to set a variable that the binlog's completeness rests on. Servers compare names
/// of variables without regard to accents, so one with other letters than ASCII's could be
/// any; no variable has such a name.
pub(crate) fn variable(name: &str) -> Result<(), Refusal> {
    let last = name.rsplit('.').next().unwrap_or(name);
    if !name.is_ascii() {
        return Err(Refusal {
            code: UNKNOWN_VARIABLE,
            reason: format!("Unknown system variable '{name}'"),
            hint: "SHOW VARIABLES lists those that there are".into(),
        });
    }
    if BINLOG_VARIABLES.iter().any(|variable| variable.eq_ignore_ascii_case(last)) {
        return Err(Refusal::not_supported(
            format!(
                "{last} says what the shards' binlogs hold, and transactions over several shards \
                 and replicas need all of it"
            ),
            "leave it as it is; where a change must stay out of a binlog, make it on the server \
             itself",
        ));
    }
    Ok(())
}

/// ER_UNKNOWN_SYSTEM_VARIABLE.
const UNKNOWN_VARIABLE: u16 = 1193;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::{Lexer, SqlMode};

    #[test]
    fn every_spelling_of_the_schema_is_known() {
        for name in ["_shardline", "_SHARDLINE", "_Shardl\u{130}ne", "#mysql50#_shardline"] {
            assert!(is_own_schema(name.as_bytes()), "{name}");
        }
        // U+0130 in latin5.
        assert!(is_own_schema(b"_shardl\xddne"));
        for name in ["shardline", "_shardline2", "_shardlane", "größe", "日本", "_shardl日本ne", ""]
        {
            assert!(!is_own_schema(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_statement_names_it_by_words_and_quotes_but_not_in_texts() {
        let refused = |sql: &str, mode: &str| {
            let mode = SqlMode::parse(mode).unwrap();
            names(&Lexer::tokenize(sql.as_bytes(), mode).unwrap()).is_err()
        };
        for sql in [
            "SELECT * FROM _shardline.gtx",
            "SELECT * FROM `_ShardLine` . gtx",
            "SHOW TABLES FROM _shardline",
            "CREATE TABLE d.t (x BINARY(16), FOREIGN KEY (x) REFERENCES _shardline.gtx (xid))",
            "CREATE TABLE d.t LIKE /*!50000 _shardline.*/ gtx",
        ] {
            assert!(refused(sql, ""), "{sql}");
        }
        assert!(refused("SELECT * FROM \"_shardline\".gtx", "ANSI_QUOTES"));
        assert!(!refused("SELECT \"_shardline\", '_shardline', @_shardline", ""));
    }

    #[test]
    fn variables_of_the_binlog_are_refused_by_any_spelling() {
        for name in ["sql_log_bin", "SQL_LOG_BIN", "session.binlog_format", "binlog_row_image"] {
            assert_eq!(variable(name).unwrap_err().code, crate::refusal::NOT_SUPPORTED, "{name}");
        }
        assert_eq!(variable("sql_lög_bin").unwrap_err().code, UNKNOWN_VARIABLE);
        for name in ["sql_mode", "innodb_lock_wait_timeout", "binlog_annotate_row_events"] {
            assert!(variable(name).is_ok(), "{name}");
        }
    }
}
