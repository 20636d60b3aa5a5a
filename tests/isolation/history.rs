//! The history of a run, in the lines that checkers of this kind read.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Transactions that use the same keys, more or less.
const KEYS_LAST: u64 = 60;
/// Keys in use at a time.
const KEYS: u64 = 9;

/// What a transaction does, in order.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Reads a list.
    Read(u64),
    /// Appends a value that nobody else appends to this list.
    Append(u64, u64),
}

/// How a transaction ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// With OK, and these lists for the reads.
    Committed(Vec<Vec<u64>>),
    /// With an error that says that nothing of it remains.
    Refused,
    /// Nobody has said.
    Unknown,
}

/// How many ended how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) committed: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
}

/// All that has happened.
pub(crate) struct History {
    wanted: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: u64,
    lines: Vec<String>,
    appended: HashMap<u64, u64>,
    counts: Counts,
    /// Processes whose last transaction nobody has told the end of are not used again.
    processes: u64,
}

impl History {
    pub(crate) fn new(wanted: u64) -> Self {
        Self { wanted, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// A number for a process that begins.
    pub(crate) fn process(&self) -> u64 {
        let mut state = self.state();
        state.processes += 1;
        state.processes
    }

    /// The next transaction; None when there have been enough. `choose` gives a number below
    /// its argument.
    pub(crate) fn begin(
        &self,
        process: u64,
        mut choose: impl FnMut(u64) -> u64,
    ) -> Option<Vec<Operation>> {
        let mut state = self.state();
        if state.begun >= self.wanted {
            return None;
        }
        state.begun += 1;
        let first = state.begun / KEYS_LAST * KEYS;
        let mut operations = Vec::new();
        for _ in 0..=choose(4) {
            let key = first + choose(KEYS);
            operations.push(match choose(2) {
                0 => Operation::Read(key),
                _ => {
                    let value = state.appended.entry(key).or_default();
                    *value += 1;
                    Operation::Append(key, *value)
                }
            });
        }
        state.line("invoke", process, operations.iter().map(Operation::begun).collect());
        Some(operations)
    }

    /// The end of a transaction.
    pub(crate) fn end(&self, process: u64, operations: &[Operation], outcome: Outcome) {
        let mut state = self.state();
        let begun = || operations.iter().map(Operation::begun).collect();
        match outcome {
            Outcome::Committed(lists) => {
                state.counts.committed += 1;
                let mut lists = lists.into_iter();
                let done = operations.iter().map(|operation| match operation {
                    Operation::Read(key) => json!(["r", key, lists.next().unwrap_or_default()]),
                    Operation::Append(..) => operation.begun(),
                });
                state.line("ok", process, done.collect());
            }
            Outcome::Refused => {
                state.counts.refused += 1;
                state.line("fail", process, begun());
            }
            Outcome::Unknown => {
                state.counts.unknown += 1;
                state.line("info", process, begun());
            }
        }
    }

    /// Tells what became of the transactions that nobody had told the end of, by what is there when
    /// nothing is undecided any more: the values of each list.
    ///
    /// # Errors
    /// A part of one is there.
    pub(crate) fn resolve(&self, lists: &HashMap<u64, HashSet<u64>>) -> Result<()> {
        let mut state = self.state();
        for number in 0..state.lines.len() {
            let mut line: Value = serde_json::from_str(&state.lines[number])?;
            if line["type"] != "info" {
                continue;
            }
            let operations = line["value"].as_array().cloned().unwrap_or_default();
            let (mut there, mut absent) = (0, 0);
            for operation in operations.iter().filter(|operation| operation[0] == "append") {
                let (key, value) = (operation[1].as_u64(), operation[2].as_u64());
                let list = key.and_then(|key| lists.get(&key));
                let found = list.zip(value).is_some_and(|(list, value)| list.contains(&value));
                if found { there += 1 } else { absent += 1 }
            }
            ensure!(there == 0 || absent == 0, "a part of a transaction is there: {line}");
            // One that only read and committed would need what it has read.
            if there == 0 {
                line["type"] = "fail".into();
                state.lines[number] = line.to_string();
            }
        }
        Ok(())
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    pub(crate) fn text(&self) -> String {
        self.state().lines.join("\n")
    }
}

impl State {
    fn line(&mut self, kind: &str, process: u64, value: Vec<Value>) {
        let index = self.lines.len();
        let line = json!({
            "index": index, "type": kind, "f": "txn", "process": process, "value": value,
        });
        self.lines.push(line.to_string());
    }
}

impl Operation {
    fn begun(&self) -> Value {
        match self {
            Operation::Read(key) => json!(["r", key, null]),
            Operation::Append(key, value) => json!(["append", key, value]),
        }
    }
}
