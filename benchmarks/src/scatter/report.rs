//! The figures as a Markdown table and as JSON.

use super::statement::Statement;
use anyhow::Result;
use std::{fmt::Write as _, time::Duration};

/// The name of the peer that others are held against.
const SPIDER: &str = "spider";
/// The name of ours.
const SHARDLINE: &str = "shardline";

/// The times of all statements.
pub(super) struct Report {
    peers: Vec<&'static str>,
    lines: Vec<Line>,
}

struct Line {
    name: &'static str,
    sql: &'static str,
    spider_share: Option<f64>,
    /// Medians in milliseconds, one for each peer; not a number for one that refuses.
    medians_ms: Vec<f64>,
    /// The fastest runs.
    best_ms: Vec<f64>,
}

impl Report {
    pub(super) fn new(peers: Vec<&'static str>) -> Self {
        Self { peers, lines: Vec::new() }
    }

    /// The times of one statement: a list for each peer.
    pub(super) fn add(&mut self, statement: &Statement, times: Vec<Vec<Duration>>) {
        let sorted = times.into_iter().map(|mut times| {
            times.sort_unstable();
            times
        });
        let (mut medians_ms, mut best_ms) = (Vec::new(), Vec::new());
        for times in sorted {
            let at =
                |index: usize| times.get(index).map_or(f64::NAN, |t| t.as_secs_f64() * 1_000.0);
            medians_ms.push(at(times.len() / 2));
            best_ms.push(at(0));
        }
        let Statement { name, sql, spider_share } = *statement;
        self.lines.push(Line { name, sql, spider_share, medians_ms, best_ms });
    }

    fn place(&self, peer: &str) -> Option<usize> {
        self.peers.iter().position(|name| *name == peer)
    }

    /// Shardline's median as a share of Spider's.
    fn share(&self, line: &Line) -> Option<f64> {
        let (ours, spider) = (self.place(SHARDLINE)?, self.place(SPIDER)?);
        let share = line.medians_ms[ours] / line.medians_ms[spider];
        share.is_finite().then_some(share)
    }

    /// A table of medians, with the best run in parentheses.
    pub(super) fn markdown(&self) -> String {
        let mut text =
            format!("| statement, ms | {} | of Spider's | allowed |\n", self.peers.join(" | "));
        text.push_str(&format!("|---|{}---|---|\n", "---|".repeat(self.peers.len())));
        for line in &self.lines {
            // Writing to a String cannot fail.
            let _ = write!(text, "| {} `{}` |", line.name, line.sql);
            for (median, best) in line.medians_ms.iter().zip(&line.best_ms) {
                let _ = match median.is_finite() {
                    true => write!(text, " {median:.1} ({best:.1}) |"),
                    false => write!(text, " refused |"),
                };
            }
            let shown = |share: Option<f64>| share.map_or("-".to_owned(), |s| format!("{s:.2}"));
            let _ = writeln!(text, " {} | {} |", shown(self.share(line)), shown(line.spider_share));
        }
        text
    }

    /// The same figures for programs.
    pub(super) fn json(&self) -> Result<String> {
        let lines: Vec<serde_json::Value> = self
            .lines
            .iter()
            .map(|line| {
                serde_json::json!({
                    "statement": line.name,
                    "sql": line.sql,
                    "peers": self.peers,
                    "medians_ms": line.medians_ms,
                    "best_ms": line.best_ms,
                    "share_of_spider": self.share(line),
                    "share_allowed": line.spider_share,
                })
            })
            .collect();
        Ok(serde_json::to_string_pretty(&lines)?)
    }
}
