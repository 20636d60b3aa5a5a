//! Results that the proxy makes itself, written in the text or the binary protocol.
//! No I/O: packets are appended to a list of payloads.

use bytes::{Bytes, BytesMut};
use shardline_wire::{
    capability::Capabilities,
    column::ColumnDefinition,
    lenenc,
    response::{EofPacket, OkPacket, encode_rows_end},
    row::{BinaryColumn, put_binary, put_text},
    status::Status,
    value::{ColumnType, Value},
};

/// The protocol in which a client reads rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// COM_QUERY.
    Text,
    /// COM_STMT_EXECUTE.
    Binary,
}

/// A result set: every value is text or NULL; integer columns hold decimal digits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// The columns.
    pub(crate) columns: Vec<ColumnDefinition>,
    /// The rows, one value for each column.
    pub(crate) rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl Table {
    /// A table with text columns of these names.
    pub(crate) fn of_text(names: &[&str]) -> Self {
        let columns = names.iter().map(|name| ColumnDefinition::text(*name, 1_024)).collect();
        Table { columns, rows: Vec::new() }
    }

    /// The column of that index holds integers.
    pub(crate) fn with_integer(mut self, index: usize) -> Self {
        if let Some(column) = self.columns.get_mut(index) {
            let name = String::from_utf8_lossy(&column.name).into_owned();
            *column = ColumnDefinition::integer(name, true);
        }
        self
    }

    /// Adds a row.
    pub(crate) fn push<V: Into<Option<String>>>(&mut self, values: impl IntoIterator<Item = V>) {
        let row = values.into_iter().map(|value| value.into().map(String::into_bytes)).collect();
        self.rows.push(row);
    }

    /// The payloads of the whole result.
    pub(crate) fn packets(
        &self,
        protocol: Protocol,
        capabilities: Capabilities,
        status: Status,
    ) -> Vec<Bytes> {
        let mut packets = header_packets(&self.columns, capabilities, status);
        for row in &self.rows {
            let mut out = BytesMut::new();
            self.encode_row(row, protocol, &mut out);
            packets.push(out.freeze());
        }
        let mut out = BytesMut::new();
        encode_rows_end(&OkPacket::with_status(status), capabilities, &mut out);
        packets.push(out.freeze());
        packets
    }

    fn encode_row(&self, row: &[Option<Vec<u8>>], protocol: Protocol, out: &mut BytesMut) {
        match protocol {
            Protocol::Text => row.iter().for_each(|value| put_text(out, value.as_deref())),
            Protocol::Binary => {
                let columns: Vec<_> = self.columns.iter().map(binary_column).collect();
                let values: Vec<_> =
                    row.iter().zip(&columns).map(|(value, column)| typed(value, *column)).collect();
                // The values have the shapes of their columns, which `typed` gave them.
                let encoded = put_binary(out, &columns, &values);
                debug_assert!(encoded.is_ok());
            }
        }
    }
}

/// The column count, the column definitions and, without DEPRECATE_EOF, their EOF.
pub(crate) fn header_packets(
    columns: &[ColumnDefinition],
    capabilities: Capabilities,
    status: Status,
) -> Vec<Bytes> {
    let mut packets = Vec::with_capacity(columns.len() + 3);
    let mut out = BytesMut::new();
    lenenc::put_integer(&mut out, columns.len() as u64);
    packets.push(out.split().freeze());
    for column in columns {
        column.encode(&mut out);
        packets.push(out.split().freeze());
    }
    if !capabilities.deprecate_eof() {
        EofPacket { warnings: 0, status }.encode(&mut out);
        packets.push(out.split().freeze());
    }
    packets
}

fn binary_column(column: &ColumnDefinition) -> BinaryColumn {
    BinaryColumn { kind: column.kind, unsigned: column.unsigned() }
}

fn typed(value: &Option<Vec<u8>>, column: BinaryColumn) -> Value<'_> {
    let Some(text) = value else { return Value::Null };
    if column.kind != ColumnType::LongLong {
        return Value::Bytes(text);
    }
    let number = std::str::from_utf8(text).unwrap_or_default();
    match number.parse::<u64>() {
        Ok(number) => Value::UInt(number),
        Err(_) => number.parse().map_or(Value::Null, Value::Int),
    }
}

/// Whether `name` matches a LIKE pattern of SHOW, without regard to case.
pub(crate) fn like(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    // reachable[j]: the pattern so far matches the first j characters of the name.
    let mut reachable = vec![false; name.len() + 1];
    reachable[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        let (literal, any) = match pattern[at] {
            '%' => (None, true),
            '_' => (None, false),
            '\\' if at + 1 < pattern.len() => {
                at += 1;
                (Some(pattern[at]), false)
            }
            other => (Some(other), false),
        };
        at += 1;
        if any {
            let first = reachable.iter().position(|reached| *reached).unwrap_or(reachable.len());
            reachable.iter_mut().skip(first).for_each(|reached| *reached = true);
            continue;
        }
        for end in (1..=name.len()).rev() {
            let fits = literal.is_none_or(|literal| literal == name[end - 1]);
            reachable[end] = reachable[end - 1] && fits;
        }
        reachable[0] = false;
    }
    reachable[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_follows_the_wildcards() {
        for (pattern, name, expected) in [
            ("%", "", true),
            ("a%", "ABC", true),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("%thread%", "Threads_connected", true),
            ("threads\\_c%", "Threads_connected", true),
            ("threads\\_c%", "ThreadsXconnected", false),
            ("", "x", false),
            ("%b%b", "abcb", true),
            ("%b%b", "abc", false),
        ] {
            assert_eq!(like(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_table_has_the_same_rows_in_both_protocols() {
        let mut table = Table::of_text(&["Id", "Name"]).with_integer(0);
        table.push([Some("7".to_owned()), None]);
        let text = table.packets(Protocol::Text, Capabilities::CLIENT, Status::AUTOCOMMIT);
        assert_eq!(text.len(), 1 + 2 + 1 + 1);
        assert_eq!(&text[3][..], b"\x017\xfb");
        let binary = table.packets(Protocol::Binary, Capabilities::NONE, Status::AUTOCOMMIT);
        assert_eq!(binary.len(), 1 + 2 + 1 + 1 + 1);
        assert_eq!(&binary[4][..], b"\0\x08\x07\0\0\0\0\0\0\0");
    }
}
