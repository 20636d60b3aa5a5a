//! The crate graph of `ARCHITECTURE.md`, against `cargo metadata`.

use crate::root;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Who may depend on whom among our own crates.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("base", &[]),
    ("model", &[]),
    ("wire", &[]),
    ("binlog", &[]),
    ("router", &["model"]),
    ("meta-client", &["model", "base"]),
    ("meta", &["model", "base", "meta-client"]),
    ("proxy", &["model", "base", "meta-client", "wire", "binlog", "router"]),
    ("rebalancer", &["model", "base", "meta-client", "wire", "binlog"]),
    (
        "console",
        &[
            "base",
            "model",
            "wire",
            "binlog",
            "router",
            "meta-client",
            "meta",
            "proxy",
            "rebalancer",
        ],
    ),
    (
        "tests",
        &[
            "base",
            "model",
            "wire",
            "binlog",
            "router",
            "meta-client",
            "meta",
            "proxy",
            "rebalancer",
            "console",
            "benchmarks",
        ],
    ),
    (
        "benchmarks",
        &[
            "base",
            "model",
            "wire",
            "binlog",
            "router",
            "meta-client",
            "meta",
            "proxy",
            "rebalancer",
            "console",
            "tests",
        ],
    ),
];

/// Third-party crates that keep to their room.
const ROOMS: [(&str, &[&str]); 4] = [
    ("openraft", &["meta"]),
    ("redb", &["meta"]),
    ("sqlparser", &["router"]),
    ("mysql_async", &["rebalancer", "console", "tests", "benchmarks"]),
];

/// Direct dependencies of each of our crates that a shipped build has; dev-dependencies
/// of third parties count for the rooms, of our own crates they do not.
fn dependencies() -> BTreeMap<String, Vec<(String, bool)>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let wanted = package["dependencies"].as_array().expect("dependencies");
            let wanted = wanted.iter().map(|one| (text(&one["name"]), one["kind"] == "dev"));
            (text(&package["name"]), wanted.collect())
        })
        .collect()
}

#[test]
fn crates_import_only_whom_they_may() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, others)| (*name, others.iter().copied().collect())).collect();
    let all = dependencies();
    assert!(all.len() >= ALLOWED.len(), "crates are missing: {all:?}");
    let mut faults = Vec::new();
    for (package, wanted) in &all {
        let Some(short) = package.strip_prefix("shardline-") else { continue };
        let Some(allowed) = allowed.get(short) else {
            faults.push(format!("{package} has no place in the crate graph"));
            continue;
        };
        for (other, dev) in wanted {
            if let Some(other) = other.strip_prefix("shardline-")
                && !*dev
                && !allowed.contains(other)
            {
                faults.push(format!("{short} must not depend on {other}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn third_parties_keep_to_their_room() {
    let mut faults = Vec::new();
    for (package, wanted) in dependencies() {
        let short = package.strip_prefix("shardline-").unwrap_or(&package);
        for (guest, rooms) in ROOMS {
            if wanted.iter().any(|(name, _)| name == guest) && !rooms.contains(&short) {
                faults.push(format!("{guest} belongs in {rooms:?}, not in {short}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
