//! Everything that was measured, run by run, and what follows from it: medians, and ratios
//! between runs of the same turn.

use super::{
    machine::Machine,
    sysbench::{Outcome, Sample},
};
use serde::{Deserialize, Serialize};

/// All runs of one measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// Where it was measured.
    pub machine: Machine,
    /// Length of one run, in seconds.
    pub seconds: u64,
    /// Runs of each cell.
    pub repetitions: u32,
    /// Rows of a table.
    pub table_rows: u32,
    /// The runs, in the order in which they were made.
    pub records: Vec<Record>,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The workload's name.
    pub workload: String,
    /// Clients at once.
    pub clients: u32,
    /// The target's name.
    pub target: String,
    /// Which turn it was, from 0.
    pub turn: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// Which runs: a workload, a number of clients, a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The workload's name.
    pub workload: &'a str,
    /// Clients at once.
    pub clients: u32,
    /// The target's name.
    pub target: &'a str,
}

/// One figure of a run.
pub type Figure = fn(&Sample) -> Option<f64>;

impl Cell<'_> {
    /// The same workload and clients on another target.
    pub fn on<'a>(&'a self, target: &'a str) -> Cell<'a> {
        Cell { target, ..*self }
    }
}

impl Results {
    /// The cells that there are, in the order in which they were measured.
    pub fn cells(&self) -> Vec<Cell<'_>> {
        let mut cells = Vec::new();
        for record in &self.records {
            let cell = Cell {
                workload: &record.workload,
                clients: record.clients,
                target: &record.target,
            };
            if !cells.contains(&cell) {
                cells.push(cell);
            }
        }
        cells
    }

    fn runs<'a>(&'a self, cell: Cell<'a>) -> impl Iterator<Item = (u32, &'a Outcome)> {
        let of_cell = move |record: &&Record| {
            record.workload == cell.workload
                && record.clients == cell.clients
                && record.target == cell.target
        };
        self.records.iter().filter(of_cell).map(|record| (record.turn, &record.outcome))
    }

    /// A figure of a cell in each turn.
    fn turns(&self, cell: Cell<'_>, figure: Figure) -> Vec<(u32, f64)> {
        let value = |(turn, outcome): (u32, &Outcome)| match outcome {
            Outcome::Measured(sample) => Some((turn, figure(sample)?)),
            Outcome::Refused(_) => None,
        };
        self.runs(cell).filter_map(value).collect()
    }

    /// Why a cell was refused, if it was.
    pub fn refusal<'a>(&'a self, cell: Cell<'a>) -> Option<&'a str> {
        self.runs(cell).find_map(|(_, outcome)| match outcome {
            Outcome::Refused(text) => Some(text.as_str()),
            Outcome::Measured(_) => None,
        })
    }

    /// The median of a figure over a cell's runs.
    pub fn median(&self, cell: Cell<'_>, figure: Figure) -> Option<f64> {
        median(self.turns(cell, figure).into_iter().map(|(_, value)| value).collect())
    }

    /// The median, over the turns, of a figure's ratio between two cells.
    pub fn ratio(&self, cell: Cell<'_>, to: Cell<'_>, figure: Figure) -> Option<f64> {
        let others = self.turns(to, figure);
        let ratios = self.turns(cell, figure).into_iter().filter_map(|(turn, value)| {
            let (_, other) = others.iter().find(|(other, _)| *other == turn)?;
            (*other > 0.0).then(|| value / other)
        });
        median(ratios.collect())
    }
}

/// The middle of some values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Results with one workload: each target's queries per second and processor time, turn
    /// by turn.
    pub(crate) fn results(targets: &[(&str, &[(f64, f64)])]) -> Results {
        let mut records = Vec::new();
        for (target, turns) in targets {
            for (turn, (qps, proxy)) in (0..).zip(*turns) {
                let sample = Sample {
                    tps: *qps,
                    qps: *qps,
                    p50_us: 100.0,
                    p95_us: 200.0,
                    p99_us: 300.0,
                    proxy_us: Some(*proxy),
                    servers_us: 30.0,
                    client_us: 15.0,
                    proxy_kib: Some(4096),
                    errors: 0.0,
                };
                records.push(Record {
                    workload: "point-text".to_owned(),
                    clients: 8,
                    target: (*target).to_owned(),
                    turn,
                    outcome: Outcome::Measured(sample),
                });
            }
        }
        let machine = Machine {
            processor: "P".into(),
            processors: 2,
            memory_mib: 1,
            kernel: "6".into(),
            server: "10".into(),
            sysbench: "1".into(),
            haproxy: None,
            revision: None,
        };
        Results { machine, seconds: 3, repetitions: 3, table_rows: 10, records }
    }

    #[test]
    fn ratios_are_between_runs_of_one_turn() {
        let found = results(&[
            ("a", &[(10.0, 2.0), (30.0, 2.0), (50.0, 2.0)]),
            ("b", &[(20.0, 1.0), (30.0, 1.0), (100.0, 4.0)]),
        ]);
        let cells = found.cells();
        assert_eq!(cells.len(), 2);
        assert_eq!(found.median(cells[1], |sample| Some(sample.qps)), Some(30.0));
        assert_eq!(found.ratio(cells[0], cells[0].on("b"), |sample| Some(sample.qps)), Some(0.5));
        assert_eq!(found.ratio(cells[0], cells[0].on("b"), |sample| sample.proxy_us), Some(2.0));
        assert_eq!(found.ratio(cells[0], cells[0].on("c"), |sample| sample.proxy_us), None);
    }

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![5.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
