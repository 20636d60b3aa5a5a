//! The pure part of watching: a catalog that follows a stream of events. No I/O.

use crate::{frame, rpc::WatchEvent};
use shardline_model::{catalog::Catalog, id::Epoch};
use std::sync::Arc;

/// A catalog that follows the service's.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    catalog: Option<Arc<Catalog>>,
    /// The parts of a snapshot that have arrived.
    parts: Vec<u8>,
}

/// What an event did.
#[derive(Debug)]
pub(crate) enum Step {
    /// There is a new catalog.
    Advanced(Arc<Catalog>),
    /// Nothing to see.
    Unchanged,
    /// The stream is over; its sender names the leader if it knows it.
    Moved(Option<String>),
}

/// The stream does not continue what is here: a snapshot must be asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Gap {
    #[error("the change to {got} does not follow {have:?}")]
    Epoch { have: Option<Epoch>, got: Epoch },
    #[error("the change to {epoch} does not apply here: {reason}")]
    Change { epoch: Epoch, reason: String },
    #[error("a snapshot of {bytes} bytes is over the limit")]
    TooLong { bytes: u64 },
    #[error("the snapshot cannot be decoded: {reason}")]
    Undecodable { reason: String },
}

impl Replica {
    /// The epoch that the stream should continue from.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.catalog.as_ref().map(|catalog| catalog.epoch)
    }

    /// Makes the next stream start with a snapshot. The old catalog stays in use.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// A new stream starts: parts of an older one's snapshot are void.
    pub(crate) fn restart(&mut self) {
        self.parts = Vec::new();
    }

    /// Takes one event.
    pub(crate) fn step(&mut self, event: WatchEvent) -> Result<Step, Gap> {
        match event {
            WatchEvent::Snapshot { part, remaining_bytes } => self.part(&part, remaining_bytes),
            WatchEvent::Change { epoch, change } => {
                let gap = || Gap::Epoch { have: self.epoch(), got: epoch };
                let old = self.catalog.as_ref().ok_or_else(gap)?;
                if old.epoch.0.checked_add(1) != Some(epoch.0) {
                    return Err(gap());
                }
                let mut new = Catalog::clone(old);
                new.apply(&change)
                    .map_err(|error| Gap::Change { epoch, reason: error.to_string() })?;
                Ok(self.advance(new))
            }
            WatchEvent::Alive { epoch } if self.epoch() == Some(epoch) => Ok(Step::Unchanged),
            WatchEvent::Alive { epoch } => Err(Gap::Epoch { have: self.epoch(), got: epoch }),
            WatchEvent::Moved { leader } => Ok(Step::Moved(leader)),
        }
    }

    fn part(&mut self, part: &[u8], remaining_bytes: u64) -> Result<Step, Gap> {
        let bytes = (self.parts.len() as u64 + part.len() as u64).saturating_add(remaining_bytes);
        if bytes > frame::SNAPSHOT_BYTES_MAX {
            return Err(Gap::TooLong { bytes });
        }
        self.parts.extend_from_slice(part);
        if remaining_bytes > 0 {
            return Ok(Step::Unchanged);
        }
        let whole = std::mem::take(&mut self.parts);
        let catalog = frame::decode::<Catalog>(&whole)
            .map_err(|error| Gap::Undecodable { reason: crate::caller::error_chain(&error) })?;
        Ok(self.advance(catalog))
    }

    fn advance(&mut self, catalog: Catalog) -> Step {
        let catalog = Arc::new(catalog);
        self.catalog = Some(catalog.clone());
        Step::Advanced(catalog)
    }
}
