//! Prepared statements: the prepare response, and the execute packet with its parameters.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::command::code;
use crate::cursor::{DecodeError, Reader};
use crate::value::{ColumnType, Value};

/// The answer to COM_STMT_PREPARE, before the definitions of parameters and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareOk {
    /// Number of the statement on this connection.
    pub statement_id: u32,
    /// Columns of the result; 0 if there is none.
    pub columns: u16,
    /// Parameters (`?`) of the statement.
    pub parameters: u16,
    /// Number of warnings.
    pub warnings: u16,
}

impl PrepareOk {
    /// Appends the payload.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u8(0);
        out.put_u32_le(self.statement_id);
        out.put_u16_le(self.columns);
        out.put_u16_le(self.parameters);
        out.put_u8(0);
        out.put_u16_le(self.warnings);
    }

    /// Decodes a payload led by `0x00`.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        if reader.u8("prepare lead")? != 0 {
            return Err(DecodeError::Invalid { field: "prepare lead" });
        }
        let statement_id = reader.u32("statement id")?;
        let columns = reader.u16("columns")?;
        let parameters = reader.u16("parameters")?;
        reader.u8("filler")?;
        // Servers before 5.0 end here.
        let warnings = if reader.is_empty() { 0 } else { reader.u16("warnings")? };
        Ok(Self { statement_id, columns, parameters, warnings })
    }
}

/// Type of a parameter. It is sent with the first execution and may be left out later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterType {
    /// Type.
    pub kind: ColumnType,
    /// Whether integers are unsigned.
    pub unsigned: bool,
}

/// Types of all parameters of a statement.
pub type ParameterTypes = SmallVec<[ParameterType; 8]>;

/// No cursor: all rows are sent.
pub const CURSOR_NONE: u8 = 0;
/// A read-only cursor: rows are fetched by COM_STMT_FETCH.
pub const CURSOR_READ_ONLY: u8 = 1;

/// A decoded COM_STMT_EXECUTE.
#[derive(Clone, Debug, PartialEq)]
pub struct Execute<'a> {
    /// Number of the statement.
    pub statement_id: u32,
    /// Cursor flags.
    pub cursor: u8,
    /// The types, when this packet brings them; to be kept for the next execution.
    pub new_types: Option<ParameterTypes>,
    /// The values, one for each parameter.
    pub values: SmallVec<[Parameter<'a>; 8]>,
}

/// A parameter's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parameter<'a> {
    /// A value that came in the packet.
    Value(Value<'a>),
    /// The value came before in COM_STMT_SEND_LONG_DATA packets.
    Long(&'a [u8]),
}

impl<'a> Execute<'a> {
    /// Decodes a payload, command byte included, for a statement of `parameters` parameters whose
    /// types of the last execution were `known` and whose long data so far is `long`.
    pub fn decode(
        payload: &'a [u8],
        parameters: usize,
        known: Option<&[ParameterType]>,
        long: &'a LongData,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        if reader.u8("command")? != code::STMT_EXECUTE {
            return Err(DecodeError::Invalid { field: "command" });
        }
        let statement_id = reader.u32("statement id")?;
        let cursor = reader.u8("cursor flags")?;
        reader.u32("iterations")?;
        let mut execute = Self { statement_id, cursor, new_types: None, values: SmallVec::new() };
        if parameters == 0 {
            return Ok(execute);
        }
        let nulls = reader.bytes(parameters.div_ceil(8), "null bitmap")?;
        if reader.u8("new parameters bound")? == 1 {
            execute.new_types = Some(decode_types(&mut reader, parameters)?);
        }
        let missing = DecodeError::Invalid { field: "parameter types" };
        let types = execute.new_types.as_deref().or(known).ok_or(missing)?;
        if types.len() != parameters {
            return Err(missing);
        }
        let mut values = SmallVec::with_capacity(parameters);
        for (index, parameter) in types.iter().enumerate() {
            let value = if let Some(data) = long.get(index) {
                Parameter::Long(data)
            } else if nulls[index / 8] & (1 << (index % 8)) != 0 {
                Parameter::Value(Value::Null)
            } else {
                let value = Value::decode(&mut reader, parameter.kind, parameter.unsigned)?;
                Parameter::Value(value)
            };
            values.push(value);
        }
        execute.values = values;
        Ok(execute)
    }
}

fn decode_types(reader: &mut Reader<'_>, parameters: usize) -> Result<ParameterTypes, DecodeError> {
    // The bytes are taken before the memory is.
    let bytes = reader.bytes(parameters * 2, "parameter types")?;
    bytes
        .chunks_exact(2)
        .map(|pair| {
            let kind = ColumnType::from_byte(pair[0])?;
            Ok(ParameterType { kind, unsigned: pair[1] & 0x80 != 0 })
        })
        .collect()
}

/// Appends a COM_STMT_EXECUTE payload with types and values. `Parameter::Long` values must have
/// been sent before.
pub fn encode_execute(
    statement_id: u32,
    cursor: u8,
    types: &[ParameterType],
    values: &[Parameter<'_>],
    out: &mut BytesMut,
) -> Result<(), DecodeError> {
    if types.len() != values.len() {
        return Err(DecodeError::Invalid { field: "parameter types" });
    }
    out.put_u8(code::STMT_EXECUTE);
    out.put_u32_le(statement_id);
    out.put_u8(cursor);
    out.put_u32_le(1);
    if types.is_empty() {
        return Ok(());
    }
    let bitmap = out.len();
    out.put_bytes(0, types.len().div_ceil(8));
    out.put_u8(1);
    for parameter in types {
        out.put_u8(parameter.kind as u8);
        out.put_u8(if parameter.unsigned { 0x80 } else { 0 });
    }
    for (index, (parameter, value)) in types.iter().zip(values).enumerate() {
        match value {
            Parameter::Long(_) => {}
            Parameter::Value(Value::Null) => out[bitmap + index / 8] |= 1 << (index % 8),
            Parameter::Value(value) => value.encode(parameter.kind, out)?,
        }
    }
    Ok(())
}

/// Replaces the statement number in the payload of any COM_STMT_* command but prepare, so that it
/// can be forwarded as it is otherwise. Payloads that are too short are left alone.
pub fn set_statement_id(payload: &mut [u8], statement_id: u32) {
    if let Some(place) = payload.get_mut(1..5) {
        place.copy_from_slice(&statement_id.to_le_bytes());
    }
}

/// Long data of one statement's parameters, gathered until the next execution. Bounded.
#[derive(Clone, Debug, Default)]
pub struct LongData {
    values: BTreeMap<u16, BytesMut>,
    total: usize,
}

impl LongData {
    /// No data.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece of the value of `parameter`, which must be below `parameters`, the number that
    /// the statement has. The total over all parameters may not exceed `limit` bytes.
    pub fn append(
        &mut self,
        parameter: u16,
        data: &[u8],
        parameters: u16,
        limit: usize,
    ) -> Result<(), DecodeError> {
        if parameter >= parameters {
            return Err(DecodeError::Invalid { field: "parameter" });
        }
        if self.total.saturating_add(data.len()) > limit {
            return Err(DecodeError::TooLarge { field: "long data", limit });
        }
        self.total += data.len();
        self.values.entry(parameter).or_default().extend_from_slice(data);
        Ok(())
    }

    /// The value of a parameter, if any piece of it came.
    pub fn get(&self, parameter: usize) -> Option<&[u8]> {
        let value = self.values.get(&u16::try_from(parameter).ok()?)?;
        Some(value)
    }

    /// The parameters with long data and their values.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.values.iter().map(|(parameter, value)| (*parameter, &value[..]))
    }

    /// Whether no piece came.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Forgets everything, as after an execution or COM_STMT_RESET.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The command a statement's long data is forwarded with.
pub fn encode_long_data(statement_id: u32, parameter: u16, data: &Bytes, out: &mut BytesMut) {
    crate::command::Command::StmtSendLongData { statement_id, parameter, data }.encode(out);
}
