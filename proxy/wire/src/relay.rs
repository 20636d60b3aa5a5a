//! Following a server's response without decoding it: how many of the received bytes can be
//! forwarded as they are, and where the response ends.
//!
//! Sans-io: the tracker is shown the bytes that are in the slab, takes a prefix, and is shown the rest
//! again together with what came later. It reads 4-byte headers and one lead byte a packet; only
//! packets that end something are looked into. It allocates nothing.

use thiserror::Error;

use crate::capability::Capabilities;
use crate::column;
use crate::cursor::{DecodeError, Reader};
use crate::packet::{HEADER_LENGTH, Header, PAYLOAD_MAX};
use crate::response::{EOF, ERR, LOCAL_INFILE, OK};
use crate::statement::PrepareOk;
use crate::status::Status;

/// What was asked, as far as it decides the shape of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// COM_QUERY, COM_STMT_EXECUTE, COM_PROCESS_INFO: OK, ERR or result sets.
    Query,
    /// COM_STMT_PREPARE.
    Prepare,
    /// COM_FIELD_LIST: column definitions until an EOF.
    FieldList,
    /// COM_STMT_FETCH: rows until an EOF.
    Fetch,
    /// COM_STATISTICS: one packet of text.
    Statistics,
    /// Everything that is answered by one OK, EOF or ERR: COM_PING, COM_INIT_DB, COM_STMT_RESET,
    /// COM_SET_OPTION, COM_RESET_CONNECTION, COM_DEBUG.
    Simple,
}

/// Whether the packet that ends the response is forwarded or left to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndPacket {
    /// It is forwarded with the rest.
    Forward,
    /// It stays in the slab, whole, for the caller to take, change and send. It has at most
    /// `HELD_MAX` bytes of payload. Without effect on `Request::Prepare`, whose last packet says nothing.
    Hold,
}

/// Largest payload of an end packet that can be held. Larger ones (OK packets with a lot of session
/// state) are an error rather than a reason to take memory.
pub const HELD_MAX: usize = 1 << 20;

/// How a response ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// How the last result ended.
    pub kind: EndKind,
    /// Status flags of the last OK or EOF packet; none if the response had no such packet.
    pub status: Status,
    /// Affected rows of the last OK packet.
    pub affected_rows: u64,
    /// Last insert id of the last OK packet.
    pub last_insert_id: u64,
    /// Warnings of the last OK or EOF packet.
    pub warnings: u16,
    /// Error number and SQLSTATE, for `EndKind::Err`.
    pub error: Option<(u16, [u8; 5])>,
    /// Packets of rows over all results, continuations not counted.
    pub rows: u64,
    /// The prepared statement, for a prepare that went well.
    pub prepared: Option<PrepareOk>,
    /// Sequence number of the last packet.
    pub sequence: u8,
}

/// The packet that ended a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndKind {
    /// OK without rows; also a prepare that went well, and the text of COM_STATISTICS.
    #[default]
    Ok,
    /// The end of rows.
    RowsEnd,
    /// ERR, at any place.
    Err,
}

/// What a call of `feed` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes from the front that can be forwarded; the rest must be shown again, with more after it.
    pub forward: usize,
    /// The response is complete: what follows `forward` is the held end packet, or of another
    /// response.
    pub complete: bool,
}

/// Why a response cannot be followed. The connection to the server is of no use then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RelayError {
    /// A packet that has to be understood could not be.
    #[error("cannot follow the server's response")]
    Malformed(#[source] DecodeError),
    /// The server asks for a file of the client, which was never allowed.
    #[error("the server asks for a local file")]
    LocalInfile,
    /// The end packet is too large to be held.
    #[error("the packet that ends the response has {length} bytes")]
    EndTooLarge {
        /// Its size.
        length: usize,
    },
}

impl From<DecodeError> for RelayError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// The first packet of a result.
    Head,
    /// The first packet of a prepare response.
    PrepareHead,
    /// That many column definitions of a result, then an EOF unless deprecated, then rows.
    Columns(usize),
    /// That many parameter definitions of a prepare response, then an EOF unless deprecated.
    PrepareParameters(usize),
    /// That many column definitions of a prepare response, then an EOF unless deprecated.
    PrepareColumns(usize),
    /// The EOF after column definitions of a result.
    ColumnsEnd,
    /// The EOF after parameter definitions.
    PrepareParametersEnd,
    /// The EOF after column definitions of a prepare response.
    PrepareColumnsEnd,
    /// A row, or the end of rows.
    Row,
    /// A packet of text.
    Text,
    /// Nothing: the response is complete.
    Nothing,
}

/// Follows one response. See the module's text.
#[derive(Clone, Debug)]
pub struct ResponseTracker {
    due: Due,
    /// Bytes of the current packet that are still to come and are forwarded unseen.
    passing: usize,
    /// The next packet continues the current payload.
    continues: bool,
    deprecate_eof: bool,
    simple: bool,
    end_packet: EndPacket,
    end: End,
}

impl ResponseTracker {
    /// A tracker of the response to `request` on a connection with `capabilities`.
    pub fn new(request: Request, capabilities: Capabilities, end_packet: EndPacket) -> Self {
        let due = match request {
            Request::Query | Request::Simple => Due::Head,
            Request::Prepare => Due::PrepareHead,
            Request::FieldList | Request::Fetch => Due::Row,
            Request::Statistics => Due::Text,
        };
        Self {
            due,
            passing: 0,
            continues: false,
            deprecate_eof: capabilities.deprecate_eof(),
            simple: request == Request::Simple,
            end_packet: if request == Request::Prepare { EndPacket::Forward } else { end_packet },
            end: End::default(),
        }
    }

    /// How the response ended. Meaningful once `feed` said complete.
    pub fn end(&self) -> &End {
        &self.end
    }

    /// From now on the last packet is held. False when it is on its way already.
    pub fn hold_end(&mut self) -> bool {
        if self.due != Due::Nothing {
            self.end_packet = EndPacket::Hold;
        }
        self.end_packet == EndPacket::Hold
    }

    /// Whether the response is complete, a held end packet aside.
    pub fn is_complete(&self) -> bool {
        self.due == Due::Nothing && self.passing == 0 && !self.continues
    }

    /// Whether what was forwarded so far ends with a whole packet.
    pub fn is_between_packets(&self) -> bool {
        self.passing == 0 && !self.continues
    }

    /// Looks at the bytes that were received and not forwarded yet.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Progress, RelayError> {
        let mut position = 0;
        loop {
            if self.passing > 0 {
                let step = self.passing.min(bytes.len() - position);
                position += step;
                self.passing -= step;
                if self.passing > 0 {
                    break;
                }
            }
            if self.due == Due::Nothing && !self.continues {
                return Ok(Progress { forward: position, complete: true });
            }
            let rest = &bytes[position..];
            let Some(header) = Header::peek(rest) else { break };
            if self.continues {
                self.pass(header, &mut position);
                continue;
            }
            let body = &rest[HEADER_LENGTH..];
            if self.due == Due::Row && header.length > 0 {
                // The hot case: a row is recognised by its first byte and skipped.
                let Some(&lead) = body.first() else { break };
                if lead < EOF || (lead == EOF && !self.is_end(header)) {
                    self.end.rows += 1;
                    self.pass(header, &mut position);
                    continue;
                }
            }
            let wanted = self.wanted(header);
            if body.len() < wanted {
                break;
            }
            self.step(header, &body[..wanted])?;
            self.end.sequence = header.sequence;
            if self.due == Due::Nothing && self.end_packet == EndPacket::Hold {
                if header.length > HELD_MAX {
                    return Err(RelayError::EndTooLarge { length: header.length });
                }
                return Ok(Progress { forward: position, complete: true });
            }
            self.pass(header, &mut position);
        }
        Ok(Progress { forward: position, complete: false })
    }

    fn pass(&mut self, header: Header, position: &mut usize) {
        *position += HEADER_LENGTH;
        self.passing = header.length;
        self.continues = header.length == PAYLOAD_MAX;
        self.end.sequence = header.sequence;
    }

    fn is_end(&self, header: Header) -> bool {
        header.length < if self.deprecate_eof { PAYLOAD_MAX } else { 9 }
    }

    /// Bytes of the payload that `step` needs to see.
    fn wanted(&self, header: Header) -> usize {
        // Enough for every field of OK, EOF, ERR and prepare packets that is looked at.
        const FIELDS: usize = 1 + 9 + 9 + 2 + 2;
        let hold = self.end_packet == EndPacket::Hold
            && matches!(self.due, Due::Head | Due::ColumnsEnd | Due::Row | Due::Text);
        let seen = if hold { HELD_MAX } else { FIELDS };
        match self.due {
            Due::Columns(_) | Due::PrepareColumns(_) | Due::PrepareParameters(_) => 0,
            _ => header.length.min(seen),
        }
    }

    fn step(&mut self, header: Header, payload: &[u8]) -> Result<(), RelayError> {
        self.due = match self.due {
            Due::Head => self.head(header, payload)?,
            Due::PrepareHead => self.prepare_head(payload)?,
            Due::Columns(count) => self.definitions(count, Due::Columns, Due::ColumnsEnd),
            Due::PrepareParameters(count) => {
                self.definitions(count, Due::PrepareParameters, Due::PrepareParametersEnd)
            }
            Due::PrepareColumns(count) => {
                self.definitions(count, Due::PrepareColumns, Due::PrepareColumnsEnd)
            }
            Due::ColumnsEnd => self.columns_end(payload)?,
            Due::PrepareParametersEnd => {
                self.eof(payload)?;
                self.prepare_columns()
            }
            Due::PrepareColumnsEnd => {
                self.eof(payload)?;
                Due::Nothing
            }
            Due::Row => self.rows_end(payload)?,
            Due::Text => match payload.first() {
                Some(&ERR) => self.error(payload)?,
                _ => Due::Nothing,
            },
            Due::Nothing => Due::Nothing,
        };
        Ok(())
    }

    fn head(&mut self, header: Header, payload: &[u8]) -> Result<Due, RelayError> {
        match payload.first() {
            Some(&OK) => {
                self.end.kind = EndKind::Ok;
                self.ok(payload)?;
                Ok(self.after_result())
            }
            Some(&ERR) => self.error(payload),
            Some(&LOCAL_INFILE) => Err(RelayError::LocalInfile),
            Some(&EOF) if self.simple => {
                self.end.kind = EndKind::Ok;
                if self.deprecate_eof && header.length >= 7 {
                    self.ok(payload)?;
                } else {
                    self.eof(payload)?;
                }
                Ok(Due::Nothing)
            }
            _ => {
                let count = column::decode_count(payload)?;
                Ok(Due::Columns(count))
            }
        }
    }

    fn prepare_head(&mut self, payload: &[u8]) -> Result<Due, RelayError> {
        if payload.first() == Some(&ERR) {
            return self.error(payload);
        }
        let prepared = PrepareOk::decode(payload)?;
        self.end.kind = EndKind::Ok;
        self.end.warnings = prepared.warnings;
        self.end.prepared = Some(prepared);
        Ok(match prepared.parameters {
            0 => self.prepare_columns(),
            count => Due::PrepareParameters(usize::from(count)),
        })
    }

    fn prepare_columns(&self) -> Due {
        match self.end.prepared.map_or(0, |prepared| prepared.columns) {
            0 => Due::Nothing,
            count => Due::PrepareColumns(usize::from(count)),
        }
    }

    fn definitions(&self, count: usize, more: fn(usize) -> Due, end: Due) -> Due {
        match (count, self.deprecate_eof, end) {
            (2.., _, _) => more(count - 1),
            (_, false, _) => end,
            (_, true, Due::ColumnsEnd) => Due::Row,
            (_, true, Due::PrepareParametersEnd) => self.prepare_columns(),
            (_, true, _) => Due::Nothing,
        }
    }

    fn columns_end(&mut self, payload: &[u8]) -> Result<Due, RelayError> {
        if payload.first() == Some(&ERR) {
            return self.error(payload);
        }
        self.eof(payload)?;
        if self.end.status.contains(Status::CURSOR_EXISTS) {
            self.end.kind = EndKind::RowsEnd;
            return Ok(self.after_result());
        }
        Ok(Due::Row)
    }

    fn rows_end(&mut self, payload: &[u8]) -> Result<Due, RelayError> {
        if payload.first() == Some(&ERR) {
            return self.error(payload);
        }
        self.end.kind = EndKind::RowsEnd;
        if self.deprecate_eof {
            self.ok(payload)?;
        } else {
            self.eof(payload)?;
        }
        Ok(self.after_result())
    }

    fn after_result(&self) -> Due {
        if self.end.status.contains(Status::MORE_RESULTS) { Due::Head } else { Due::Nothing }
    }

    fn ok(&mut self, payload: &[u8]) -> Result<(), RelayError> {
        let mut reader = Reader::new(payload);
        reader.u8("OK lead")?;
        self.end.affected_rows = reader.lenenc("affected rows")?;
        self.end.last_insert_id = reader.lenenc("last insert id")?;
        self.end.status = Status::from_bits(reader.u16("status")?);
        self.end.warnings = reader.u16("warnings")?;
        Ok(())
    }

    fn eof(&mut self, payload: &[u8]) -> Result<(), RelayError> {
        let mut reader = Reader::new(payload);
        if reader.u8("EOF lead")? != EOF {
            return Err(DecodeError::Invalid { field: "EOF lead" }.into());
        }
        self.end.warnings = reader.u16("warnings")?;
        self.end.status = Status::from_bits(reader.u16("status")?);
        Ok(())
    }

    fn error(&mut self, payload: &[u8]) -> Result<Due, RelayError> {
        let mut reader = Reader::new(payload);
        reader.u8("ERR lead")?;
        let code = reader.u16("error number")?;
        let mut state = *b"HY000";
        if reader.peek() == Some(b'#') && reader.remaining() >= 6 {
            reader.u8("SQLSTATE marker")?;
            state = reader.array("SQLSTATE")?;
        }
        self.end.kind = EndKind::Err;
        self.end.status = self.end.status.without(Status::MORE_RESULTS);
        self.end.error = Some((code, state));
        Ok(Due::Nothing)
    }
}
