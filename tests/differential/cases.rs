//! Hand-written cases: files of statements that run in order on both sides.
//!
//! A statement ends with `;` at the end of a line. A line that starts with `#!` says how the
//! next statement is compared: `unordered` (rows in any order), `loose` (flags and warnings
//! may differ), `error N` (both give this error), `refused` (the proxy may refuse it),
//! `shape` (only columns and the number of rows), `cluster` (only on the cluster),
//! `plain` (only on the plain server), `session` (new sessions from here on), `loosely`
//! (`loose` to the end of the file).

use crate::{
    answer::{self, Statement},
    compare::Verdict,
    pair::{Bench, Pair, Seen},
};
use anyhow::{Context, Result, ensure};

/// The files.
const FILES: &[(&str, &str)] = &[
    ("select", include_str!("cases/select.sql")),
    ("text", include_str!("cases/text.sql")),
    ("distinct", include_str!("cases/distinct.sql")),
    ("keys", include_str!("cases/keys.sql")),
    ("numbers", include_str!("cases/numbers.sql")),
    ("write", include_str!("cases/write.sql")),
    ("across", include_str!("cases/across.sql")),
    ("session", include_str!("cases/session.sql")),
    ("compute", include_str!("cases/compute.sql")),
    ("errors", include_str!("cases/errors.sql")),
];

/// How a statement is compared.
#[derive(Clone, Debug, Default)]
struct Mode {
    unordered: bool,
    loose: bool,
    refused: bool,
    shape: bool,
    only: Option<Side>,
    error: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Cluster,
    Plain,
}

/// Runs all files, as text and, where it can be, prepared.
pub(crate) async fn run(bench: &Bench) -> Result<Seen> {
    let mut seen = Seen::default();
    for (name, text) in FILES {
        let mut pair = bench.pair().await?;
        let (mut mode, mut sql, mut loosely) = (Mode::default(), String::new(), false);
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(words) = line.strip_prefix("#!") {
                if words.trim() == "loosely" {
                    loosely = true;
                    continue;
                }
                if words.trim() == "session" {
                    seen.add(std::mem::replace(&mut pair, bench.pair().await?).close().await?);
                    continue;
                }
                mode = mode.with(words).with_context(|| format!("{name}.sql:{number}"))?;
                continue;
            }
            if sql.is_empty() && (line.trim().is_empty() || line.starts_with("-- ")) {
                continue;
            }
            sql += line;
            match sql.strip_suffix(';') {
                Some(text) => {
                    let label = format!("{name}.sql:{number}");
                    let mut mode = std::mem::take(&mut mode);
                    mode.loose |= loosely;
                    one(&mut pair, &label, text, &mode).await?;
                    sql.clear();
                }
                None => sql.push('\n'),
            }
        }
        ensure!(sql.is_empty(), "{name}.sql ends inside a statement");
        seen.add(pair.close().await?);
    }
    Ok(seen)
}

impl Mode {
    fn with(mut self, words: &str) -> Result<Self> {
        let mut words = words.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "unordered" => self.unordered = true,
                "loose" => self.loose = true,
                "refused" => self.refused = true,
                "shape" => self.shape = true,
                "cluster" => self.only = Some(Side::Cluster),
                "plain" => self.only = Some(Side::Plain),
                "error" => self.error = Some(words.next().context("a number")?.parse()?),
                other => anyhow::bail!("unknown word {other}"),
            }
        }
        Ok(self)
    }
}

async fn one(pair: &mut Pair, label: &str, sql: &str, mode: &Mode) -> Result<()> {
    let text = Statement { ordered: !mode.unordered, strict: !mode.loose, ..Statement::text(sql) };
    if let Some(side) = mode.only {
        let conn = if side == Side::Plain { &mut pair.plain } else { &mut pair.sharded };
        let answer = answer::run(conn, &text).await?;
        ensure!(answer.error.is_none(), "{label}: {sql}: {:?}", answer.error);
        return Ok(());
    }
    let read = sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"));
    let prepared =
        read && !mode.shape && sql.is_ascii() && !sql.contains("_ROW") && !sql.contains(';');
    let prepared = prepared.then(|| Statement { params: Some(Vec::new()), ..text.clone() });
    for (how, statement) in [("", Some(text)), (" prepared", prepared)] {
        let Some(statement) = statement else { continue };
        let label = format!("{label}{how}");
        let (refusals, differences) = (pair.seen.refusals.len(), pair.seen.differences.len());
        let (plain, verdict) = pair.check_with(&label, &statement, mode.shape).await?;
        match verdict {
            Verdict::Refused(_) if mode.refused => pair.seen.refusals.truncate(refusals),
            _ if mode.error.is_some() && plain.error.as_ref().map(|e| e.code) != mode.error => {
                pair.seen.differences.truncate(differences);
                let text = format!("{label}: {sql}: not the error of the case: {:?}", plain.error);
                pair.seen.differences.push(text);
            }
            _ if mode.error.is_none() && plain.error.is_some() => {
                pair.seen.differences.push(format!("{label}: {sql}: {:?}", plain.error));
            }
            Verdict::Refused(_) | Verdict::Same | Verdict::Different(_) => {}
        }
    }
    Ok(())
}
