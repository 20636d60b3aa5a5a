//! The figures as a page and as JSON, and their limits.

use super::slow_reader::Slow;
use crate::macro_run::machine::Machine;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{fmt::Write as _, fs, path::Path};

/// The most that an idle connection may cost, in bytes.
const CONNECTION_BYTES_MAX: f64 = 20_000.0;
/// The most that a slow reader of a large result may cost, in MiB.
const SLOW_READER_MIB_MAX: f64 = 64.0;

/// Figures of one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) target: String,
    pub(super) connections: u32,
    /// The proxy's memory without the connections, in KiB.
    pub(super) before_kib: u64,
    /// The proxy's memory with them, in KiB.
    pub(super) after_kib: u64,
    pub(super) slow: Slow,
}

impl Figures {
    fn connection_bytes(&self) -> f64 {
        self.after_kib.saturating_sub(self.before_kib) as f64 * 1_024.0
            / f64::from(self.connections)
    }

    fn slow_mib(&self) -> f64 {
        self.slow.peak_kib.saturating_sub(self.slow.before_kib) as f64 / 1_024.0
    }
}

/// All figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) figures: Vec<Figures>,
}

impl Report {
    /// The page.
    pub(super) fn markdown(&self) -> String {
        let mut page = format!(
            "# Memory of the proxy\n\nIdle connections have logged in and read one row. The slow reader takes its result in\n\
             bursts, ten in a second. On {}.\n\n\
             | target | idle connections | proxy before | with them | bytes each | slow result | read in \
             | proxy before | at most | more |\n|---|---|---|---|---|---|---|---|---|---|\n",
            self.machine.sentence()
        );
        let mib = |kib: u64| kib as f64 / 1_024.0;
        for figures in &self.figures {
            let slow = &figures.slow;
            // Writing to a String cannot fail.
            let _ = writeln!(
                page,
                "| {} | {} | {:.1} MiB | {:.1} MiB | {:.0} | {} MiB | {:.1} s | {:.1} MiB | {:.1} MiB | {:.1} MiB |",
                figures.target,
                figures.connections,
                mib(figures.before_kib),
                mib(figures.after_kib),
                figures.connection_bytes(),
                slow.bytes >> 20,
                slow.seconds,
                mib(slow.before_kib),
                mib(slow.peak_kib),
                figures.slow_mib(),
            );
        }
        page
    }

    /// Writes `idle.md` and `idle.json`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let json = serde_json::to_string_pretty(self).context("writing the figures as JSON")?;
        for (name, text) in [("idle.md", self.markdown()), ("idle.json", json + "\n")] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    /// Each limit: whether it holds, and a line about it.
    pub(super) fn check(&self) -> Vec<(bool, String)> {
        let line = |target: &str, what: &str, found: f64, limit: f64| {
            let holds = found <= limit;
            let verdict = if holds { "pass" } else { "FAIL" };
            (holds, format!("{verdict}: {target}: {what} is {found:.0}, at most {limit:.0}"))
        };
        let of_target = |figures: &Figures| {
            let target = &figures.target;
            [
                line(
                    target,
                    "bytes of an idle connection",
                    figures.connection_bytes(),
                    CONNECTION_BYTES_MAX,
                ),
                line(target, "MiB for a slow reader", figures.slow_mib(), SLOW_READER_MIB_MAX),
            ]
        };
        self.figures.iter().flat_map(of_target).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_connection_is_what_came_with_it() {
        let slow = Slow { bytes: 1 << 30, seconds: 20.0, before_kib: 10_240, peak_kib: 77_824 };
        let figures = Figures {
            target: "t".into(),
            connections: 1_000,
            before_kib: 10_000,
            after_kib: 25_000,
            slow,
        };
        assert_eq!(figures.connection_bytes(), 15_360.0);
        assert_eq!(figures.slow_mib(), 66.0);
    }
}
