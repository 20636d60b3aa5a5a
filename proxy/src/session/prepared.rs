//! The prepared statements of one session: our ids, the texts, the parameter types and
//! the long data. Bounded in number and in bytes. No I/O.

use crate::{config::Limits, error::SqlError};
use bytes::Bytes;
use shardline_model::id::Epoch;
use shardline_router::{
    lexer::SqlMode,
    router::Scratch,
    template::{LiteralSpan, Template},
    view::SessionView,
};
use shardline_wire::{
    cursor::DecodeError,
    statement::{LongData, ParameterTypes},
};
use std::{collections::HashMap, sync::Arc};

/// One prepared statement.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The client's text.
    pub(crate) sql: Bytes,
    /// How many `?` it has.
    pub(crate) parameters: usize,
    /// The parameter types of the last execution.
    pub(crate) types: Option<ParameterTypes>,
    /// Long data for the next execution.
    pub(crate) long: LongData,
    /// Long data was refused; the next execution says so.
    pub(crate) long_error: bool,
    /// What the last execution found out.
    pub(crate) known: Option<Known>,
}

/// A statement's template, which is good for as long as the text is read alike.
#[derive(Debug)]
pub(crate) struct Known {
    epoch: Epoch,
    database: Option<Box<str>>,
    mode: SqlMode,
    allow_explicit_ids: bool,
    /// The template.
    pub(crate) template: Arc<Template>,
    /// The literals of the text.
    pub(crate) literals: Box<[LiteralSpan]>,
}

impl Known {
    /// What was just prepared with `scratch`.
    pub(crate) fn new(
        view: &SessionView<'_>,
        epoch: Epoch,
        template: Arc<Template>,
        scratch: &Scratch,
    ) -> Self {
        Known {
            epoch,
            database: view.database.map(Into::into),
            mode: view.sql_mode,
            allow_explicit_ids: view.allow_explicit_ids,
            template,
            literals: scratch.literals().into(),
        }
    }

    /// Whether planning anew would give the same.
    pub(crate) fn holds(&self, view: &SessionView<'_>, epoch: Epoch) -> bool {
        self.epoch == epoch
            && self.database.as_deref() == view.database
            && self.mode == view.sql_mode
            && self.allow_explicit_ids == view.allow_explicit_ids
    }
}

/// All of one session.
#[derive(Debug)]
pub(crate) struct Statements {
    /// None while it is executed.
    by_id: HashMap<u32, Option<Box<Prepared>>>,
    /// Those that SQL text prepared, by name in lower case.
    named: HashMap<String, u32>,
    last_id: u32,
    bytes: usize,
    count_max: usize,
    bytes_max: usize,
    long_data_max: usize,
}

impl Statements {
    /// None yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        Statements {
            by_id: HashMap::new(),
            named: HashMap::new(),
            last_id: 0,
            bytes: 0,
            count_max: limits.statements_max,
            bytes_max: limits.statement_bytes_max,
            long_data_max: limits.packet_bytes_max,
        }
    }

    /// Whether one more of `bytes` bytes may be kept.
    ///
    /// # Errors
    /// A limit is reached.
    pub(crate) fn check_room(&self, bytes: usize) -> Result<(), SqlError> {
        if self.by_id.len() >= self.count_max || self.bytes + bytes > self.bytes_max {
            return Err(SqlError::too_many_statements(self.count_max));
        }
        Ok(())
    }

    /// Keeps a statement and gives it an id.
    pub(crate) fn insert(&mut self, sql: Bytes, parameters: usize) -> u32 {
        self.bytes += sql.len();
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && !self.by_id.contains_key(&self.last_id) {
                break;
            }
        }
        let prepared = Prepared {
            sql,
            parameters,
            types: None,
            long: LongData::new(),
            long_error: false,
            known: None,
        };
        self.by_id.insert(self.last_id, Some(Box::new(prepared)));
        self.last_id
    }

    /// The statement of that id.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn get_mut(&mut self, id: u32, operation: &str) -> Result<&mut Prepared, SqlError> {
        let prepared = self.by_id.get_mut(&id).and_then(Option::as_deref_mut);
        prepared.ok_or_else(|| SqlError::unknown_statement(id, operation))
    }

    /// Takes a statement out for its execution; [`Statements::put_back`] follows.
    ///
    /// # Errors
    /// There is none of that id.
    pub(crate) fn lend(&mut self, id: u32) -> Result<Box<Prepared>, SqlError> {
        let prepared = self.by_id.get_mut(&id).and_then(Option::take);
        prepared.ok_or_else(|| SqlError::unknown_statement(id, "mysqld_stmt_execute"))
    }

    /// Puts a statement back, without the long data of its execution.
    pub(crate) fn put_back(&mut self, id: u32, mut prepared: Box<Prepared>) {
        prepared.long.clear();
        prepared.long_error = false;
        if let Some(place) = self.by_id.get_mut(&id) {
            *place = Some(prepared);
        }
    }

    /// COM_STMT_SEND_LONG_DATA has no answer: what cannot be kept fails the execution.
    pub(crate) fn append_long(&mut self, id: u32, parameter: u16, data: &[u8]) {
        let limit = self.long_data_max;
        let Ok(prepared) = self.get_mut(id, "mysqld_stmt_send_long_data") else { return };
        let parameters = u16::try_from(prepared.parameters).unwrap_or(u16::MAX);
        let kept: Result<(), DecodeError> =
            prepared.long.append(parameter, data, parameters, limit);
        prepared.long_error |= kept.is_err();
    }

    /// `PREPARE name`: a statement before it of that name is gone already.
    ///
    /// # Errors
    /// A limit is reached.
    pub(crate) fn insert_named(
        &mut self,
        name: String,
        sql: Bytes,
        parameters: usize,
    ) -> Result<(), SqlError> {
        self.check_room(sql.len())?;
        let id = self.insert(sql, parameters);
        self.named.insert(name, id);
        Ok(())
    }

    /// The text and the number of parameters of a named statement.
    pub(crate) fn named(&self, name: &str) -> Option<(Bytes, usize)> {
        let prepared = self.by_id.get(self.named.get(name)?)?.as_ref()?;
        Some((prepared.sql.clone(), prepared.parameters))
    }

    /// `DEALLOCATE PREPARE name`; false when there is none.
    pub(crate) fn remove_named(&mut self, name: &str) -> bool {
        let id = self.named.remove(name);
        if let Some(id) = id {
            self.remove(id);
        }
        id.is_some()
    }

    /// COM_STMT_CLOSE.
    pub(crate) fn remove(&mut self, id: u32) {
        if let Some(Some(prepared)) = self.by_id.remove(&id) {
            self.bytes -= prepared.sql.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_bytes_are_bounded() {
        let limits = Limits { statements_max: 2, statement_bytes_max: 10, ..Limits::default() };
        let mut statements = Statements::new(&limits);
        assert!(statements.check_room(10).is_ok());
        assert!(statements.check_room(11).is_err());
        let first = statements.insert(Bytes::from_static(b"SELECT 1"), 0);
        assert!(statements.check_room(3).is_err());
        statements.remove(first);
        statements.remove(first);
        assert!(statements.check_room(10).is_ok());
        statements.insert(Bytes::new(), 0);
        statements.insert(Bytes::new(), 0);
        assert_eq!(statements.check_room(0).unwrap_err().number, 1461);
    }

    #[test]
    fn long_data_for_no_parameter_fails_the_execution() {
        let mut statements = Statements::new(&Limits::default());
        let id = statements.insert(Bytes::from_static(b"SELECT ?"), 1);
        statements.append_long(id, 0, b"ab");
        statements.append_long(id, 0, b"c");
        assert_eq!(statements.get_mut(id, "EXECUTE").unwrap().long.get(0), Some(&b"abc"[..]));
        statements.append_long(id, 1, b"x");
        assert!(statements.get_mut(id, "EXECUTE").unwrap().long_error);
        assert_eq!(statements.get_mut(99, "EXECUTE").unwrap_err().number, 1243);
    }
}
