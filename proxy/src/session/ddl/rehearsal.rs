//! An ALTER is tried on an empty copy of the table in Shardline's own schema first, so
//! that one which breaks a rule of the catalog is refused before any shard has made it.

use super::foreign::{self, ForeignKey};
use crate::{
    error::SqlError,
    session::{
        Session,
        failure::Failure,
        schema::{Definition, quoted},
        settings::OWN_SCHEMA,
    },
    state::SqlLiteral,
};
use shardline_model::{catalog::Catalog, id::ShardId};
use shardline_router::{
    lexer::{Lexer, SqlMode, TokenKind},
    plan::TableName,
};

impl Session {
    /// Rehearses an ALTER on a shard.
    ///
    /// # Errors
    /// The catalog would not take the table as it is afterwards. What the server itself
    /// refuses here is no error: the real statement will say it better.
    pub(super) async fn rehearse_alter(
        &mut self,
        catalog: &Catalog,
        shard: ShardId,
        table: &TableName,
        sql: &[u8],
    ) -> Result<(), Failure> {
        let copy = TableName {
            database: OWN_SCHEMA.to_owned(),
            table: format!("rehearsal_{}", self.registration.id),
        };
        let Some(retargeted) = retarget(sql, self.mode, &copy) else { return Ok(()) };
        // The tables that its foreign keys name are not there.
        let own = self.state.clone();
        let unchecked = self.state.set_variable("foreign_key_checks", SqlLiteral::integer(0));
        unchecked.map_err(|error| SqlError::internal(error.to_string()))?;
        let made = self.altered_copy(shard, table, &copy, &retargeted).await;
        self.state = own;
        let drop = format!("DROP TABLE IF EXISTS {}", super::full_name(&copy));
        self.on_shard(shard, drop.as_bytes()).await?;
        let (definition, keys) = match made {
            Ok(made) => made,
            Err(Failure::Sql(_)) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let change = super::replacement(table, definition);
        let checked = catalog.check(&change);
        checked.map_err(|error| SqlError::invalid_sharding(error.to_string()))?;
        foreign::check(&keys, catalog, &copy, table)?;
        Ok(())
    }

    async fn altered_copy(
        &mut self,
        shard: ShardId,
        table: &TableName,
        copy: &TableName,
        retargeted: &[u8],
    ) -> Result<(Definition, Vec<ForeignKey>), Failure> {
        let schema = format!("CREATE DATABASE IF NOT EXISTS {}", quoted(OWN_SCHEMA));
        let (from, to) = (super::full_name(table), super::full_name(copy));
        let clean = format!("DROP TABLE IF EXISTS {to}");
        let create = format!("CREATE TABLE {to} LIKE {from}");
        for sql in [schema.as_bytes(), clean.as_bytes(), create.as_bytes(), retargeted] {
            self.on_shard(shard, sql).await?;
        }
        let definition = self.read_definition(shard, copy).await?;
        let keys = self.ask_shard(shard, &foreign::keys_sql(copy)).await?;
        Ok((definition, foreign::keys(super::texts(keys))))
    }
}

/// The statement with another table in the place of its own: the name after `ALTER ..
/// TABLE`, or after the ON of an index statement.
fn retarget(sql: &[u8], mode: SqlMode, copy: &TableName) -> Option<Vec<u8>> {
    let tokens = Lexer::tokenize(sql, mode).ok()?;
    let before_name = if tokens.is_keyword(0, "ALTER") { "TABLE" } else { "ON" };
    let count = tokens.tokens.len();
    let mut at = (0..count).find(|index| tokens.is_keyword(*index, before_name))? + 1;
    if tokens.is_keyword(at, "IF") {
        // IF EXISTS
        at += 2;
    }
    tokens.identifier(at)?;
    let mut end = at;
    if tokens.kind(at + 1) == Some(TokenKind::Dot) {
        tokens.identifier(at + 2)?;
        end = at + 2;
    }
    let (first, last) = (tokens.tokens.get(at)?.span.range(), tokens.tokens.get(end)?.span.range());
    let mut text = sql[..first.start].to_vec();
    text.extend_from_slice(super::full_name(copy).as_bytes());
    text.extend_from_slice(&sql[last.end..]);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_replaced_wherever_it_stands() {
        let copy = TableName { database: "d".into(), table: "c".into() };
        let check = |sql: &str| {
            let text = retarget(sql.as_bytes(), SqlMode::default(), &copy);
            text.map(|text| String::from_utf8(text).unwrap())
        };
        let expected = |text: &str| Some(text.to_owned());
        assert_eq!(check("ALTER TABLE t ADD a int"), expected("ALTER TABLE `d`.`c` ADD a int"));
        assert_eq!(
            check("alter online table if exists `x`.`t` drop b"),
            expected("alter online table if exists `d`.`c` drop b")
        );
        assert_eq!(
            check("CREATE UNIQUE INDEX i ON x . t (a)"),
            expected("CREATE UNIQUE INDEX i ON `d`.`c` (a)")
        );
        assert_eq!(check("DROP INDEX i ON t"), expected("DROP INDEX i ON `d`.`c`"));
        assert_eq!(check("ALTER TABLE"), None);
    }
}
