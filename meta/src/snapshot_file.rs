//! The one snapshot on disk: written beside the old one, synced, then renamed over it, so
//! that a crash leaves the old or the new one whole. A checksum tells a damaged file.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::xxh3_64;

/// Name and version of the format.
const MAGIC: [u8; 8] = *b"SLSNAP\0\x04";
const FILE: &str = "snapshot";
const FRESH_FILE: &str = "snapshot.new";

/// Why the snapshot cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFileError {
    /// The disk failed.
    #[error("cannot {operation} the snapshot {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("the snapshot {} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it shows.
        reason: &'static str,
    },
}

/// Replaces the snapshot in `folder`; durable when it returns.
pub(crate) fn write(folder: &Path, meta: &[u8], body: &[u8]) -> Result<(), SnapshotFileError> {
    let (fresh, path) = (folder.join(FRESH_FILE), folder.join(FILE));
    let failed =
        |operation| move |source| SnapshotFileError::Io { operation, path: fresh.clone(), source };
    let fresh = folder.join(FRESH_FILE);
    let write_fresh = || {
        let mut file = File::create(&fresh)?;
        file.write_all(&MAGIC)?;
        for part in [meta, body] {
            file.write_all(&(part.len() as u64).to_le_bytes())?;
            file.write_all(&xxh3_64(part).to_le_bytes())?;
            file.write_all(part)?;
        }
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(folder)?.sync_all()
    };
    write_fresh().map_err(failed("write"))
}

/// What a snapshot file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Raft's description of the body.
    pub(crate) meta: Vec<u8>,
    /// The state.
    pub(crate) body: Vec<u8>,
}

/// Reads the snapshot; None when there is none.
pub(crate) fn read(folder: &Path) -> Result<Option<Parts>, SnapshotFileError> {
    let path = folder.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SnapshotFileError::Io { operation: "read", path, source }),
    };
    let damaged = |reason| SnapshotFileError::Damaged { path: path.clone(), reason };
    let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| damaged("unknown first bytes"))?;
    let (meta, rest) = take_part(rest).map_err(damaged)?;
    let (body, rest) = take_part(rest).map_err(damaged)?;
    if !rest.is_empty() {
        return Err(damaged("bytes after its end"));
    }
    Ok(Some(Parts { meta: meta.to_vec(), body: body.to_vec() }))
}

fn take_part(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (length, rest) = take_number(bytes)?;
    let (checksum, rest) = take_number(rest)?;
    let length = usize::try_from(length).map_err(|_| "an impossible length")?;
    let (part, rest) = rest.split_at_checked(length).ok_or("it is cut short")?;
    if xxh3_64(part) != checksum {
        return Err("its checksum does not match");
    }
    Ok((part, rest))
}

fn take_number(bytes: &[u8]) -> Result<(u64, &[u8]), &'static str> {
    let (number, rest) = bytes.split_first_chunk::<8>().ok_or("it is cut short")?;
    Ok((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_replaced_whole_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap().is_none());
        write(folder.path(), b"meta", b"old body").unwrap();
        write(folder.path(), b"meta2", b"body").unwrap();
        let whole = read(folder.path()).unwrap();
        assert_eq!(whole, Some(Parts { meta: b"meta2".to_vec(), body: b"body".to_vec() }));
        let path = folder.path().join(FILE);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            fs::write(&path, &flipped).unwrap();
            assert!(read(folder.path()).is_err(), "a flip at {at} goes unnoticed");
            fs::write(&path, &bytes[..at]).unwrap();
            assert!(read(folder.path()).is_err(), "a cut at {at} goes unnoticed");
        }
    }
}
