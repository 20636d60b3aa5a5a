//! What the machine of a measurement was.

use crate::peers::program;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::{fs, process::Command};

/// A machine and the programs that were measured on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// Processors.
    pub processors: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The servers' version.
    pub server: String,
    /// sysbench's version.
    pub sysbench: String,
    /// HAProxy's version, if it is installed.
    pub haproxy: Option<String>,
    /// The revision of Shardline, if this is a checkout.
    pub revision: Option<String>,
}

impl Machine {
    /// Asks this machine.
    ///
    /// # Errors
    /// A server or sysbench is not installed.
    pub fn ask() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory_kib = field(&meminfo, "MemTotal").and_then(|value| {
            value.split_whitespace().next().and_then(|number| number.parse::<u64>().ok())
        });
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let haproxy = program::version("haproxy", "haproxy", "-v").ok();
        Ok(Self {
            processor: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_kib.unwrap_or_default() / 1_024,
            kernel: kernel.trim().to_owned(),
            server: shardline_tests::server::programs()?.version,
            sysbench: program::version("sysbench", "sysbench", "--version")?,
            haproxy: haproxy.map(|line| line.split(" - ").next().unwrap_or_default().to_owned()),
            revision: revision(),
        })
    }

    /// In a sentence.
    pub fn sentence(&self) -> String {
        let haproxy = self.haproxy.as_deref().unwrap_or("no HAProxy");
        let revision = match &self.revision {
            Some(revision) => format!(", Shardline at {revision}"),
            None => String::new(),
        };
        format!(
            "{} processors ({}), {} MiB, Linux {}, server {}, {}, {haproxy}{revision}",
            self.processors,
            self.processor,
            self.memory_mib,
            self.kernel,
            self.server,
            self.sysbench
        )
    }
}

/// The value of a line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then_some(value.trim())
    })
}

fn revision() -> Option<String> {
    let output =
        Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
