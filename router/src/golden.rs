//! Golden tests: `testdata/{tokens,digest,rules,session,ddl}.case`. A case is lines that start with `> `
//! (the statement), then the expected text up to an empty line. A line `! option=value`
//! before it sets `mode` or `database` for that case. `UPDATE_EXPECT=1` rewrites the files.

use crate::{
    clause,
    cursor::Cursor,
    ddl,
    digest::Digest,
    lexer::{CommentKind, Lexer, SqlMode, TokenKind},
    plan::Plan,
    rule,
    session::{self, Recognised},
};
use shardline_model::{
    catalog::{Catalog, Column, Database, Sharding, Table, TableKind},
    id::{GroupId, ShardId, TableId},
};
use std::{fmt::Write, path::Path, sync::Arc};

struct Case {
    mode: SqlMode,
    database: Option<String>,
    sql: String,
}

fn check(file: &str, render: impl Fn(&Case) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut actual = String::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let mut case =
            Case { mode: SqlMode::default(), database: Some("bank".into()), sql: String::new() };
        let mut lines = Vec::new();
        for line in block.lines() {
            if let Some(sql) = line.strip_prefix("> ") {
                lines.push(sql);
            } else if let Some(option) = line.strip_prefix("! ") {
                match option.split_once('=').unwrap() {
                    ("mode", mode) => case.mode = SqlMode::parse(mode).unwrap(),
                    ("database", "") => case.database = None,
                    ("database", name) => case.database = Some(name.into()),
                    other => panic!("unknown option {other:?} in {file}"),
                }
            } else if !line.starts_with('#') {
                continue;
            }
            writeln!(actual, "{line}").unwrap();
        }
        case.sql = lines.join("\n");
        if !lines.is_empty() {
            writeln!(actual, "{}", render(&case).trim_end()).unwrap();
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
fn tokens() {
    check("tokens.case", |case| match Lexer::tokenize(case.sql.as_bytes(), case.mode) {
        Err(error) => format!("error: {error}"),
        Ok(tokens) => {
            let mut text: Vec<String> = (0..tokens.len())
                .map(|i| {
                    format!("{:?} {}", tokens[i].kind, String::from_utf8_lossy(tokens.text(i)))
                })
                .collect();
            for comment in &tokens.comments {
                let shown = String::from_utf8_lossy(comment.span.of(tokens.sql));
                let kind = match comment.kind {
                    CommentKind::Skipped { version, .. } => format!("Skipped({version})"),
                    kind => format!("{kind:?}"),
                };
                text.push(format!("comment {kind} before {} {shown}", comment.before_token));
            }
            text.join("\n")
        }
    });
}

#[test]
fn digests() {
    check("digest.case", |case| {
        let mut digest = Digest::new();
        if let Err(error) = digest.scan(case.sql.as_bytes(), case.mode) {
            return format!("error: {error}");
        }
        let mut text = String::from_utf8(digest.text.clone()).unwrap();
        for literal in &digest.literals {
            let value = literal.value(case.sql.as_bytes(), case.mode);
            write!(text, "\n  {:?} at token {}: {value:?}", literal.kind, literal.token).unwrap();
        }
        text
    });
}

#[test]
fn rules() {
    check("rules.case", |case| match rule::parse(&case.sql) {
        Ok(clause) => format!("{clause:?}\n{}", clause::carrier(&clause, "bank")),
        Err(refusal) => refusal.to_string(),
    });
}

fn recognised(case: &Case, catalog: &Catalog) -> String {
    let mut tokens = match Lexer::tokenize(case.sql.as_bytes(), case.mode) {
        Ok(tokens) => tokens,
        Err(error) => return format!("error: {error}"),
    };
    tokens.tokens.retain(|token| token.kind != TokenKind::Semicolon);
    let database = case.database.as_deref();
    let plan = match session::recognise(&tokens, database) {
        Ok(Recognised::Plan(plan)) => Ok(plan),
        Ok(Recognised::Ddl) => ddl::recognise(&tokens, database, catalog),
        Ok(Recognised::Statement) => return "for the planner".into(),
        Ok(Recognised::Prefixed { prefix, statement }) => {
            let rest = Cursor { tokens: &tokens, index: tokens.len() };
            return format!("{prefix:?}: {}", String::from_utf8_lossy(rest.source(statement)));
        }
        Err(refusal) => Err(refusal),
    };
    plan.unwrap_or_else(Plan::Refuse).to_string()
}

#[test]
fn session_statements() {
    check("session.case", |case| recognised(case, &catalog()));
}

#[test]
fn schema_changes() {
    check("ddl.case", |case| recognised(case, &catalog()));
}

/// `bank` with `account`, sharded by `customer_id`, and `currency`, a broadcast table.
fn catalog() -> Catalog {
    let column = |name: &str| Column {
        name: name.into(),
        column_type: "bigint(20)".into(),
        collation: None,
        nullable: false,
        default: None,
        generated: false,
        invisible: false,
    };
    let table = |id, name: &str, kind| Table {
        id: TableId(id),
        database: "bank".into(),
        name: name.into(),
        kind,
        columns: vec![column("id"), column("customer_id")],
        unique_keys: Vec::new(),
        auto_increment: None,
        is_view: false,
    };
    let sharding = Sharding { group: GroupId(1), key_columns: vec![1] };
    let tables = [
        table(1, "account", TableKind::Sharded(sharding)),
        table(2, "currency", TableKind::Broadcast),
    ];
    let tables = tables.map(|table| (table.name.clone(), Arc::new(table)));
    let bank = Database {
        name: "bank".into(),
        home: ShardId(1),
        collation: "utf8mb4_general_ci".into(),
        tables: tables.into(),
    };
    let databases = [("bank".to_owned(), Arc::new(bank))].into();
    Catalog { databases, ..Catalog::default() }
}
