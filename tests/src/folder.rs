//! A temporary folder with a short path (unix sockets need that), kept when its test fails.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder that is removed when dropped, except while the test panics: then its path is
/// printed and its logs can be read.
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
        if std::thread::panicking()
            && let Some(inner) = self.inner.take()
        {
            eprintln!("test failed; its folder with logs is kept: {}", inner.keep().display());
        }
    }
}
