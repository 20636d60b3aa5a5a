//! Loopback ports: which one to use, and who holds one that is taken.

use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::{Duration, Instant},
};

/// How many ports after the wanted one are tried when it is taken and not pinned.
const PORTS_TRIED_MAX: u16 = 100;
/// How long another cluster's start is waited for.
const TURN_WAIT: Duration = Duration::from_secs(20);
const TURN_POLL: Duration = Duration::from_millis(20);

/// A port that someone would like to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedPort {
    /// The first choice.
    pub port: u16,
    /// True when the user named it: then no other will do.
    pub pinned: bool,
}

impl WantedPort {
    /// The user's choice, or a default that gives way when it is taken.
    pub fn new(chosen: Option<u16>, default: u16) -> Self {
        Self { port: chosen.unwrap_or(default), pinned: chosen.is_some() }
    }
}

/// The process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name, as the kernel knows it.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Why no port could be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The pinned port is taken.
    #[error("port {port} is taken by {}", holder_text(.holder.as_ref()))]
    Taken {
        /// The port.
        port: u16,
        /// Who has it, when the kernel lets us see.
        holder: Option<Holder>,
    },
    /// The pinned port cannot be bound for another reason.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Bind {
        /// The port.
        port: u16,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Every port that was tried is taken.
    #[error("no free port in {first}..{last}; the first is taken by {}", holder_text(.holder.as_ref()))]
    NoneFree {
        /// First port tried.
        first: u16,
        /// Last port tried.
        last: u16,
        /// Who has the first.
        holder: Option<Holder>,
    },
}

fn holder_text(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "a process of another user".to_owned(), Holder::to_string)
}

/// Held between choosing ports and binding them, so that two clusters of one user that
/// start at the same moment do not choose the same ones.
#[derive(Debug)]
pub struct ChoosingTurn {
    _file: Option<fs::File>,
}

/// Waits for this process's turn to choose ports, but not for ever: without a turn a clash
/// is still found when the port is bound.
pub async fn choosing_turn() -> ChoosingTurn {
    let user = rustix::process::geteuid().as_raw();
    let path = std::env::temp_dir().join(format!("shardline-ports-{user}.lock"));
    let opened = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let Ok(file) = opened else { return ChoosingTurn { _file: None } };
    let begun = Instant::now();
    while begun.elapsed() < TURN_WAIT {
        if file.try_lock().is_ok() {
            return ChoosingTurn { _file: Some(file) };
        }
        tokio::time::sleep(TURN_POLL).await;
    }
    ChoosingTurn { _file: None }
}

/// Chooses a loopback port that is free now and not among `reserved`.
pub fn choose(wanted: WantedPort, reserved: &[u16]) -> Result<u16, PortError> {
    let last = wanted.port.saturating_add(PORTS_TRIED_MAX);
    for port in wanted.port..=last {
        if !reserved.contains(&port) {
            match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
                Ok(_) => return Ok(port),
                Err(source) if wanted.pinned && source.kind() != std::io::ErrorKind::AddrInUse => {
                    return Err(PortError::Bind { port, source });
                }
                Err(_) => {}
            }
        }
        if wanted.pinned {
            return Err(PortError::Taken { port, holder: holder(port) });
        }
    }
    Err(PortError::NoneFree { first: wanted.port, last, holder: holder(wanted.port) })
}

/// Who listens on a TCP port of this machine, as far as `/proc` shows it to this user.
pub fn holder(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let targets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    processes().find(|process| has_open(&process.0, &targets)).map(|(path, pid)| Holder {
        pid,
        name: fs::read_to_string(path.join("comm"))
            .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned()),
    })
}

/// Socket inodes in state LISTEN on a port, from the text of `/proc/net/tcp`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (local.ends_with(&suffix) && *state == LISTEN).then(|| (*inode).to_owned())
        })
        .collect()
}

/// Folders of all processes in `/proc`, with their ids.
pub fn processes() -> impl Iterator<Item = (std::path::PathBuf, u32)> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((entry.path(), pid))
    })
}

fn has_open(process: &Path, targets: &[String]) -> bool {
    fs::read_dir(process.join("fd")).into_iter().flatten().flatten().any(|entry| {
        fs::read_link(entry.path())
            .is_ok_and(|link| targets.iter().any(|target| link.as_os_str() == target.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_listener_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:10D2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0\n\
            1: 0100007F:10D2 0100007F:8888 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100 0\n";
        assert_eq!(listening_inodes(table, 4306), ["4242"]);
        assert!(listening_inodes(table, 4307).is_empty());
    }

    #[test]
    fn a_pinned_port_that_is_taken_names_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let error = choose(WantedPort { port, pinned: true }, &[]).expect_err("taken");
        let PortError::Taken { holder: Some(holder), .. } = error else { panic!("{error}") };
        assert_eq!(holder.pid, std::process::id());
    }

    #[test]
    fn a_port_that_is_not_pinned_gives_way() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let chosen = choose(WantedPort { port, pinned: false }, &[port + 1]).expect("free");
        assert!(chosen > port + 1);
    }
}
