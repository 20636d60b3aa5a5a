//! What processes have cost: processor time and memory, from `/proc`.

use anyhow::{Context, Result};
use std::fs;

/// Processor time of a process since its start, user and system, in microseconds. Threads
/// that have ended are in it; the kernel's clock ticks (mostly 10 ms) are its grain.
///
/// # Errors
/// The process has ended.
pub fn used_us(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let ticks = ticks(&text).with_context(|| format!("understanding {path}"))?;
    Ok(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}

/// The sum over several processes.
///
/// # Errors
/// One of them has ended.
pub fn used_together_us(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| used_us(*pid)).sum()
}

/// `utime` and `stime` of a line of `/proc/PID/stat`: fields 14 and 15 (proc(5)). The
/// second field, the name, may hold spaces and brackets.
fn ticks(line: &str) -> Option<u64> {
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Memory that a process has in RAM, in KiB, now.
///
/// # Errors
/// The process has ended.
pub fn resident_kib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmRSS:")
}

/// The most memory that a process ever had in RAM, in KiB.
///
/// # Errors
/// The process has ended.
pub fn resident_peak_kib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmHWM:")
}

fn status_kib(pid: u32, label: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).with_context(|| format!("{label} in {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_no_trouble() {
        let line = "42 (a) b) S 1 42 42 0 -1 4194560 9 0 0 0 130 24 0 0 20 0 2 0 9 9 9";
        assert_eq!(ticks(line), Some(154));
        assert_eq!(ticks("42 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let me = std::process::id();
        assert!(resident_kib(me).expect("alive") > 100);
        assert!(resident_peak_kib(me).expect("alive") >= resident_kib(me).expect("alive") / 2);
        used_us(me).expect("alive");
    }
}
