//! The named fault points of a proxy: which there are, how each is reached on purpose, and how often
//! each was, by what the proxies log.

use crate::random::Random;
use anyhow::{Context, Result, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

/// All of them.
pub(crate) const POINTS: [&str; 21] = [
    "commit.reader",
    "commit.check",
    "commit.before_prepare",
    "commit.after_prepare",
    "commit.before_decide",
    "commit.after_decide",
    "commit.insert_aborted",
    "commit.settle",
    "settle.before_fence",
    "settle.after_fence",
    "settle.after_read",
    "settle.before_undo",
    "settle.before_end",
    "settle.after_end",
    "resolve.scan",
    "resolve.before_abort",
    "resolve.before_settle",
    "resolve.before_forget",
    "forget.branches",
    "forget.decisions",
    "read.before_snapshot",
];

/// Those that only a reader comes to who asks for a barrier; `tests/it/txn_reads` makes them fail.
const OF_BARRIERS: [&str; 2] = ["barrier.after_raise", "barrier.before_end"];

/// How a point fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Error,
    Pause,
    Crash,
}

/// All of them, in the order in which a plan has them: nothing comes after a crash.
pub(crate) const ACTIONS: [Action; 3] = [Action::Error, Action::Pause, Action::Crash];

/// How often what happened where.
#[derive(Default)]
pub(crate) struct Hits(BTreeMap<(&'static str, Action), u64>);

impl Hits {
    /// Counts what the logs say.
    pub(crate) fn of_logs<'a>(logs: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut hits = Hits::default();
        for log in logs {
            let text = fs::read(log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            for line in text.lines().filter(|line| {
                line.contains("at fault point ") || line.contains("at a fault point")
            }) {
                hits.count(line);
            }
        }
        hits
    }

    fn count(&mut self, line: &str) {
        let action = if line.contains("crash at fault point") {
            Action::Crash
        } else if line.contains("pausing at a fault point") {
            Action::Pause
        } else {
            Action::Error
        };
        // No name is the beginning of another one.
        if let Some(point) = POINTS.iter().find(|point| line.contains(**point)) {
            *self.0.entry((*point, action)).or_default() += 1;
        }
    }

    /// How often a point failed in this way.
    pub(crate) fn of(&self, point: &'static str, action: Action) -> u64 {
        self.0.get(&(point, action)).copied().unwrap_or_default()
    }

    /// How often a point failed.
    pub(crate) fn all(&self, point: &'static str) -> u64 {
        ACTIONS.iter().map(|action| self.of(point, *action)).sum()
    }

    /// The points that still miss something.
    pub(crate) fn missing(&self, times: u64, each: u64) -> Vec<&'static str> {
        let enough = |point: &&'static str| {
            self.all(point) >= times && ACTIONS.iter().all(|one| self.of(point, *one) >= each)
        };
        POINTS.iter().filter(|point| !enough(point)).copied().collect()
    }

    /// The point to be tried next: one of those that crashed least.
    pub(crate) fn rarest(&self, random: &mut Random, except: &[&'static str]) -> &'static str {
        let there = POINTS.iter().filter(|point| !except.contains(point));
        let least = there.clone().map(|point| self.of(point, Action::Crash)).min();
        let least: Vec<_> =
            there.filter(|point| Some(self.of(point, Action::Crash)) == least).collect();
        least[random.below(least.len() as u64) as usize]
    }

    /// A line for each point.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for point in POINTS {
            let _ = write!(text, "\n  {point:22}");
            for action in ACTIONS {
                let _ = write!(text, " {:?} {:4}", action, self.of(point, action));
            }
        }
        text
    }
}

/// `SHARDLINE_FAULTS` for one life of a proxy: the point fails, pauses, and crashes, and what leads
/// there happens before.
pub(crate) fn plan(point: &'static str, random: &mut Random) -> String {
    let mut plan = provoked(point);
    let first = random.between(1, 4);
    // Some pauses outlast a scan, so that others act meanwhile, and some what a commit waits.
    let pause_ms = [40, 300, 300, 2_700, 5_500][random.below(5) as usize];
    for (arrival, what) in
        (first..).zip(["error".to_owned(), format!("pause:{pause_ms}"), "crash".to_owned()])
    {
        plan.push(format!("{point}={what}@{arrival}"));
    }
    plan.join(",")
}

/// What must go wrong before a proxy comes to a point.
fn provoked(point: &str) -> Vec<String> {
    // Most commits are refused after all branches have prepared.
    let refused =
        || (1..200).filter(|nth| nth % 3 != 0).map(|n| format!("commit.before_decide=error@{n}"));
    match point {
        "commit.insert_aborted"
        | "commit.settle"
        | "settle.before_fence"
        | "settle.after_read"
        | "settle.before_undo"
        | "settle.before_end"
        | "settle.after_end" => refused().collect(),
        // One branch fails while another has not prepared yet.
        "settle.after_fence" => {
            let late = (1..200).step_by(2).map(|n| format!("commit.before_prepare=pause:400@{n}"));
            late.chain(["commit.after_prepare=error".to_owned()]).collect()
        }
        // The coordinator does not undo them itself.
        "resolve.before_abort" | "resolve.before_settle" => {
            refused().chain(["commit.settle=error".to_owned()]).collect()
        }
        // Nobody forgets what is committed but the scans.
        "resolve.before_forget" => vec!["forget.branches=error".to_owned()],
        _ => Vec::new(),
    }
}

#[test]
fn every_fault_point_of_the_proxy_is_known() -> Result<()> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy/src")];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(path)?;
            let calls = text.matches("fault::point(").count();
            if calls == 0 {
                continue;
            }
            let quoted = text.split('"').skip(1).step_by(2);
            found.extend(quoted.filter(|name| is_name(name)).map(str::to_owned));
            // Where the name is not in the call, it is not far.
            let named = text.split('"').filter(|name| is_name(name)).count();
            ensure!(named >= calls, "a fault point has a name that is not seen here");
        }
    }
    let known: BTreeSet<_> =
        POINTS.iter().chain(&OF_BARRIERS).map(|name| (*name).to_owned()).collect();
    ensure!(found == known, "there are {found:?}");
    found.first().context("none").map(|_| ())
}

fn is_name(text: &str) -> bool {
    let parts = ["commit.", "settle.", "undo.", "forget.", "resolve.", "read.", "barrier."];
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    parts.iter().any(|part| {
        text.strip_prefix(part).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(lower))
    })
}
