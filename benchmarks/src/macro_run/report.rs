//! The results as a Markdown page.

use super::{
    results::{Cell, Figure, Results},
    workload::WORKLOADS,
};
use std::fmt::Write as _;

const HEAD: &str = "\
| clients | target | transactions/s | queries/s | of direct | of HAProxy | p50 us | p95 us | p99 us \
| proxy us/query | of relay | of HAProxy | servers us/query | client us/query | proxy MiB |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// The page.
pub fn markdown(results: &Results) -> String {
    let mut page = format!(
        "# Beside the peers\n\nThe same sysbench scripts against every target, in turns, on one machine with client,\n\
         proxy and servers: {}.\n\n\
         Each figure is the median of {} runs of {} s (after 1 s of warming up) on tables of {} rows;\n\
         ratios are medians over the turns. Processor time is user and system, from `/proc/PID/stat`,\n\
         per query of the same seconds. Latencies are of whole transactions. `relay` is a TCP relay that\n\
         does nothing else: the floor. Servers run with `innodb_flush_log_at_trx_commit=2` and\n\
         `sync_binlog=0`. `make bench` makes this page.\n",
        results.machine.sentence(),
        results.repetitions,
        results.seconds,
        results.table_rows,
    );
    let cells = results.cells();
    let mut workloads: Vec<&str> = cells.iter().map(|cell| cell.workload).collect();
    workloads.dedup();
    for name in workloads {
        let what = WORKLOADS.iter().find(|workload| workload.name == name);
        let what = what.map_or("", |workload| workload.what);
        // Writing to a String cannot fail, here and below.
        let _ = write!(page, "\n## {name}\n\n{what}\n\n{HEAD}");
        for cell in cells.iter().filter(|cell| cell.workload == name) {
            row(&mut page, results, *cell);
        }
        refusals(&mut page, results, name, &cells);
    }
    page
}

fn row(page: &mut String, results: &Results, cell: Cell<'_>) {
    let Cell { clients, target, .. } = cell;
    if results.refusal(cell).is_some() {
        let _ = writeln!(page, "| {clients} | {target} | refused{}", " |".repeat(13));
        return;
    }
    let shown = |figure: Figure, digits: usize| number(results.median(cell, figure), digits);
    let ratio = |to: &str, figure: Figure| number(results.ratio(cell, cell.on(to), figure), 2);
    let columns = [
        clients.to_string(),
        target.to_owned(),
        shown(|sample| Some(sample.tps), 0),
        shown(|sample| Some(sample.qps), 0),
        ratio("direct", |sample| Some(sample.qps)),
        ratio("haproxy", |sample| Some(sample.qps)),
        shown(|sample| Some(sample.p50_us), 0),
        shown(|sample| Some(sample.p95_us), 0),
        shown(|sample| Some(sample.p99_us), 0),
        shown(|sample| sample.proxy_us, 1),
        ratio("relay", |sample| sample.proxy_us),
        ratio("haproxy", |sample| sample.proxy_us),
        shown(|sample| Some(sample.servers_us), 1),
        shown(|sample| Some(sample.client_us), 1),
        shown(|sample| sample.proxy_kib.map(|kib| kib as f64 / 1_024.0), 0),
    ];
    let _ = writeln!(page, "| {} |", columns.join(" | "));
}

/// What was refused, once for each text.
fn refusals(page: &mut String, results: &Results, workload: &str, cells: &[Cell<'_>]) {
    let mut told: Vec<(&str, &str)> = Vec::new();
    for cell in cells.iter().filter(|cell| cell.workload == workload) {
        let Some(text) = results.refusal(*cell) else { continue };
        if told.iter().all(|(target, _)| *target != cell.target) {
            told.push((cell.target, text));
        }
    }
    for (target, text) in told {
        let _ = writeln!(page, "\n{target} refuses: `{}`", text.replace('`', "'"));
    }
}

/// A number with so many digits behind the point; `-` for none.
fn number(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) if digits == 0 => grouped(value),
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    }
}

/// A whole number with commas between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::results::tests::results, *};

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(999.6), "1,000");
        assert_eq!(grouped(28_903.2), "28,903");
        assert_eq!(grouped(12.0), "12");
    }

    #[test]
    fn each_cell_is_a_row() {
        let page = markdown(&results(&[
            ("direct", &[(40_000.0, 0.0)]),
            ("relay", &[(30_000.0, 16.0)]),
            ("shardline-1", &[(24_000.0, 20.0)]),
        ]));
        assert!(
            page.contains("| 8 | shardline-1 | 24,000 | 24,000 | 0.60 | - | 100 | 200 | 300 | 20.0 | 1.25 | - | 30.0 | 15.0 | 4 |"),
            "{page}"
        );
    }
}
