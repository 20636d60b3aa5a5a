//! The programs that a measurement needs, and waiting for them.

use anyhow::{Context, Result, bail};
use shardline_tests::{process::Process, wait};
use std::{net::TcpStream, path::PathBuf, process::Command, time::Duration};

const READY: Duration = Duration::from_secs(10);

/// A program of a Debian package.
///
/// # Errors
/// It is not installed; the error names the package.
pub fn find(program: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    for folder in folders {
        let candidate = folder.join(program);
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!("{program} is not installed: apt-get install {package}")
}

/// The first line that a program prints about its version.
///
/// # Errors
/// It is not installed or cannot be run.
pub fn version(program: &str, package: &str, flag: &str) -> Result<String> {
    let output = Command::new(find(program, package)?)
        .arg(flag)
        .output()
        .with_context(|| format!("running {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Waits until a process takes connections on a port.
///
/// # Errors
/// It has ended, or takes too long.
pub async fn wait_listening(process: &mut Process, port: u16) -> Result<()> {
    wait::until("the port is open", READY, || {
        let alive = process.check_running();
        async move {
            alive?;
            TcpStream::connect(("127.0.0.1", port)).context("connecting")?;
            Ok(())
        }
    })
    .await
}
