//! Golden tests (`testdata/planner_*.case`) and properties of the planner. A case is
//! lines that start with `> ` (the statement), then the plan up to an empty line. A line
//! `! option=value` before it sets `mode`, `database`, `params`, `shards` or `explicit`
//! for that case. `UPDATE_EXPECT=1` rewrites the files.

pub(crate) mod catalog;
mod moves;
mod properties;

use crate::{
    digest::Digest,
    lexer::{Lexer, SqlMode},
    plan::{Plan, Refusal},
    planner,
    template::{BindError, BindInput, SessionValues, Waits},
    touch::Touches,
    view::SessionView,
};
use shardline_model::{catalog::Catalog, key::Literal};
use std::{fmt::Write, path::Path};

pub(crate) struct Case {
    pub(crate) mode: SqlMode,
    pub(crate) database: Option<String>,
    pub(crate) params: Option<String>,
    pub(crate) shards: u32,
    pub(crate) explicit: bool,
    /// Moves, as `planner/tests/moves.rs` reads them.
    pub(crate) moves: Vec<String>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            mode: SqlMode::default(),
            database: Some("bank".into()),
            params: None,
            shards: 3,
            explicit: false,
            moves: Vec::new(),
        }
    }
}

pub(crate) fn session() -> SessionValues {
    SessionValues {
        connection_id: 77,
        last_insert_id: 41,
        user: "ann@10.0.0.1".into(),
        current_user: "ann@%".into(),
        socket: "/run/s.sock".into(),
        port: 4306,
        found_rows: 3,
        row_count: -1,
        read_consistency: "local",
        select_limit: None,
    }
}

/// Plans and binds, giving out ids from 1001 when they are asked for.
pub(crate) fn plan(case: &Case, catalog: &Catalog, sql: &[u8]) -> Result<Plan, Refusal> {
    planned(case, catalog, sql).map(|(plan, _)| plan)
}

/// The same, with what it touches.
pub(crate) fn planned(
    case: &Case,
    catalog: &Catalog,
    sql: &[u8],
) -> Result<(Plan, Touches), Refusal> {
    waiting(case, catalog, sql).map(|(plan, touches, _)| (plan, touches))
}

/// The same, with what it waits for.
pub(crate) fn waiting(
    case: &Case,
    catalog: &Catalog,
    sql: &[u8],
) -> Result<(Plan, Touches, Waits), Refusal> {
    let view = SessionView {
        database: case.database.as_deref(),
        sql_mode: case.mode,
        allow_explicit_ids: case.explicit,
    };
    let tokens = Lexer::tokenize(sql, case.mode)?;
    let template = planner::plan(&tokens, &view, catalog)?;
    let mut digest = Digest::new();
    digest.scan(sql, case.mode)?;
    let texts = case.params.clone().unwrap_or_default();
    let params: Vec<Literal<'_>> = match &case.params {
        Some(_) => texts.split('|').map(param).collect(),
        None => Vec::new(),
    };
    let session = session();
    let mut input = BindInput {
        sql,
        literals: &digest.literals,
        params: case.params.as_ref().map(|_| params.as_slice()),
        session: &session,
        catalog,
        ids: None,
    };
    match template.bind(&input) {
        Ok(plan) => {
            let waits = template.waits(&input, &plan);
            Ok((plan, template.touches(&input), waits))
        }
        Err(BindError::Refused(refusal)) => Err(refusal),
        Err(BindError::NeedsIds { count, .. }) => {
            input.ids = Some(1001..1001 + count);
            match template.bind(&input) {
                Ok(plan) => {
                    let waits = template.waits(&input, &plan);
                    Ok((plan, template.touches(&input), waits))
                }
                Err(BindError::Refused(refusal)) => Err(refusal),
                Err(error @ BindError::NeedsIds { .. }) => panic!("{error} again"),
            }
        }
    }
}

fn param(text: &str) -> Literal<'_> {
    match text {
        "NULL" => Literal::Null,
        _ => match text.parse() {
            Ok(number) => Literal::Integer(number),
            Err(_) => Literal::Text(text.into()),
        },
    }
}

fn check(file: &str) {
    check_with(file, |case, catalog, sql| {
        plan(case, catalog, sql).unwrap_or_else(Plan::Refuse).to_string()
    });
}

/// Checks what `render` makes of each case.
pub(crate) fn check_with(file: &str, render: impl Fn(&Case, &Catalog, &[u8]) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut actual = String::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let (mut case, mut lines) = (Case::default(), Vec::new());
        for line in block.lines() {
            if let Some(sql) = line.strip_prefix("> ") {
                lines.push(sql);
            } else if let Some(option) = line.strip_prefix("! ") {
                match option.split_once('=').unwrap() {
                    ("mode", mode) => case.mode = SqlMode::parse(mode).unwrap(),
                    ("database", "") => case.database = None,
                    ("database", name) => case.database = Some(name.into()),
                    ("params", params) => case.params = Some(params.into()),
                    ("shards", shards) => case.shards = shards.parse().unwrap(),
                    ("explicit", _) => case.explicit = true,
                    ("move", text) => case.moves.push(text.into()),
                    other => panic!("unknown option {other:?} in {file}"),
                }
            } else if !line.starts_with('#') {
                continue;
            }
            writeln!(actual, "{line}").unwrap();
        }
        if !lines.is_empty() {
            let mut catalog = catalog::catalog(case.shards);
            moves::add(&mut catalog, &case.moves);
            let rendered = render(&case, &catalog, lines.join("\n").as_bytes());
            writeln!(actual, "{rendered}").unwrap();
        }
        actual.push('\n');
    }
    let actual = format!("{}\n", actual.trim_end());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &actual).unwrap();
        return;
    }
    let differs = text.lines().zip(actual.lines()).position(|(a, b)| a != b);
    assert_eq!(text, actual, "{file} differs from line {differs:?}; UPDATE_EXPECT=1 rewrites it");
}

#[test]
fn single() {
    check("planner_single.case");
}

#[test]
fn compute() {
    check("planner_compute.case");
}

#[test]
fn scatter() {
    check("planner_scatter.case");
}

#[test]
fn insert() {
    check("planner_insert.case");
}

#[test]
fn modify() {
    check("planner_modify.case");
}

#[test]
fn precedence() {
    check("planner_precedence.case");
}

#[test]
fn moves() {
    check_with("planner_moves.case", |case, catalog, sql| match waiting(case, catalog, sql) {
        Ok((plan, _, waits)) => {
            let waits = waits.iter().map(|one| format!("\n  waits for {one}"));
            format!("{plan}{}", waits.collect::<String>())
        }
        Err(refusal) => Plan::Refuse(refusal).to_string(),
    });
}

#[test]
fn not_understood() {
    check("planner_not_understood.case");
}
