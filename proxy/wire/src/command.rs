//! Commands that a client sends: decoded with slices of the packet, and encoded for servers.

use bytes::{BufMut, BytesMut};

use crate::cursor::{DecodeError, Reader};

/// First byte of a command packet.
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub mod code {
    pub const SLEEP: u8 = 0x00;
    pub const QUIT: u8 = 0x01;
    pub const INIT_DB: u8 = 0x02;
    pub const QUERY: u8 = 0x03;
    pub const FIELD_LIST: u8 = 0x04;
    pub const STATISTICS: u8 = 0x09;
    pub const PROCESS_INFO: u8 = 0x0a;
    pub const PROCESS_KILL: u8 = 0x0c;
    pub const DEBUG: u8 = 0x0d;
    pub const PING: u8 = 0x0e;
    pub const CHANGE_USER: u8 = 0x11;
    pub const BINLOG_DUMP: u8 = 0x12;
    pub const STMT_PREPARE: u8 = 0x16;
    pub const STMT_EXECUTE: u8 = 0x17;
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub const STMT_CLOSE: u8 = 0x19;
    pub const STMT_RESET: u8 = 0x1a;
    pub const SET_OPTION: u8 = 0x1b;
    pub const STMT_FETCH: u8 = 0x1c;
    pub const RESET_CONNECTION: u8 = 0x1f;
}

/// A command with its arguments, as slices of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The client leaves; there is no answer.
    Quit,
    /// Sets the default database.
    InitDb(&'a [u8]),
    /// A statement's text.
    Query(&'a [u8]),
    /// The columns of a table.
    FieldList {
        /// Table name.
        table: &'a [u8],
        /// Pattern for column names; empty for all.
        pattern: &'a [u8],
    },
    /// A line of figures.
    Statistics,
    /// The process list as a result set.
    ProcessInfo,
    /// Kills a connection.
    ProcessKill(u32),
    /// Writes debug information to the server's log.
    Debug,
    /// Asks whether the server is there.
    Ping,
    /// Logs in anew; decoded by `handshake::ChangeUser`, for it depends on the capabilities.
    ChangeUser(&'a [u8]),
    /// Prepares a statement's text.
    StmtPrepare(&'a [u8]),
    /// Executes a prepared statement: the whole payload, for `statement::Execute`.
    StmtExecute {
        /// Number of the statement.
        statement_id: u32,
        /// The whole payload, command byte included.
        payload: &'a [u8],
    },
    /// A piece of a parameter's value; there is no answer.
    StmtSendLongData {
        /// Number of the statement.
        statement_id: u32,
        /// Index of the parameter.
        parameter: u16,
        /// The piece.
        data: &'a [u8],
    },
    /// Forgets a statement; there is no answer.
    StmtClose(u32),
    /// Forgets a statement's long data and cursor.
    StmtReset(u32),
    /// Fetches rows of a cursor.
    StmtFetch {
        /// Number of the statement.
        statement_id: u32,
        /// Rows wanted at most.
        rows: u32,
    },
    /// 0: several statements in one query are allowed; 1: they are not.
    SetOption(u16),
    /// Sets the session back without a new login.
    ResetConnection,
    /// A command that is not known here, or one that only servers and replicas use.
    Unknown(u8),
}

impl<'a> Command<'a> {
    /// Decodes a command packet.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let field = "command";
        Ok(match reader.u8(field)? {
            code::QUIT => Self::Quit,
            code::INIT_DB => Self::InitDb(reader.rest()),
            code::QUERY => Self::Query(reader.rest()),
            code::FIELD_LIST => {
                let table = reader.null_terminated_or_rest();
                Self::FieldList { table, pattern: reader.rest() }
            }
            code::STATISTICS => Self::Statistics,
            code::PROCESS_INFO => Self::ProcessInfo,
            code::PROCESS_KILL => Self::ProcessKill(reader.u32("connection id")?),
            code::DEBUG => Self::Debug,
            code::PING => Self::Ping,
            code::CHANGE_USER => Self::ChangeUser(reader.rest()),
            code::STMT_PREPARE => Self::StmtPrepare(reader.rest()),
            code::STMT_EXECUTE => {
                Self::StmtExecute { statement_id: reader.u32("statement id")?, payload }
            }
            code::STMT_SEND_LONG_DATA => Self::StmtSendLongData {
                statement_id: reader.u32("statement id")?,
                parameter: reader.u16("parameter")?,
                data: reader.rest(),
            },
            code::STMT_CLOSE => Self::StmtClose(reader.u32("statement id")?),
            code::STMT_RESET => Self::StmtReset(reader.u32("statement id")?),
            code::STMT_FETCH => Self::StmtFetch {
                statement_id: reader.u32("statement id")?,
                rows: reader.u32("rows")?,
            },
            code::SET_OPTION => Self::SetOption(reader.u16("option")?),
            code::RESET_CONNECTION => Self::ResetConnection,
            other => Self::Unknown(other),
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut BytesMut) {
        match *self {
            Self::Quit => out.put_u8(code::QUIT),
            Self::InitDb(database) => put(out, code::INIT_DB, database),
            Self::Query(text) => put(out, code::QUERY, text),
            Self::FieldList { table, pattern } => {
                put(out, code::FIELD_LIST, table);
                out.put_u8(0);
                out.put_slice(pattern);
            }
            Self::Statistics => out.put_u8(code::STATISTICS),
            Self::ProcessInfo => out.put_u8(code::PROCESS_INFO),
            Self::ProcessKill(id) => put(out, code::PROCESS_KILL, &id.to_le_bytes()),
            Self::Debug => out.put_u8(code::DEBUG),
            Self::Ping => out.put_u8(code::PING),
            Self::ChangeUser(rest) => put(out, code::CHANGE_USER, rest),
            Self::StmtPrepare(text) => put(out, code::STMT_PREPARE, text),
            Self::StmtExecute { payload, .. } => out.put_slice(payload),
            Self::StmtSendLongData { statement_id, parameter, data } => {
                put(out, code::STMT_SEND_LONG_DATA, &statement_id.to_le_bytes());
                out.put_u16_le(parameter);
                out.put_slice(data);
            }
            Self::StmtClose(id) => put(out, code::STMT_CLOSE, &id.to_le_bytes()),
            Self::StmtReset(id) => put(out, code::STMT_RESET, &id.to_le_bytes()),
            Self::StmtFetch { statement_id, rows } => {
                put(out, code::STMT_FETCH, &statement_id.to_le_bytes());
                out.put_u32_le(rows);
            }
            Self::SetOption(option) => put(out, code::SET_OPTION, &option.to_le_bytes()),
            Self::ResetConnection => out.put_u8(code::RESET_CONNECTION),
            Self::Unknown(code) => out.put_u8(code),
        }
    }
}

fn put(out: &mut BytesMut, code: u8, rest: &[u8]) {
    out.put_u8(code);
    out.put_slice(rest);
}
