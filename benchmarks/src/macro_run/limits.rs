//! What the results must hold: `--check`.

use super::{
    results::{Cell, Figure, Results},
    sysbench::Sample,
};

/// One line of the check.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What is asked.
    pub what: String,
    /// The figure; none when it was not measured.
    pub found: Option<f64>,
    /// The limit.
    pub limit: Limit,
}

/// How a figure is limited.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// It must not be more.
    AtMost(f64),
    /// It must not be less.
    AtLeast(f64),
}

impl Line {
    /// Whether it holds; none when it was not measured.
    pub fn holds(&self) -> Option<bool> {
        self.found.map(|found| match self.limit {
            Limit::AtMost(limit) => found <= limit,
            Limit::AtLeast(limit) => found >= limit,
        })
    }

    /// The line as text.
    pub fn text(&self) -> String {
        let verdict = match self.holds() {
            Some(true) => "pass",
            Some(false) => "FAIL",
            None => "not measured",
        };
        let limit = match self.limit {
            Limit::AtMost(limit) => format!("at most {limit:.2}"),
            Limit::AtLeast(limit) => format!("at least {limit:.2}"),
        };
        match self.found {
            Some(found) => format!("{verdict}: {} is {found:.3}, {limit}", self.what),
            None => format!("{verdict}: {}, {limit}", self.what),
        }
    }
}

/// Workloads that decide, and the clients with which they do.
const WORKLOADS: [&str; 4] = ["point-text", "point-prepared", "rw-text", "rw-prepared"];
const CLIENTS: [u32; 2] = [8, 64];

fn throughput(sample: &Sample) -> Option<f64> {
    Some(sample.qps)
}

fn processor(sample: &Sample) -> Option<f64> {
    sample.proxy_us
}

fn latency(sample: &Sample) -> Option<f64> {
    Some(sample.p50_us)
}

/// Holds the results against all limits.
pub fn check(results: &Results) -> Vec<Line> {
    let mut lines = Vec::new();
    for workload in WORKLOADS {
        for clients in CLIENTS {
            of_hot_path(&mut lines, results, workload, clients);
        }
        of_latency(&mut lines, results, workload);
    }
    // Read/write transactions of one shard key are the ones that Spider and Shardline can be
    // compared by on three servers, whatever becomes of transactions over several.
    for workload in ["keyed-rw-text", "keyed-rw-prepared"] {
        of_shards(&mut lines, results, workload, 64);
    }
    let scatter = [
        ("scatter-count", 1.1),
        ("scatter-group", 1.1),
        ("scatter-order", 1.1),
        ("scatter-average", 1.0 / 3.0),
    ];
    for (workload, limit) in scatter {
        let pair = ("shardline-3", "spider-3");
        let what = "median latency of Spider's";
        lines.push(line(results, (workload, 1), pair, (what, latency), Limit::AtMost(limit)));
    }
    lines
}

fn of_hot_path(lines: &mut Vec<Line>, results: &Results, workload: &str, clients: u32) {
    let place = (workload, clients);
    let cpu = ("processor time per query", processor as Figure);
    let rate = ("throughput", throughput as Figure);
    let one = |to| ("shardline-1", to);
    lines.push(line(results, place, one("relay"), cpu, Limit::AtMost(1.25)));
    lines.push(line(results, place, one("haproxy"), cpu, Limit::AtMost(1.15)));
    lines.push(line(results, place, one("haproxy"), rate, Limit::AtLeast(0.94)));
    if results.records.iter().any(|record| record.target == "proxysql") {
        lines.push(line(results, place, one("proxysql"), cpu, Limit::AtMost(0.8)));
    }
    of_shards(lines, results, workload, clients);
}

fn of_shards(lines: &mut Vec<Line>, results: &Results, workload: &str, clients: u32) {
    let place = (workload, clients);
    let rate = ("throughput", throughput as Figure);
    let cpu = ("processor time per query", processor as Figure);
    let three = |to| ("shardline-3", to);
    lines.push(line(results, place, three("shardline-1"), rate, Limit::AtLeast(0.95)));
    lines.push(line(results, place, three("spider-3"), cpu, Limit::AtMost(0.3)));
}

/// The latency that Shardline adds with one client, in microseconds.
fn of_latency(lines: &mut Vec<Line>, results: &Results, workload: &str) {
    if !workload.starts_with("point") {
        return;
    }
    let cell = Cell { workload, clients: 1, target: "shardline-1" };
    let here = results.median(cell, latency);
    let direct = results.median(cell.on("direct"), latency);
    let found = here.zip(direct).map(|(here, direct)| here - direct);
    let what = format!("{workload}, 1 client: microseconds that shardline-1 adds to the median");
    lines.push(Line { what, found, limit: Limit::AtMost(30.0) });
}

fn line(
    results: &Results,
    (workload, clients): (&str, u32),
    (target, to): (&str, &str),
    (what, figure): (&str, Figure),
    limit: Limit,
) -> Line {
    let cell = Cell { workload, clients, target };
    let found = results.ratio(cell, cell.on(to), figure);
    let what = format!("{workload}, {clients} clients: {target}'s {what} as part of {to}'s");
    Line { what, found, limit }
}

#[cfg(test)]
mod tests {
    use super::{super::results::tests::results, *};

    #[test]
    fn a_limit_is_held_or_not() {
        let found = results(&[
            ("relay", &[(30_000.0, 16.0)]),
            ("haproxy", &[(25_000.0, 22.0)]),
            ("shardline-1", &[(24_000.0, 24.0)]),
        ]);
        let lines = check(&found);
        let of = |part: &str| {
            let found = lines.iter().find(|line| line.what.contains(part));
            found.unwrap_or_else(|| panic!("no line {part}"))
        };
        let relay =
            of("point-text, 8 clients: shardline-1's processor time per query as part of relay");
        assert_eq!((relay.found, relay.holds()), (Some(1.5), Some(false)));
        let rate = of("point-text, 8 clients: shardline-1's throughput as part of haproxy");
        assert_eq!((rate.found, rate.holds()), (Some(0.96), Some(true)));
        assert_eq!(of("point-text, 64").holds(), None);
    }
}
