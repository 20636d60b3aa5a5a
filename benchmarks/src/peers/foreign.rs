//! A peer that others have started, known by its address: `name=host:port`.

use super::target::{Tables, Target};
use anyhow::{Context, Result, ensure};
use std::{fs, net::ToSocketAddrs, path::Path, str::FromStr};

/// A peer as a flag names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its name in the results.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl FromStr for Foreign {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, address) = text.split_once('=').context("a peer is name=host:port")?;
        let (host, port) = address.rsplit_once(':').context("a peer is name=host:port")?;
        ensure!(!name.is_empty() && !host.is_empty(), "a peer is name=host:port");
        let port = port.parse().context("the peer's port")?;
        Ok(Self { name: name.to_owned(), host: host.to_owned(), port })
    }
}

impl Foreign {
    /// The target. Its process is found if it listens on this machine and may be looked at.
    pub fn target(&self, number: usize, user: &str, password: &str) -> Target {
        Target {
            name: self.name.clone(),
            host: self.host.clone(),
            port: self.port,
            user: user.to_owned(),
            password: password.to_owned(),
            database: "shardline_bench".to_owned(),
            proxy: self.process(),
            servers: Vec::new(),
            tables: Tables::Foreign(number),
        }
    }

    fn process(&self) -> Option<u32> {
        let mut addresses = (self.host.as_str(), self.port).to_socket_addrs().ok()?;
        addresses.any(|address| address.ip().is_loopback()).then_some(())?;
        let sockets = listening(&fs::read_to_string("/proc/net/tcp").ok()?, self.port);
        fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            holds(&entry.path().join("fd"), &sockets).then_some(pid)
        })
    }
}

/// The inodes of sockets that listen on a port, from the text of `/proc/net/tcp` (proc(5)).
fn listening(text: &str, port: u16) -> Vec<String> {
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.split_once(':')?;
        let local = u16::from_str_radix(local, 16).ok()?;
        let listens = *fields.get(3)? == "0A" && local == port;
        listens.then(|| format!("socket:[{}]", fields.get(9).copied().unwrap_or_default()))
    };
    text.lines().skip(1).filter_map(inode).collect()
}

fn holds(folder: &Path, sockets: &[String]) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter_map(|link| link.to_str().map(str::to_owned)).any(|link| sockets.contains(&link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_flag() {
        let found: Foreign = "proxysql=127.0.0.1:6033".parse().expect("a peer");
        assert_eq!((found.name.as_str(), found.port), ("proxysql", 6033));
        for wrong in ["proxysql", "a=b", "=h:1", "a=h:x"] {
            wrong.parse::<Foreign>().expect_err(wrong);
        }
    }

    #[test]
    fn finds_the_process_that_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let peer = Foreign { name: "me".into(), host: "127.0.0.1".into(), port };
        assert_eq!(peer.process(), Some(std::process::id()));
    }
}
