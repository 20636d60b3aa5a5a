//! What could make a move fail, found before it begins: each finding says what, where, why and what to
//! do. Nothing is changed on any server but the tables of `_shardline`.

use crate::{
    error::{MoveError, Side},
    flow::{endpoint, read_tables},
    preflight::server::ServerFacts,
    session::{READING, Session},
    spec::{MoveSpec, TableSpec},
    state::Direction,
    table::Table,
    units::Membership,
};
use std::{fmt, sync::Arc};

mod schema;
mod server;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The move may begin, and may have to wait or be repeated.
    Warning,
    /// The move must not begin.
    Blocking,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its name, which stays the same: `primary_key`, `binlog_format` ...
    pub code: &'static str,
    /// Which server, table or key.
    pub place: String,
    /// What was found and why it matters.
    pub problem: String,
    /// What to do.
    pub advice: String,
}

impl Finding {
    fn blocking(
        code: &'static str,
        place: impl Into<String>,
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (place, problem, advice) = (place.into(), problem.into(), advice.into());
        Finding { severity: Severity::Blocking, code, place, problem, advice }
    }

    fn warning(self) -> Self {
        Finding { severity: Severity::Warning, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}; {}", self.place, self.code, self.problem, self.advice)
    }
}

/// Looks at both servers and at every table.
///
/// # Errors
/// A server cannot be asked. What is wrong with it is a finding, no error.
pub async fn preflight(spec: &MoveSpec) -> Result<Vec<Finding>, MoveError> {
    let units = Membership::new(spec);
    let mut source = Session::open(Side::Source, endpoint(spec, Side::Source), READING).await?;
    let mut target = Session::open(Side::Target, endpoint(spec, Side::Target), READING).await?;
    let facts = ServerFacts::read(&mut source, Side::Source).await?;
    let target_facts = ServerFacts::read(&mut target, Side::Target).await?;
    let mut findings = facts.findings(Side::Source);
    findings.extend(target_facts.findings(Side::Target));
    findings.extend(server::pair(&facts, &target_facts));
    for (session, side) in [(&mut source, Side::Source), (&mut target, Side::Target)] {
        findings.extend(server::privileges(session, side, spec).await?);
    }
    let mut known = Vec::new();
    for (number, table) in spec.tables.iter().enumerate() {
        match Table::read(&mut source, Side::Source, number, table, &units).await {
            Ok(table) => known.push(Arc::new(table)),
            Err(error @ MoveError::Row { .. }) => findings.push(Finding::blocking(
                "definition",
                format!("{} on the source", table.full_name()),
                error.to_string(),
                "change the table, or leave it out of the group",
            )),
            Err(error) => return Err(error),
        }
    }
    if known.len() == spec.tables.len() {
        for table in &known {
            let spec = &spec.tables[table.number];
            findings.extend(schema::table(table, spec));
            findings.extend(schema::equal(&mut source, &mut target, spec).await?);
            let group = if units.is_crossing() { &[][..] } else { &known[..] };
            findings.extend(schema::children(&mut source, spec, group).await?);
        }
        if findings.iter().all(|finding| finding.code != "schema") {
            if spec.carries(Direction::Forward) {
                findings.extend(rows_there(&mut target, spec, &units).await?);
            }
            findings.extend(server::disk(&mut source, &mut target, &known, &units).await?);
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

/// Rows of the units that are on the target already.
async fn rows_there(
    target: &mut Session,
    spec: &MoveSpec,
    units: &Membership,
) -> Result<Vec<Finding>, MoveError> {
    let mut findings = Vec::new();
    for table in read_tables(target, Side::Target, spec, units).await? {
        let sql = format!("SELECT 1 FROM {} WHERE {} LIMIT 1", table.sql_name, table.inside);
        if target.one("rows of the units", &sql).await?.rows.is_empty() {
            continue;
        }
        findings.push(Finding::blocking(
            "rows_on_target",
            format!("{} on the target", table.name),
            "it has rows of the units, which nobody has moved",
            format!("look at them (SELECT ... WHERE {}), and delete them there", table.inside),
        ));
    }
    Ok(findings)
}

fn full(table: &TableSpec, side: Side) -> String {
    format!("{} on the {side}", table.full_name())
}
