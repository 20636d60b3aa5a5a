//! What statements touch: golden cases (`testdata/touches.case`) and properties.

use crate::{
    plan::{Plan, Refusal, Target},
    planner::tests::{Case, catalog, check_with, planned},
    router::{Router, RouterConfig, Scratch},
    template::{BindInput, SessionValues},
    touch::{Keys, Space, Touches},
    view::SessionView,
};
use proptest::prelude::*;
use shardline_model::{
    catalog::{Catalog, Table, UniqueKey},
    guard::{Guard, GuardState},
    id::{Epoch, GroupId, ShardId, TableId},
};
use std::{fmt::Write, sync::Arc};

fn render(touches: &Touches) -> String {
    let databases: Vec<&str> = touches.databases.iter().map(AsRef::as_ref).collect();
    let mut text = format!("databases: {}", databases.join(", "));
    for rows in &touches.rows {
        match rows.space {
            Space::Group(GroupId(id)) => write!(text, "\ngroup {id}:").unwrap(),
            Space::Table(TableId(id)) => write!(text, "\ntable {id}:").unwrap(),
        }
        match &rows.keys {
            Keys::Unpinned => text.push_str(" any"),
            Keys::Listed(keys) => {
                for key in keys {
                    write!(text, " {}", key.canonical_text.escape_ascii()).unwrap();
                    if let Some(ShardId(shard)) = key.owner {
                        write!(text, "@{shard}").unwrap();
                    }
                }
            }
        }
    }
    for name in &touches.tables {
        write!(text, "\nwrites {}.{}", name.database, name.table).unwrap();
    }
    text
}

/// `currencies` and `settings` with a further unique key, under names of their own.
fn with_unique_names(mut catalog: Catalog) -> Catalog {
    let mut bank = (*catalog.databases["bank"]).clone();
    for (from, to, column) in [("currencies", "named", "name"), ("audit", "lines", "line")] {
        let mut table = Table { name: to.into(), ..(*bank.tables[from]).clone() };
        table.id = TableId(table.id.0 + 100);
        table.unique_keys.push(UniqueKey { name: "u".into(), columns: vec![column.into()] });
        bank.tables.insert(to.into(), Arc::new(table));
    }
    let mut keyless = Table { name: "keyless".into(), ..(*bank.tables["settings"]).clone() };
    keyless.id = TableId(200);
    keyless.unique_keys.clear();
    bank.tables.insert("keyless".into(), Arc::new(keyless));
    catalog.databases.insert("bank".into(), Arc::new(bank));
    catalog
}

#[test]
fn touches() {
    check_with("touches.case", |case, catalog, sql| {
        let catalog = with_unique_names(catalog.clone());
        match planned(case, &catalog, sql) {
            Ok((_, touches)) => render(&touches),
            Err(refusal) => Plan::Refuse(refusal).to_string(),
        }
    });
}

fn touched(sql: &str) -> Result<(Plan, Touches), Refusal> {
    planned(&Case::default(), &catalog::catalog(3), sql.as_bytes())
}

/// Where a plan's parts go.
fn shards(plan: &Plan) -> Vec<ShardId> {
    match plan {
        Plan::Single(single) => match single.target {
            Target::Shard(shard) => vec![shard],
            Target::Any => Vec::new(),
        },
        Plan::Scatter(scatter) => scatter.parts.iter().map(|part| part.shard).collect(),
        Plan::Write(write) => write.parts.iter().map(|part| part.shard).collect(),
        other => panic!("{other}"),
    }
}

fn keys(touches: &Touches) -> Vec<(Vec<u8>, Option<ShardId>)> {
    match &touches.rows[..] {
        [rows] => match &rows.keys {
            Keys::Listed(keys) => {
                keys.iter().map(|key| (key.canonical_text.clone(), key.owner)).collect()
            }
            Keys::Unpinned => panic!("not pinned"),
        },
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn owners_are_where_the_plan_goes(
        ids in prop::collection::vec(any::<i64>(), 1..6), form in 0..7usize,
    ) {
        let list: Vec<String> = ids.iter().map(i64::to_string).collect();
        let rows: Vec<String> = ids.iter().map(|id| format!("('x', {id})")).collect();
        let (list, rows) = (list.join(", "), rows.join(", "));
        let sql = match form {
            0 => format!("UPDATE accounts SET balance = 1 WHERE id IN ({list})"),
            1 => format!("DELETE FROM accounts WHERE balance < 5 AND id IN ({list})"),
            2 => format!("SELECT id FROM accounts WHERE id IN ({list}) FOR UPDATE"),
            3 => format!("SELECT id FROM accounts WHERE id IN ({list}) LOCK IN SHARE MODE"),
            4 => format!("INSERT INTO accounts (owner, id) VALUES {rows}"),
            5 => format!("REPLACE INTO accounts (owner, id) VALUES {rows}"),
            _ => format!("INSERT INTO accounts (owner, id) VALUES {rows} ON DUPLICATE KEY UPDATE owner = 'y'"),
        };
        let (plan, touches) = touched(&sql).unwrap();
        prop_assert_eq!(touches.rows[0].space, Space::Group(GroupId(1)));
        let keys = keys(&touches);
        let mut texts: Vec<Vec<u8>> = ids.iter().map(|id| id.to_string().into_bytes()).collect();
        texts.sort();
        texts.dedup();
        prop_assert_eq!(keys.iter().map(|key| key.0.clone()).collect::<Vec<_>>(), texts);
        let mut owners: Vec<ShardId> = keys.iter().filter_map(|key| key.1).collect();
        owners.sort();
        owners.dedup();
        let mut shards = shards(&plan);
        shards.sort();
        prop_assert_eq!(owners, shards);
    }

    #[test]
    fn generated_ids_are_the_keys(count in 1..5usize) {
        let sql = format!("INSERT INTO sbtest1 (k) VALUES {}", vec!["(7)"; count].join(", "));
        let (_, touches) = touched(&sql).unwrap();
        let expected: Vec<Vec<u8>> = (1001..).take(count).map(|id: i32| id.to_string().into()).collect();
        prop_assert_eq!(keys(&touches).into_iter().map(|key| key.0).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn equal_texts_have_one_key(
        text in "[a-zA-ZäÄéÉ ]{0,8}", upper in any::<bool>(), spaces in 0..4usize,
    ) {
        let other = if upper { text.to_uppercase() } else { text.to_lowercase() };
        let other = format!("{other}{}", " ".repeat(spaces));
        // `settings` is single and `currencies` broadcast, both under general_ci.
        for table in ["settings", "currencies"] {
            let column = if table == "settings" { "name" } else { "code" };
            let of = |text: &str| {
                let sql = format!("DELETE FROM {table} WHERE {column} = '{text}'");
                keys(&touched(&sql).unwrap().1)
            };
            prop_assert_eq!(of(&text), of(&other));
        }
        let inserted = format!("INSERT INTO settings VALUES ('{other}', 'x')");
        let chosen = format!("UPDATE settings SET value = 'y' WHERE name = '{text}'");
        prop_assert_eq!(
            keys(&touched(&inserted).unwrap().1), keys(&touched(&chosen).unwrap().1)
        );
    }
}

/// A statement that writes or locks names its database, and no other does.
#[test]
fn every_write_names_its_database() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let catalog = catalog::catalog(1);
    let mut writes = 0;
    for name in ["insert", "modify", "single", "not_understood"] {
        let text = std::fs::read_to_string(folder.join(format!("planner_{name}.case"))).unwrap();
        for sql in text.lines().filter_map(|line| line.strip_prefix("> ")) {
            let Ok((plan, touches)) = planned(&Case::default(), &catalog, sql.as_bytes()) else {
                continue;
            };
            let Plan::Single(single) = plan else { continue };
            let traits = single.traits;
            let known = sql.contains("bank.") || !sql.contains('.');
            if (traits.writes || traits.locks) && known && !sql.contains("missing") {
                assert_eq!(touches.databases.len(), 1, "{sql}");
                writes += 1;
            } else if !traits.writes && !traits.locks {
                assert_eq!(touches, Touches::default(), "{sql}");
            }
        }
    }
    assert!(writes > 30, "{writes}");
}

/// What a statement reads is known only while the catalog has a guard.
#[test]
fn reads_are_told_while_there_are_guards() {
    let quiet = catalog::catalog(3);
    let mut guarded = quiet.clone();
    let guard = Guard { state: GuardState::On, since: Epoch(1) };
    guarded.guards.insert("bank".into(), guard);
    let told = |catalog: &Catalog, sql: &str| {
        let (_, touches) = planned(&Case::default(), catalog, sql.as_bytes()).unwrap();
        assert!(touches.tables.is_empty(), "{sql}");
        render(&touches)
    };
    for (sql, expected) in [
        ("SELECT owner FROM accounts WHERE id = 7", "databases: bank\ngroup 1: 7@"),
        ("SELECT SUM(balance) FROM accounts", "databases: bank\ngroup 1: any"),
        ("SELECT 1", "databases: "),
    ] {
        assert!(told(&guarded, sql).starts_with(expected), "{}", told(&guarded, sql));
        assert_eq!(told(&quiet, sql), "databases: ");
    }
}

#[test]
fn statements_behind_a_prefix() {
    let router = Router::new(RouterConfig::default());
    let catalog = Arc::new(catalog::catalog(3));
    let view = SessionView { database: Some("bank"), ..SessionView::default() };
    let of = |sql: &str| {
        let mut scratch = Scratch::new();
        let template = router.prepare(sql.as_bytes(), &view, &catalog, &mut scratch).unwrap();
        let input = BindInput {
            sql: sql.as_bytes(),
            literals: scratch.literals(),
            params: None,
            session: &SessionValues::default(),
            catalog: &catalog,
            ids: None,
        };
        assert_eq!(template.touches(&input).databases.as_slice(), template.touched_databases());
        render(&template.touches(&input))
    };
    let executed = of("SET STATEMENT max_statement_time=1 FOR DELETE FROM accounts WHERE id = 5");
    assert!(executed.starts_with("databases: bank\ngroup 1: 5@"), "{executed}");
    assert_eq!(of("EXPLAIN DELETE FROM accounts WHERE id = 5"), "databases: ");
}
