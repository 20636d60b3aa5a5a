//! HAProxy in TCP mode in front of one server, as a user would set it up.

use super::program;
use anyhow::{Context, Result};
use shardline_tests::{folder::Folder, port::Port, process::Process};
use std::fs;

/// A running HAProxy.
#[derive(Debug)]
pub struct HaProxy {
    /// The process.
    pub process: Process,
    port: Port,
    _folder: Folder,
}

impl HaProxy {
    /// Starts it on a port of its own, with as many threads as there are processors (its
    /// default too).
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub async fn start(server_port: u16) -> Result<Self> {
        let haproxy = program::find("haproxy", "haproxy")?;
        let (folder, port) = (Folder::new()?, Port::take()?);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let configuration = format!(
            "global\n    maxconn 9000\n    nbthread {threads}\n\
             defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n\
             frontend clients\n    bind 127.0.0.1:{}\n    default_backend servers\n\
             backend servers\n    server s1 127.0.0.1:{server_port}\n",
            port.number()
        );
        let path = folder.path().join("haproxy.cfg");
        fs::write(&path, configuration).context("writing haproxy.cfg")?;
        let log = folder.path().join("haproxy.log");
        let arguments = vec!["-db".into(), "-f".into(), path.into_os_string()];
        let mut process = Process::start("haproxy", &haproxy, arguments, Vec::new(), &log).await?;
        program::wait_listening(&mut process, port.number()).await?;
        Ok(Self { process, port, _folder: folder })
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.port.number()
    }
}
