//! A client's statement on its way to a shard: a text, or the execution of a prepared
//! statement.

use crate::{
    backend::{BackendConnection, BackendError},
    session::answer::Protocol,
};
use shardline_wire::{
    command::Command,
    statement::{CURSOR_NONE, LongData, Parameter, ParameterType, encode_execute},
};

/// What is sent for a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outgoing<'a> {
    /// COM_QUERY with this text.
    Query(&'a [u8]),
    /// The text is prepared on the connection (or is already) and executed.
    Execute {
        /// The text with its `?`.
        sql: &'a [u8],
        /// The parameters; none when they were replaced by literals.
        parameters: Parameters<'a>,
    },
}

/// Parameters of an execution.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parameters<'a> {
    /// Types.
    pub(crate) types: &'a [ParameterType],
    /// Values.
    pub(crate) values: &'a [Parameter<'a>],
    /// Long data, sent before the execution.
    pub(crate) long: Option<&'a LongData>,
}

impl<'a> Outgoing<'a> {
    /// A text whose rows come back in `protocol`. What returns no rows needs no
    /// preparation: its answer is the same in both.
    pub(crate) fn literal(sql: &'a [u8], protocol: Protocol, returns_rows: bool) -> Self {
        match protocol {
            Protocol::Binary if returns_rows => {
                Outgoing::Execute { sql, parameters: Parameters::default() }
            }
            Protocol::Binary | Protocol::Text => Outgoing::Query(sql),
        }
    }

    /// The text.
    pub(crate) fn sql(&self) -> &'a [u8] {
        match self {
            Outgoing::Query(sql) | Outgoing::Execute { sql, .. } => sql,
        }
    }

    /// Whether the statement must be prepared before [`Outgoing::queue`].
    pub(crate) fn needs_preparation(&self) -> Option<&'a [u8]> {
        match self {
            Outgoing::Query(_) => None,
            Outgoing::Execute { sql, .. } => Some(sql),
        }
    }

    /// Queues the statement; `prepared` is its number on the connection.
    pub(crate) fn queue(
        &self,
        connection: &mut BackendConnection,
        prepared: u32,
    ) -> Result<(), BackendError> {
        match self {
            Outgoing::Query(sql) => {
                connection.response_begins().queue_with(|out| Command::Query(sql).encode(out));
            }
            Outgoing::Execute { parameters, .. } => {
                for (parameter, data) in parameters.long.iter().flat_map(|long| long.iter()) {
                    let statement_id = prepared;
                    let command = Command::StmtSendLongData { statement_id, parameter, data };
                    connection.response_begins().queue_with(|out| command.encode(out));
                }
                let Parameters { types, values, .. } = *parameters;
                let mut encoded = Ok(());
                connection.response_begins().queue_with(|out| {
                    encoded = encode_execute(prepared, CURSOR_NONE, types, values, out);
                });
                // What is queued by halves is never sent: the connection is given up.
                encoded.map_err(|error| connection.unreadable(error))?;
            }
        }
        Ok(())
    }
}
