//! HAProxy in TCP mode in front of one server, as a user would set it up.

use anyhow::{Context, Result, bail};
use shardline_tests::{folder::Folder, port::Port, process::Process, wait};
use std::{fs, net::TcpStream, path::PathBuf, time::Duration};

const READY: Duration = Duration::from_secs(10);

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
        let mut process =
            Process::start("haproxy", &program()?, arguments, Vec::new(), &log).await?;
        wait_listening(&mut process, port.number()).await?;
        Ok(Self { process, port, _folder: folder })
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.port.number()
    }
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

/// The program.
///
/// # Errors
/// It is not installed.
pub fn program() -> Result<PathBuf> {
    find("haproxy", "haproxy")
}

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
