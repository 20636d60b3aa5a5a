//! Results of the proxy's own small queries, read whole and within limits.

use super::{BackendError, connection::BackendConnection};
use bytes::Bytes;
use shardline_wire::{
    OkPacket, Status,
    column::{self, ColumnDefinition},
    command::Command,
    response::{self, ERR, LOCAL_INFILE, OK},
    row::TextRow,
};

/// Bounds of a [`TextResult`].
#[derive(Clone, Copy, Debug)]
pub struct TextLimits {
    /// Rows at most.
    pub rows_max: usize,
    /// Bytes of all rows at most.
    pub bytes_max: usize,
}

impl Default for TextLimits {
    fn default() -> Self {
        TextLimits { rows_max: 100_000, bytes_max: 16 << 20 }
    }
}

/// What is left of [`TextLimits`].
#[derive(Debug)]
pub(super) struct Bounds {
    rows: usize,
    bytes: usize,
}

impl Bounds {
    pub(super) fn new(limits: TextLimits) -> Self {
        Bounds { rows: limits.rows_max, bytes: limits.bytes_max }
    }

    /// One more row; whether it is within the limits.
    fn take(&mut self, bytes: usize) -> bool {
        let within = self.rows > 0 && self.bytes >= bytes;
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        within
    }
}

/// The whole result of a small query.
#[derive(Clone, Debug, Default)]
pub struct TextResult {
    /// Its columns.
    pub columns: Vec<ColumnDefinition>,
    /// Its rows; None is NULL.
    pub rows: Vec<Vec<Option<Bytes>>>,
}

impl BackendConnection {
    /// Run a statement and read its rows.
    ///
    /// # Errors
    /// [`BackendError::Server`] leaves the connection usable; others, and more rows than
    /// the limits allow, do not.
    pub async fn query_rows(
        &mut self,
        sql: &[u8],
        limits: TextLimits,
    ) -> Result<TextResult, BackendError> {
        self.send(Command::Query(sql)).await?;
        let (result, ok) = self.read_one_result(&mut Bounds::new(limits)).await?;
        if ok.status.contains(Status::MORE_RESULTS) {
            return Err(self.unexpected("several results"));
        }
        self.response_ended(ok.status);
        Ok(result)
    }

    /// The next result: rows, or none, and the packet that ends it.
    pub(super) async fn read_one_result(
        &mut self,
        bounds: &mut Bounds,
    ) -> Result<(TextResult, OkPacket), BackendError> {
        let head = self.read().await?;
        match head.first() {
            Some(&OK) => {
                let ok = OkPacket::decode(&head, self.capabilities());
                let ok = ok.map_err(|source| self.unreadable(source))?;
                return Ok((TextResult::default(), ok));
            }
            Some(&ERR) => return Err(self.server_error(&head)),
            Some(&LOCAL_INFILE) => return Err(self.unexpected("a request for a local file")),
            _ => {}
        }
        let count = column::decode_count(&head).map_err(|source| self.unreadable(source))?;
        let columns = self.read_definitions(count).await?;
        let mut result = TextResult { columns: columns.into_vec(), rows: Vec::new() };
        loop {
            let payload = self.read().await?;
            if payload.first() == Some(&ERR) {
                return Err(self.server_error(&payload));
            }
            if response::ends_rows(&payload, self.capabilities()) {
                let end = response::decode_rows_end(&payload, self.capabilities());
                return Ok((result, end.map_err(|source| self.unreadable(source))?));
            }
            if !bounds.take(payload.len()) {
                return Err(self.unexpected("more rows than the proxy takes"));
            }
            let row = TextRow::new(&payload)
                .map(|value| value.map(|value| value.map(Bytes::copy_from_slice)))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|source| self.unreadable(source))?;
            if row.len() != count {
                return Err(self.unexpected("a row of another length"));
            }
            result.rows.push(row);
        }
    }
}
