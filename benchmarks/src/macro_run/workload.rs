//! The workloads: sysbench's own scripts and a few of ours, with what each needs.

use crate::peers::data::TableSet;
use anyhow::{Context, Result, bail};
use shardline_tests::folder::Folder;
use std::{fs, path::PathBuf};

/// One workload.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name in flags and results.
    pub name: &'static str,
    /// What it does, for the report.
    pub what: &'static str,
    /// The script.
    script: Script,
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
enum Script {
    /// sysbench's package.
    Stock(&'static str),
    /// Ours, of this name.
    Own(&'static str),
}

/// Our scripts, by name.
const OWN: &[(&str, &str)] = &[
    ("keyed_read_write.lua", include_str!("../../lua/keyed_read_write.lua")),
    ("multi_insert.lua", include_str!("../../lua/multi_insert.lua")),
    ("scatter.lua", include_str!("../../lua/scatter.lua")),
];

/// Our scripts as files, where sysbench can read them.
#[derive(Debug)]
pub struct Scripts {
    folder: Folder,
}

impl Scripts {
    /// Writes them to a temporary folder.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write() -> Result<Self> {
        let folder = Folder::new()?;
        for (name, text) in OWN {
            fs::write(folder.path().join(name), text).with_context(|| format!("writing {name}"))?;
        }
        Ok(Self { folder })
    }

    /// What sysbench is given to run a workload.
    pub fn path(&self, workload: &Workload) -> PathBuf {
        match workload.script {
            Script::Stock(name) => name.into(),
            Script::Own(name) => self.folder.path().join(name),
        }
    }
}

/// Clients of the workloads that decide.
const ALL: &[u32] = &[1, 8, 64, 512];
/// Clients of the others.
const MANY: &[u32] = &[64];
/// Clients of statements that keep every processor busy by themselves.
const ONE: &[u32] = &[1];

const fn stock(name: &'static str, what: &'static str, script: &'static str) -> Workload {
    let script = Script::Stock(script);
    let set = TableSet::Sbtest;
    Workload { name, what, script, options: &[], prepared: false, set, clients: ALL }
}

const fn own(name: &'static str, what: &'static str, script: &'static str) -> Workload {
    let script = Script::Own(script);
    let set = TableSet::Ledger;
    Workload { name, what, script, options: &[], prepared: false, set, clients: MANY }
}

const fn scatter(
    name: &'static str,
    what: &'static str,
    options: &'static [&'static str],
) -> Workload {
    let set = TableSet::Scatter;
    Workload { options, set, clients: ONE, ..own(name, what, "scatter.lua") }
}

const RANGE: Workload = Workload {
    options: &[
        "--point_selects=0",
        "--sum_ranges=0",
        "--order_ranges=0",
        "--distinct_ranges=0",
        "--skip_trx=on",
    ],
    clients: MANY,
    ..stock("range-text", "SELECT of 100 rows by a range of keys, as text", "oltp_read_only")
};

const KEYED: &str = "transactions of ten statements that name one shard key";

/// All workloads, in the order in which they run.
pub const WORKLOADS: &[Workload] = &[
    stock("point-text", "SELECT of one row by its key, as text", "oltp_point_select"),
    Workload {
        prepared: true,
        ..stock("point-prepared", "SELECT of one row by its key, prepared", "oltp_point_select")
    },
    stock("rw-text", "sysbench's transactions of 20 statements, as text", "oltp_read_write"),
    Workload {
        prepared: true,
        ..stock(
            "rw-prepared",
            "sysbench's transactions of 20 statements, prepared",
            "oltp_read_write",
        )
    },
    own("keyed-rw-text", KEYED, "keyed_read_write.lua"),
    Workload { prepared: true, ..own("keyed-rw-prepared", KEYED, "keyed_read_write.lua") },
    RANGE,
    Workload { name: "range-prepared", what: "the same, prepared", prepared: true, ..RANGE },
    Workload {
        clients: MANY,
        set: TableSet::Empty,
        ..stock("insert-text", "INSERT of one row, as text", "oltp_insert")
    },
    Workload {
        clients: MANY,
        ..stock("update-index-text", "UPDATE of an indexed column by key", "oltp_update_index")
    },
    Workload {
        clients: MANY,
        ..stock("update-plain-text", "UPDATE of another column by key", "oltp_update_non_index")
    },
    Workload {
        clients: &[8],
        set: TableSet::Empty,
        ..own("multi-insert", "INSERT of 100 rows", "multi_insert.lua")
    },
    scatter("scatter-count", "COUNT(*) over 300,000 rows", &["--statement=count"]),
    scatter("scatter-group", "GROUP BY with 100 groups over them", &["--statement=group"]),
    scatter("scatter-order", "ORDER BY LIMIT 10 over them", &["--statement=order"]),
    scatter("scatter-average", "AVG and COUNT(DISTINCT) over them", &["--statement=average"]),
];

impl Workload {
    /// Whether a target is measured with it: a relay of one server's long answers says
    /// nothing.
    pub fn suits(&self, target: &str) -> bool {
        self.set != TableSet::Scatter || !["relay", "haproxy"].contains(&target)
    }
}

/// Finds workloads by name; a name's beginning stands for all that have it.
///
/// # Errors
/// There is none of that name.
pub fn find(names: &[String]) -> Result<Vec<Workload>> {
    for name in names {
        if !WORKLOADS.iter().any(|workload| workload.name.starts_with(name.as_str())) {
            let all: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
            bail!("no workload {name}: there are {}", all.join(", "));
        }
    }
    let wanted =
        |workload: &&Workload| names.iter().any(|name| workload.name.starts_with(name.as_str()));
    Ok(WORKLOADS.iter().filter(wanted).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_their_beginning() {
        let names = |wanted: &[&str]| -> Vec<&str> {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            find(&wanted).expect("known").iter().map(|workload| workload.name).collect()
        };
        assert_eq!(names(&["point"]), ["point-text", "point-prepared"]);
        assert_eq!(names(&["rw-text", "rw"]), ["rw-text", "rw-prepared"]);
        assert_eq!(names(&[""]).len(), WORKLOADS.len());
        find(&["nothing".to_owned()]).expect_err("unknown");
    }

    #[test]
    fn names_are_unique_and_scripts_exist() {
        for (number, workload) in WORKLOADS.iter().enumerate() {
            assert!(WORKLOADS[..number].iter().all(|other| other.name != workload.name));
            if let Script::Own(script) = workload.script {
                assert!(OWN.iter().any(|(name, _)| *name == script), "{script}");
            }
        }
    }
}
