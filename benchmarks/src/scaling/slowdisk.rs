//! Servers whose write capacity is small and fixed: a library that is loaded into them
//! and delays what makes a commit durable. Compiled from C when it is needed.

use anyhow::{Context, Result, ensure};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};
use tokio::process::Command;

const SOURCE: &str = include_str!("../../slowdisk/slowdisk.c");

/// What bounds a server's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capacity {
    /// Each sync of the redo log takes this much longer. With a fixed number of
    /// connections it bounds the commits; without, group commit would hide it.
    LatencyUs(u32),
    /// So many bytes of redo become durable in a second.
    BytesPerSecond(u32),
}

/// The compiled library.
#[derive(Debug)]
pub(super) struct SlowDisk {
    library: PathBuf,
}

impl SlowDisk {
    /// Compiles the library into a folder.
    pub(super) async fn compile(folder: &Path) -> Result<Self> {
        let (source, library) = (folder.join("slowdisk.c"), folder.join("slowdisk.so"));
        fs::write(&source, SOURCE).context("writing slowdisk.c")?;
        let output = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .output()
            .await
            .context("running cc")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cc: {errors}");
        Ok(Self { library })
    }

    /// Environment variables of a server with this capacity.
    pub(super) fn environment(&self, capacity: Capacity) -> Vec<(OsString, OsString)> {
        let (name, value) = match capacity {
            Capacity::LatencyUs(latency_us) => ("SLOWDISK_LATENCY_US", latency_us),
            Capacity::BytesPerSecond(bytes) => ("SLOWDISK_BYTES_PER_S", bytes),
        };
        vec![
            ("LD_PRELOAD".into(), self.library.clone().into_os_string()),
            (name.into(), value.to_string().into()),
        ]
    }
}
