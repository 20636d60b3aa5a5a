//! Which seeds are run, once for all tests, and how a failure is told.
//!
//! - `SHARDLINE_SIM_SEEDS=100000` runs so many instead of 2,000 (nightly).
//! - `SHARDLINE_SIM_SEED=17 cargo test -p shardline-tests --test sim one_seed -- --nocapture`
//!   runs one, with its event log.

use crate::{
    oracle::{Counts, Invariant, Violation},
    server::Flaw,
    world::{Report, Setup, run},
};
use shardline_proxy::txn::rules::{Rule, Rules};
use std::{
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

const SEEDS: u64 = 2_000;
/// Within so many seeds a bug must be found.
const SEEDS_FOR_A_BUG: u64 = 3_000;
const SEEDS_WITH_BYPASS: u64 = 200;
/// How much of a log is shown.
const LOG_LINES: usize = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct Results {
    violations: Vec<(u64, Violation)>,
    counts: Counts,
    seeds: u64,
}

fn all() -> &'static Results {
    static RESULTS: OnceLock<Results> = OnceLock::new();
    RESULTS.get_or_init(|| {
        let seeds = number("SHARDLINE_SIM_SEEDS").unwrap_or(SEEDS);
        let next = AtomicU64::new(0);
        let results =
            Mutex::new(Results { violations: Vec::new(), counts: Counts::default(), seeds });
        let threads = thread::available_parallelism().map_or(2, usize::from);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds {
                            return;
                        }
                        let report = run(seed, Setup::default());
                        let mut results = results.lock().expect("no test panics here");
                        results.counts.add(report.counts);
                        results
                            .violations
                            .extend(report.violations.into_iter().map(|one| (seed, one)));
                    }
                });
            }
        });
        results.into_inner().expect("no test panics here")
    })
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.unknown += other.unknown;
        self.local += other.local;
        self.undone += other.undone;
        self.fenced += other.fenced;
        self.swept += other.swept;
        self.forgotten += other.forgotten;
        self.refused_late += other.refused_late;
    }
}

fn shown(report: &Report) -> String {
    let skipped = report.log.len().saturating_sub(LOG_LINES);
    format!("... {skipped} lines before\n{}", report.log[skipped..].join("\n"))
}

/// No seed violates an invariant.
pub(crate) fn holds(invariant: Invariant) {
    let results = all();
    let first = results.violations.iter().find(|(_, one)| one.invariant == invariant);
    if let Some((seed, violation)) = first {
        let report = run(*seed, Setup { logging: true, ..Setup::default() });
        panic!(
            "{}\n\n{invariant:?} is violated by seed {seed}: {}\nrepeat with \
             SHARDLINE_SIM_SEED={seed} cargo test -p shardline-tests --test sim one_seed -- --nocapture",
            shown(&report),
            violation.text
        );
    }
}

/// A broken rule is found, as a violation of one of these.
pub(crate) fn caught_rule(rule: Rule, expected: &[Invariant]) {
    let setup = Setup { rules: Rules::all_but(rule), ..Setup::default() };
    caught(&format!("{rule:?} broken"), setup, expected);
}

/// A flaw of the deployment is found, as a violation of one of these.
pub(crate) fn caught_flaw(flaw: Flaw, expected: &[Invariant]) {
    caught(&format!("{flaw:?}"), Setup { flaw: Some(flaw), ..Setup::default() }, expected);
}

/// Somebody writes around the proxies: what cannot be undone then is stuck, not lost.
pub(crate) fn keeps_bypassing_writes(invariant: Invariant) {
    let mut stuck = 0;
    for seed in 0..SEEDS_WITH_BYPASS {
        let report = run(seed, Setup { bypassed: true, ..Setup::default() });
        let lost = report.violations.iter().find(|one| one.invariant == invariant);
        assert!(lost.is_none(), "seed {seed}: {lost:?}");
        stuck += report.violations.len();
    }
    assert!(stuck > 0, "nothing was stuck in {SEEDS_WITH_BYPASS} seeds");
}

/// A compensation that does not look before it writes is found.
pub(crate) fn caught_overwriting(expected: &[Invariant]) {
    let flaw = Some(Flaw::CompensationOverwrites);
    caught("CompensationOverwrites", Setup { flaw, bypassed: true, ..Setup::default() }, expected);
}

fn caught(what: &str, setup: Setup, expected: &[Invariant]) {
    let mut others = Vec::new();
    for seed in 0..SEEDS_FOR_A_BUG {
        let report = run(seed, setup);
        let Some(first) = report.violations.first() else { continue };
        if expected.contains(&first.invariant) {
            println!("{what}: {:?} by seed {seed}: {}", first.invariant, first.text);
            return;
        }
        others.push((seed, first.clone()));
    }
    panic!("{what} is not caught as {expected:?} in {SEEDS_FOR_A_BUG} seeds, but: {others:?}");
}

#[test]
fn the_runs_are_no_idle_ones() {
    let Results { counts, seeds, .. } = all();
    println!("{seeds} seeds: {counts:?}");
    assert!(counts.committed > 10 * seeds, "{counts:?}");
    assert!(counts.local > 10 * seeds, "{counts:?}");
    assert!(counts.undone > *seeds && counts.aborted > *seeds, "{counts:?}");
    assert!(counts.forgotten > *seeds && counts.fenced > *seeds / 4, "{counts:?}");
    assert!(counts.unknown > 0 && counts.swept > 0 && counts.refused_late > 0, "{counts:?}");
}

#[test]
fn a_seed_repeats_itself() {
    let log = || run(7, Setup { logging: true, ..Setup::default() }).log;
    assert!(log() == log(), "two runs of one seed differ");
}

#[test]
fn one_seed() {
    let seed = number("SHARDLINE_SIM_SEED");
    let setup = Setup { logging: seed.is_some(), ..Setup::default() };
    let report = run(seed.unwrap_or(0), setup);
    println!("{}", report.log.join("\n"));
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}
