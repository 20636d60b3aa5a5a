//! Changes of session state that a server reports in OK packets (CLIENT_SESSION_TRACK).

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::{DecodeError, Reader};
use crate::lenenc;

/// One change of session state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// A system variable has a new value.
    SystemVariable {
        /// Its name.
        name: Bytes,
        /// Its value as text.
        value: Bytes,
    },
    /// The default database changed.
    Schema(Bytes),
    /// Whether any state changed (`session_track_state_change`).
    StateChanged(bool),
    /// GTIDs of the statement.
    Gtids {
        /// Encoding of the text; 0 is the only one known.
        encoding: u8,
        /// The GTID set.
        gtids: Bytes,
    },
    /// Statements that would restart the transaction with the same characteristics.
    TransactionCharacteristics(Bytes),
    /// The eight-letter transaction state, such as `T_____W_`.
    TransactionState(Bytes),
    /// A kind that this crate does not know, kept as it came.
    Other {
        /// The kind.
        kind: u8,
        /// The undecoded data.
        data: Bytes,
    },
}

const SYSTEM_VARIABLES: u8 = 0;
const SCHEMA: u8 = 1;
const STATE_CHANGE: u8 = 2;
const GTIDS: u8 = 3;
const TRANSACTION_CHARACTERISTICS: u8 = 4;
const TRANSACTION_STATE: u8 = 5;

/// Decodes the session state block of an OK packet (without its length).
pub fn decode(block: &[u8]) -> Result<Vec<SessionChange>, DecodeError> {
    let mut reader = Reader::new(block);
    let mut changes = Vec::new();
    while !reader.is_empty() {
        let kind = reader.u8("session change kind")?;
        let data = reader.lenenc_bytes("session change")?;
        decode_entry(kind, data, &mut changes)?;
    }
    Ok(changes)
}

fn decode_entry(
    kind: u8,
    data: &[u8],
    changes: &mut Vec<SessionChange>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(data);
    let copy = Bytes::copy_from_slice;
    match kind {
        SYSTEM_VARIABLES => {
            while !reader.is_empty() {
                let name = copy(reader.lenenc_bytes("variable name")?);
                let value = copy(reader.lenenc_bytes("variable value")?);
                changes.push(SessionChange::SystemVariable { name, value });
            }
        }
        SCHEMA => changes.push(SessionChange::Schema(copy(reader.lenenc_bytes("schema")?))),
        STATE_CHANGE => {
            let flag = reader.lenenc_bytes("state change")?;
            changes.push(SessionChange::StateChanged(flag == b"1"));
        }
        GTIDS => {
            let encoding = reader.u8("GTID encoding")?;
            let gtids = copy(reader.lenenc_bytes("GTIDs")?);
            changes.push(SessionChange::Gtids { encoding, gtids });
        }
        TRANSACTION_CHARACTERISTICS => {
            let text = copy(reader.lenenc_bytes("transaction characteristics")?);
            changes.push(SessionChange::TransactionCharacteristics(text));
        }
        TRANSACTION_STATE => {
            let text = copy(reader.lenenc_bytes("transaction state")?);
            changes.push(SessionChange::TransactionState(text));
        }
        kind => changes.push(SessionChange::Other { kind, data: copy(data) }),
    }
    Ok(())
}

/// Appends the session state block with its length.
pub fn encode(changes: &[SessionChange], out: &mut BytesMut) {
    let mut block = BytesMut::new();
    let mut data = BytesMut::new();
    for change in changes {
        data.clear();
        let kind = match change {
            SessionChange::SystemVariable { name, value } => {
                lenenc::put_bytes(&mut data, name);
                lenenc::put_bytes(&mut data, value);
                SYSTEM_VARIABLES
            }
            SessionChange::Schema(name) => {
                lenenc::put_bytes(&mut data, name);
                SCHEMA
            }
            SessionChange::StateChanged(flag) => {
                lenenc::put_bytes(&mut data, if *flag { b"1" } else { b"0" });
                STATE_CHANGE
            }
            SessionChange::Gtids { encoding, gtids } => {
                data.put_u8(*encoding);
                lenenc::put_bytes(&mut data, gtids);
                GTIDS
            }
            SessionChange::TransactionCharacteristics(text) => {
                lenenc::put_bytes(&mut data, text);
                TRANSACTION_CHARACTERISTICS
            }
            SessionChange::TransactionState(text) => {
                lenenc::put_bytes(&mut data, text);
                TRANSACTION_STATE
            }
            SessionChange::Other { kind, data: raw } => {
                data.extend_from_slice(raw);
                *kind
            }
        };
        block.put_u8(kind);
        lenenc::put_bytes(&mut block, &data);
    }
    lenenc::put_bytes(out, &block);
}
