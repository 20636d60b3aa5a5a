//! `shardline audit`: what was done, and whether the log of it is whole.

use super::{
    access::{escaped, shown},
    access_arguments::{AuditListArguments, AuditVerb, AuditVerifyArguments},
    job::moment,
    shard::client,
    show::table,
};
use crate::{
    api::{
        handlers::audit::{AuditVerdict, AuditView},
        secret::hex,
    },
    exit::{Failure, Reason},
    operations::view::Listing,
};
use shardline_model::{access::AuditLine, audit};
use std::{collections::BTreeMap, path::Path};

/// Runs one verb.
pub(super) async fn run(verb: &AuditVerb) -> Result<(), Failure> {
    match verb {
        AuditVerb::List(arguments) => list(arguments).await,
        AuditVerb::Verify(arguments) => verify(arguments).await,
    }
}

async fn list(arguments: &AuditListArguments) -> Result<(), Failure> {
    let mut path = format!("/api/v1/audit?limit={}", arguments.limit);
    for (name, value) in [("user", &arguments.user), ("operation", &arguments.operation)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", escaped(value)));
        }
    }
    let all: Listing<AuditView> = client(&arguments.api)?.get(&path).await?;
    shown(&all, arguments.api.output, || {
        let mut table = table(&["SEQ", "WHEN", "WHO", "FROM", "WHAT", "TO WHAT", "", "DETAIL"]);
        for line in &all.items {
            table.add_row([
                line.seq.to_string(),
                moment(line.unix_s),
                format!("{} ({})", line.user, line.via),
                line.source.clone(),
                line.operation.clone(),
                line.target.clone(),
                line.phase.clone(),
                line.detail.chars().take(60).collect(),
            ]);
        }
        table.to_string()
    })
}

async fn verify(arguments: &AuditVerifyArguments) -> Result<(), Failure> {
    let verdict = match &arguments.file {
        Some(path) => of_file(path)?,
        None => client(&arguments.api)?.get::<AuditVerdict>("/api/v1/audit:verify").await?,
    };
    let AuditVerdict { entries, first_seq, last_seq, head, .. } = &verdict;
    shown(&verdict, arguments.api.output, || match verdict.broken_at {
        None => format!(
            "✓ {entries} lines, {first_seq} to {last_seq}, are whole; the newest hash is {head}"
        ),
        Some(seq) => {
            format!("✗ line {seq} is not what was written, or lines before it are missing")
        }
    })?;
    match verdict.broken_at {
        None => Ok(()),
        Some(seq) => Err(Failure::new(Reason::Findings, format!("line {seq} is wrong"))),
    }
}

/// Lines that were printed. The first one is believed: what stood before it is not there.
fn of_file(path: &Path) -> Result<AuditVerdict, Failure> {
    let wrong = |error: String| {
        Failure::new(Reason::Usage, format!("cannot understand {}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut lines: BTreeMap<u64, AuditLine> = BTreeMap::new();
    let prints = serde_json::Deserializer::from_str(&text).into_iter::<Listing<AuditView>>();
    for print in prints {
        for view in print.map_err(|error| wrong(error.to_string()))?.items {
            let line = view.line().ok_or_else(|| wrong(format!("line {}", view.seq)))?;
            // A line that is there twice with different words is wrong in one of them.
            if lines.get(&line.seq).is_some_and(|known| *known != line) {
                return Ok(verdict(&lines, Some(line.seq)));
            }
            lines.insert(line.seq, line);
        }
    }
    let Some(first) = lines.values().next().cloned() else {
        return Err(wrong("it has no lines".to_owned()));
    };
    let begins = first.seq == 1;
    let before = if begins { [0; 32] } else { first.hash };
    let rest = lines.values().skip(usize::from(!begins));
    let checked = audit::verify(before, first.seq + u64::from(!begins), rest);
    Ok(verdict(&lines, checked.err()))
}

fn verdict(lines: &BTreeMap<u64, AuditLine>, broken_at: Option<u64>) -> AuditVerdict {
    let last = lines.values().next_back();
    AuditVerdict {
        intact: broken_at.is_none(),
        entries: lines.len() as u64,
        first_seq: lines.keys().next().copied().unwrap_or_default(),
        last_seq: last.map_or(0, |line| line.seq),
        head: last.map_or_else(String::new, |line| hex(&line.hash)),
        broken_at,
    }
}
