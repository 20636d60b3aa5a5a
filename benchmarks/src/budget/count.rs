//! Counting instructions: a case runs N times and 2N times under callgrind, and the
//! difference over N is what one round executes, without the process' start and the
//! case's preparations. No kernel support is needed, and other load does not matter.

use super::cases::Case;
use anyhow::{Context, bail};
use std::{env, process::Command};

/// Instructions of one round.
///
/// # Errors
/// valgrind is missing or fails, or says something else than a count.
pub(super) fn instructions(case: &Case) -> anyhow::Result<u64> {
    let once = counted(case, case.rounds)?;
    let twice = counted(case, case.rounds * 2)?;
    let rounds = u64::try_from(case.rounds).context("rounds")?;
    Ok(twice.saturating_sub(once) / rounds)
}

fn counted(case: &Case, rounds: usize) -> anyhow::Result<u64> {
    let own = env::current_exe().context("finding this program")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["budget", "--case", case.name, "--rounds", &rounds.to_string()])
        .output()
        .context("starting valgrind (a Debian package; .ci/dependencies installs it)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{} under valgrind: {}\n{said}", case.name, output.status);
    }
    collected(&said).with_context(|| format!("{}: valgrind gave no count:\n{said}", case.name))
}

/// The number of a line such as `==1234== Collected : 56789`.
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found() {
        let text = "==1== Events    : Ir\n==1== Collected : 98765\n==1==\n";
        assert_eq!(collected(text), Some(98_765));
        assert_eq!(collected("==1== nothing"), None);
    }
}
