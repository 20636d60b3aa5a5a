//! A temporary folder with a short path (unix sockets need that), kept when its test fails.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder that is removed when dropped, except while the test panics or where `SHARDLINE_KEEP` is set:
/// then its path is printed and its logs can be read.
#[derive(Debug)]
pub struct Folder {
    inner: Option<TempDir>,
    path: PathBuf,
}

impl Folder {
    /// Makes a folder.
    pub fn new() -> Result<Self> {
        let inner = tempfile::Builder::new()
            .prefix("sl-")
            .tempdir_in(std::env::temp_dir())
            .context("making a temporary folder")?;
        let path = inner.path().to_owned();
        Ok(Self { inner: Some(inner), path })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let keep = std::thread::panicking() || std::env::var_os("SHARDLINE_KEEP").is_some();
        if keep && let Some(inner) = self.inner.take() {
            eprintln!("the folder with logs is kept: {}", inner.keep().display());
        }
    }
}
