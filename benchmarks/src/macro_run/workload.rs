//! The workloads: sysbench's own scripts and a few of ours, with what each needs.

use crate::peers::data::TableSet;
use anyhow::{Result, bail};

/// One workload.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name in flags and results.
    pub name: &'static str,
    /// What it does, for the report.
    pub what: &'static str,
    /// The script.
    pub script: Script,
    /// More options of sysbench.
    pub options: &'static [&'static str],
    /// Whether statements are prepared, or sent as text.
    pub prepared: bool,
    /// The tables.
    pub set: TableSet,
    /// How many clients, unless a flag says otherwise.
    pub clients: &'static [u32],
}

/// Where a script is from.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// sysbench's package.
    Stock(&'static str),
}

/// Clients of the workloads that decide.
const ALL: &[u32] = &[1, 8, 64, 512];

const fn stock(
    name: &'static str,
    what: &'static str,
    script: &'static str,
    prepared: bool,
) -> Workload {
    let script = Script::Stock(script);
    Workload { name, what, script, options: &[], prepared, set: TableSet::Sbtest, clients: ALL }
}

/// All workloads, in the order in which they run.
pub const WORKLOADS: &[Workload] = &[
    stock("point-text", "SELECT of one row by its key, as text", "oltp_point_select", false),
    stock("point-prepared", "SELECT of one row by its key, prepared", "oltp_point_select", true),
    stock("rw-text", "transactions of 20 statements, as text", "oltp_read_write", false),
    stock("rw-prepared", "transactions of 20 statements, prepared", "oltp_read_write", true),
];

/// Finds workloads by name; a name's beginning stands for all that have it.
///
/// # Errors
/// There is none of that name.
pub fn find(names: &[String]) -> Result<Vec<Workload>> {
    let mut found = Vec::new();
    for name in names {
        let before = found.len();
        found.extend(WORKLOADS.iter().filter(|workload| workload.name.starts_with(name.as_str())));
        if found.len() == before {
            let all: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
            bail!("no workload {name}: there are {}", all.join(", "));
        }
    }
    Ok(found)
}
