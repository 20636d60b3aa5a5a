//! The chain of the audit log: each line's hash covers the line before, so that none can be changed, taken
//! out or put in unnoticed by whoever does not change all that follow. The newest hash is worth writing down
//! elsewhere.

use crate::access::{AuditLine, AuditLog, AuditNote};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Lines that are kept; the oldest make room.
pub const AUDIT_LINES_MAX: usize = 4_096;
/// The longest text of a note, in bytes.
pub const AUDIT_TEXT_BYTES_MAX: usize = 4_096;

/// The hash of a line: of the line before, its number and its note. Every text is preceded by its length, so
/// that nothing can be moved from one to the next.
pub fn line_hash(before: &[u8; 32], seq: u64, note: &AuditNote) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(seq.to_le_bytes());
    hash.update(note.unix_s.to_le_bytes());
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    [&note.user, &note.via, &note.source, &note.operation, &note.target, &note.request]
        .into_iter()
        .for_each(|one| text(one));
    text(note.phase.name());
    for one in [&note.before, &note.after] {
        text(if one.is_some() { "some" } else { "none" });
        text(one.as_deref().unwrap_or_default());
    }
    text(&note.detail);
    hash.finalize().into()
}

/// Checks lines that follow one another; the number of the first one that is wrong.
///
/// # Errors
/// A line is not what was written, or one is missing.
pub fn verify<'a>(
    before: [u8; 32],
    first: u64,
    lines: impl IntoIterator<Item = &'a AuditLine>,
) -> Result<[u8; 32], u64> {
    let (mut hash, mut seq) = (before, first);
    for line in lines {
        if line.seq != seq || line.hash != line_hash(&hash, seq, &line.note) {
            return Err(seq);
        }
        (hash, seq) = (line.hash, seq + 1);
    }
    Ok(hash)
}

impl AuditLog {
    /// The newest hash.
    pub fn head(&self) -> [u8; 32] {
        self.lines.last().map_or(self.dropped_hash, |line| line.hash)
    }

    /// The newest number; 0 when nothing was noted yet.
    pub fn last_seq(&self) -> u64 {
        self.dropped + self.lines.len() as u64
    }

    /// Checks the lines that are kept; the number of the first one that is wrong.
    ///
    /// # Errors
    /// A line is not what was written.
    pub fn verify(&self) -> Result<[u8; 32], u64> {
        verify(self.dropped_hash, self.dropped + 1, self.lines.iter().map(Arc::as_ref))
    }

    /// Adds a line.
    pub(crate) fn push(&mut self, note: AuditNote) {
        let seq = self.last_seq() + 1;
        let hash = line_hash(&self.head(), seq, &note);
        self.lines.push(Arc::new(AuditLine { seq, note, hash }));
        // An eighth at once: removing from the front moves all others.
        if self.lines.len() > AUDIT_LINES_MAX {
            let mut old = self.lines.drain(..AUDIT_LINES_MAX / 8);
            if let Some(last) = old.next_back() {
                (self.dropped, self.dropped_hash) = (last.seq, last.hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::AuditPhase;

    fn note(detail: &str) -> AuditNote {
        AuditNote {
            unix_s: 7,
            user: "li.wei".into(),
            via: "password".into(),
            source: "127.0.0.1:5".into(),
            operation: "addShard".into(),
            target: "s4".into(),
            request: "r1".into(),
            phase: AuditPhase::Done,
            before: None,
            after: Some("{}".into()),
            detail: detail.into(),
        }
    }

    #[test]
    fn a_changed_a_missing_and_a_moved_line_are_noticed() {
        let mut log = AuditLog::default();
        (0..10).for_each(|number| log.push(note(&number.to_string())));
        assert_eq!(log.verify(), Ok(log.head()));
        let mut changed = log.clone();
        Arc::make_mut(&mut changed.lines[4]).note.user = "zhang.san".into();
        assert_eq!(changed.verify(), Err(5));
        let mut cut = log.clone();
        cut.lines.remove(2);
        assert_eq!(cut.verify(), Err(3));
        let mut swapped = log.clone();
        swapped.lines.swap(6, 7);
        assert_eq!(swapped.verify(), Err(7));
        let mut shifted = log;
        let line = Arc::make_mut(&mut shifted.lines[9]);
        (line.note.user, line.note.via) = ("li.we".into(), "ipassword".into());
        assert_eq!(shifted.verify(), Err(10));
    }

    #[test]
    fn old_lines_make_room_and_the_chain_stays_whole() {
        let mut log = AuditLog::default();
        (0..AUDIT_LINES_MAX + 1).for_each(|number| log.push(note(&number.to_string())));
        assert_eq!(log.lines.len(), AUDIT_LINES_MAX + 1 - AUDIT_LINES_MAX / 8);
        assert_eq!(log.last_seq(), AUDIT_LINES_MAX as u64 + 1);
        assert_eq!(log.lines[0].seq, log.dropped + 1);
        assert_eq!(log.verify(), Ok(log.head()));
    }
}
