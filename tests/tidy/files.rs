//! What every source file has: a header that says what it is, and a bounded length.

use crate::{files_with, shown};
use std::fs;

/// The longest that a file may be, in lines.
const LINES_MAX: usize = 600;
/// Names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "common", "helpers", "misc"];

#[test]
fn every_source_file_says_what_it_is() {
    let faults: Vec<String> = files_with("rs")
        .iter()
        .filter(|path| {
            let text = fs::read_to_string(path).expect("UTF-8");
            !text.starts_with("//! ")
        })
        .map(|path| format!("{} does not begin with a //! header", shown(path)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_source_file_is_too_long() {
    let faults: Vec<String> = files_with("rs")
        .iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(path).expect("UTF-8").lines().count();
            (lines > LINES_MAX).then(|| format!("{} has {lines} lines", shown(path)))
        })
        .collect();
    assert!(faults.is_empty(), "more than {LINES_MAX} lines:\n{}", faults.join("\n"));
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    let faults: Vec<String> = files_with("rs")
        .iter()
        .filter(|path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            EMPTY_NAMES.contains(&stem) || stem.ends_with("_impl")
        })
        .map(|path| shown(path))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_test_is_ignored() {
    // Written in two parts, so that this file does not hold it.
    let mark = ["#[ign", "ore"].concat();
    let faults: Vec<String> = files_with("rs")
        .iter()
        .filter(|path| fs::read_to_string(path).expect("UTF-8").contains(&mark))
        .map(|path| shown(path))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
