//! How things look on a terminal: tables, sizes, plans, jobs.

use super::{arguments::Output, job::print_json};
use crate::{exit::Failure, operations::JobView};
use comfy_table::{Table, presets};
use shardline_rebalancer::plan::RebalancePlan;

/// How many moves a table shows.
const MOVES_SHOWN: usize = 50;

/// An empty table without lines.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// Bytes for people.
pub(super) fn bytes(number: u64) -> String {
    let units =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let unit = units.iter().find(|(size, _)| number >= *size);
    match unit {
        Some((size, name)) => format!("{:.1} {name}", number as f64 / *size as f64),
        None => format!("{number} B"),
    }
}

/// A count for people.
pub(super) fn count(number: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")];
    match units.iter().find(|(size, _)| number >= *size) {
        Some((1_000_000_000, name)) => format!("{:.1}{name}", number as f64 / 1e9),
        Some((1_000_000, name)) => format!("{:.1}{name}", number as f64 / 1e6),
        Some((_, name)) => format!("{:.1}{name}", number as f64 / 1e3),
        None => number.to_string(),
    }
}

/// A time for people.
pub(super) fn seconds(number: u64) -> String {
    match number {
        0..=99 => format!("{number} s"),
        100..=5_999 => format!("{} min", number.div_ceil(60)),
        _ => format!("{:.1} h", number as f64 / 3_600.0),
    }
}

/// A plan.
pub(super) fn plan(plan: &RebalancePlan, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => return print_json(plan),
        Output::Table => {}
    }
    if plan.moves.is_empty() {
        println!("Nothing to move: {}", plan.goal);
        return Ok(());
    }
    let mut table = table(&["TABLES", "WHAT", "FROM", "TO", "ROWS", "SIZE"]);
    for one in plan.moves.iter().take(MOVES_SHOWN) {
        table.add_row([
            one.tables.join(" "),
            one.what.clone(),
            one.from_name.clone(),
            one.to_name.clone(),
            count(one.rows),
            bytes(one.bytes),
        ]);
    }
    println!("{}\n{table}", plan.goal);
    if plan.moves.len() > MOVES_SHOWN {
        println!("... and {} more moves", plan.moves.len() - MOVES_SHOWN);
    }
    println!(
        "\n{} moves · about {} rows · {} · about {:.0} min · reversible until finish · made for catalog {}",
        plan.moves.len(),
        count(plan.rows),
        bytes(plan.bytes),
        plan.minutes.ceil(),
        plan.epoch
    );
    for note in &plan.notes {
        println!("note: {note}");
    }
    Ok(())
}

/// All there is to say about a job.
pub(super) fn job(job: &JobView) {
    println!("Job {} · {} · {} · wanted: {}", job.id, job.summary, job.phase, job.wish);
    println!("  {}", progress(job));
    let lag = job.lag_ms.map_or_else(|| "-".to_owned(), |lag| format!("{lag} ms"));
    let pause = job.pause_ms.map_or_else(|| "-".to_owned(), |pause| format!("{pause} ms"));
    println!(
        "  lag {lag} (gate {} ms) · longest pause {pause} · {} attempts given up",
        job.lag_gate_ms, job.attempts
    );
    let limit = job.max_mbps.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit} MB/s"));
    let window = job.window.as_deref().unwrap_or("always");
    println!(
        "  throttle {limit} · window {window} · driver {}",
        job.driver.as_deref().unwrap_or("-")
    );
    if !job.moves.is_empty() {
        let mut table = table(&["MOVE", "WHAT", "FROM", "TO", "STATE", "ROWS", "WAITS FOR"]);
        for one in job.moves.iter().take(MOVES_SHOWN) {
            let rows = one.rows_estimated.map_or_else(|| "?".to_owned(), count);
            table.add_row([
                one.id.to_string(),
                format!("{}: {}", one.tables.first().map_or("", String::as_str), one.what),
                one.from.clone(),
                one.to.clone(),
                one.state.clone(),
                format!("{} of {rows}", count(one.rows_copied)),
                one.waits_for.clone(),
            ]);
        }
        println!("{table}");
    }
    println!("  last error: {}", job.last_error.as_deref().unwrap_or("none"));
    if !job.waits_for.is_empty() {
        println!("  waits for: {}", job.waits_for);
    }
    if !job.next_steps.is_empty() {
        println!("  next: {}", job.next_steps.join(" · "));
    }
}

/// How far a job is, in one line.
pub(super) fn progress(job: &JobView) -> String {
    let rows = job.rows_estimated.map_or_else(|| "?".to_owned(), count);
    let mut line = format!(
        "{} {:.0} % · {} of {rows} rows · {}",
        job.phase,
        job.percent,
        count(job.rows_copied),
        bytes(job.bytes_copied)
    );
    if job.bytes_per_second >= 1.0 {
        line.push_str(&format!(" · {}/s", bytes(job.bytes_per_second as u64)));
    }
    if let Some(eta) = job.eta_s.filter(|eta| *eta > 0) {
        line.push_str(&format!(" · {} left", seconds(eta)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(38_400_000_000), "38.4 GB");
        assert_eq!((count(9_999), count(81_200_000)), ("9999".into(), "81.2M".into()));
        assert_eq!((seconds(42), seconds(600)), ("42 s".into(), "10 min".into()));
    }
}
