//! The figures as a Markdown table and as JSON.

use super::work::Case;
use crate::macro_run::machine::Machine;
use anyhow::{Context, Result};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write, fs, path::Path, time::Duration};

/// A transfer between two shards may take so many times one on one shard.
const TWO_SHARDS_MAX: f64 = 1.6;
/// Single writes keep this share of their rate with the guard on.
const GUARDED_MIN: f64 = 0.85;

/// The figures of all turns.
pub(super) struct Report {
    clients: usize,
    turns: BTreeMap<Case, Vec<Turn>>,
}

struct Turn {
    rate: f64,
    p50_us: f64,
    p95_us: f64,
}

/// The medians of a case's turns.
#[derive(Serialize)]
struct Line {
    case: &'static str,
    per_second: f64,
    p50_us: f64,
    p95_us: f64,
}

#[derive(Serialize)]
struct Document<'a> {
    machine: &'a Machine,
    clients: usize,
    cases: Vec<Line>,
    two_shards_of_one_shard_p50: f64,
    two_shards_of_xa_p50: f64,
    guard_on_of_off_rate: f64,
}

impl Report {
    pub(super) fn new(clients: usize) -> Self {
        Self { clients, turns: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, case: Case, time: Duration, mut latencies: Vec<Duration>) {
        latencies.sort_unstable();
        let at = |part: usize| {
            let index = (latencies.len() * part / 100).min(latencies.len().saturating_sub(1));
            latencies.get(index).map_or(f64::NAN, |taken| taken.as_secs_f64() * 1e6)
        };
        let rate = latencies.len() as f64 / time.as_secs_f64();
        let turn = Turn { rate, p50_us: at(50), p95_us: at(95) };
        self.turns.entry(case).or_default().push(turn);
    }

    fn line(&self, case: Case) -> Line {
        let turns = self.turns.get(&case).map(Vec::as_slice).unwrap_or_default();
        let of = |figure: fn(&Turn) -> f64| median(turns.iter().map(figure).collect());
        Line {
            case: case.name(),
            per_second: of(|turn| turn.rate),
            p50_us: of(|turn| turn.p50_us),
            p95_us: of(|turn| turn.p95_us),
        }
    }

    fn document<'a>(&self, machine: &'a Machine) -> Document<'a> {
        let p50 = |case| self.line(case).p50_us;
        Document {
            machine,
            clients: self.clients,
            cases: Case::ALL.iter().map(|case| self.line(*case)).collect(),
            two_shards_of_one_shard_p50: p50(Case::TwoShards) / p50(Case::OneShard),
            two_shards_of_xa_p50: p50(Case::TwoShards) / p50(Case::Xa),
            guard_on_of_off_rate: self.line(Case::GuardOn).per_second
                / self.line(Case::GuardOff).per_second,
        }
    }

    pub(super) fn markdown(&self) -> Result<String> {
        let machine = Machine::ask()?;
        let document = self.document(&machine);
        let mut text = format!(
            "# Transactions over several shards\n\nOne machine has clients, proxy and servers: {}.\n\n\
             {} clients; medians over the turns.\n\n\
             | case | per second | p50, ms | p95, ms |\n|---|---|---|---|\n",
            machine.sentence(),
            self.clients
        );
        for Line { case, per_second, p50_us, p95_us } in &document.cases {
            let (p50, p95) = (p50_us / 1_000.0, p95_us / 1_000.0);
            writeln!(text, "| {case} | {per_second:.0} | {p50:.2} | {p95:.2} |")?;
        }
        writeln!(
            text,
            "\n| ratio | measured | aim |\n|---|---|---|\n\
             | two shards to one, p50 | {:.2} | at most {TWO_SHARDS_MAX} |\n\
             | two shards to XA, p50 | {:.2} | - |\n\
             | single writes, guard on to off, rate | {:.2} | at least {GUARDED_MIN} |",
            document.two_shards_of_one_shard_p50,
            document.two_shards_of_xa_p50,
            document.guard_on_of_off_rate
        )?;
        Ok(text)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).context("making the folder of results")?;
        let machine = Machine::ask()?;
        let json = serde_json::to_string_pretty(&self.document(&machine))? + "\n";
        for (name, text) in [("transactions.json", json), ("transactions.md", self.markdown()?)] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
