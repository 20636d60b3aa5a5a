//! Ports that no other test has, without races: a port belongs to whoever holds the lock
//! on its file, and lies below the range from which the kernel gives ports to outgoing
//! connections.

use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    net::TcpListener,
    path::PathBuf,
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 15_000;
const COUNT: u16 = 12_000;

/// Where the next search begins; only spreads the searches of one process.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port, held until dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a free port.
    pub fn take() -> Result<Self> {
        let folder = folder();
        fs::create_dir_all(&folder).context("making the folder of port locks")?;
        let start = (std::process::id() as u16).wrapping_mul(97);
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + start.wrapping_add(step) % COUNT;
            let path = folder.join(number.to_string());
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .with_context(|| format!("opening {}", path.display()))?;
            match lock.try_lock() {
                Ok(()) if TcpListener::bind(("127.0.0.1", number)).is_ok() => {
                    return Ok(Self { number, _lock: lock });
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error).context("locking a port"),
            }
        }
        bail!("no free port in {FIRST}..{}", FIRST + COUNT)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

fn folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("shardline-test-ports-{user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let first = Port::take().expect("a port");
        let second = Port::take().expect("a port");
        assert_ne!(first.number(), second.number());
        TcpListener::bind(("127.0.0.1", first.number())).expect("it is free");
    }
}
