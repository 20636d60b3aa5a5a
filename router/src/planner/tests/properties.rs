//! Properties: the planner never panics, and a keyed statement goes where the model says.

use crate::{
    plan::{Plan, Target},
    planner::tests::{Case, catalog, plan},
};
use proptest::prelude::*;
use shardline_model::key::KeyPart;

/// Statements that are mutated.
fn seeds() -> Vec<String> {
    let files = ["single", "scatter", "insert", "modify", "precedence", "not_understood"];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let texts = files
        .map(|name| std::fs::read_to_string(folder.join(format!("planner_{name}.case"))).unwrap());
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.filter_map(|line| line.strip_prefix("> ").map(str::to_owned)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn mutated_statements_never_panic(
        which in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8), 1..5),
    ) {
        let seeds = seeds();
        let catalog = catalog::catalog(3);
        let mut words: Vec<String> = which.get(&seeds).split(' ').map(str::to_owned).collect();
        let donors: Vec<String> = other.get(&seeds).split(' ').map(str::to_owned).collect();
        for (at, from, kind) in cuts {
            let at = at.index(words.len());
            match kind {
                0 => words[at] = from.get(&donors).clone(),
                1 => words.insert(at, from.get(&donors).clone()),
                2 if words.len() > 1 => { words.remove(at); }
                _ => words.truncate(at.max(1)),
            }
        }
        let sql = words.join(" ");
        let _ = plan(&Case::default(), &catalog, sql.as_bytes());
        let params = Some("1|2|x|NULL".to_owned());
        let _ = plan(&Case { params, ..Case::default() }, &catalog, sql.as_bytes());
    }

    #[test]
    fn keyed_statements_go_to_the_owner(id in any::<i64>(), form in 0..6usize) {
        let catalog = catalog::catalog(3);
        let group = &catalog.groups[&shardline_model::id::GroupId(1)];
        let owner = group.placement.owner(&[KeyPart::Integer(i128::from(id))], &group.key_types);
        let sql = [
            format!("SELECT * FROM accounts WHERE id = {id}"),
            format!("SELECT * FROM accounts a JOIN transfers t ON t.account_id = a.id WHERE t.account_id = {id}"),
            format!("DELETE FROM accounts WHERE balance < 5 AND (id = {id})"),
            format!("UPDATE accounts SET balance = 1 WHERE id IN ({id})"),
            format!("INSERT INTO accounts (owner, id) VALUES ('x', {id})"),
            format!("SELECT 1 FROM accounts WHERE id = {id} AND EXISTS (SELECT 1 FROM transfers WHERE account_id = accounts.id)"),
        ];
        let plan = plan(&Case::default(), &catalog, sql[form].as_bytes()).unwrap();
        let target = match plan {
            Plan::Single(single) => single.target,
            other => panic!("{other}"),
        };
        prop_assert_eq!(target, Target::Shard(owner.unwrap()));
    }
}

#[test]
fn long_chains_do_not_overflow_the_stack() {
    let catalog = catalog::catalog(3);
    let run = move || {
        for (operator, count) in [("OR", 50_000), ("AND", 50_000), ("OR", 1_900), ("+", 1_900)] {
            let chain = vec!["id = 1"; count].join(&format!(" {operator} "));
            let sql = format!("SELECT * FROM accounts WHERE {chain}");
            let _ = plan(&Case::default(), &catalog, sql.as_bytes());
        }
        for depth in [60, 100_000] {
            let sql = format!("SELECT {}1{} FROM accounts", "(".repeat(depth), ")".repeat(depth));
            let _ = plan(&Case::default(), &catalog, sql.as_bytes());
            let sql = format!("SELECT {} 1 FROM accounts", "NOT ".repeat(depth));
            let _ = plan(&Case::default(), &catalog, sql.as_bytes());
            let sql = format!("SELECT {} 1 FROM accounts", "- ".repeat(depth));
            let _ = plan(&Case::default(), &catalog, sql.as_bytes());
            let sql =
                format!("SELECT {}1{}", "CASE WHEN 1 THEN ".repeat(depth), " END".repeat(depth));
            let _ = plan(&Case::default(), &catalog, sql.as_bytes());
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

/// A template made from one text is bound to another of the same fingerprint.
#[test]
fn templates_bind_other_texts() {
    let catalog = catalog::catalog(3);
    let pairs = [
        (
            "SELECT owner FROM accounts WHERE owner = 'x' ORDER BY 1 LIMIT 3",
            "SELECT owner FROM  accounts /* c */ WHERE owner = 'a' 'longer''one' ORDER BY 1 LIMIT 300",
        ),
        (
            "INSERT INTO transfers (account_id, amount) VALUES (1, 2), (3, 4)",
            "INSERT INTO transfers (account_id, amount) VALUES (1000000, 22), (  -- c\n 31, 44)",
        ),
        (
            "SELECT id, USER() FROM accounts WHERE id = 1",
            "SELECT id, USER() FROM accounts WHERE id = 123456",
        ),
        ("UPDATE accounts SET owner = 'x'", "UPDATE accounts SET owner = 'xyz'"),
    ];
    for (first, second) in pairs {
        let case = Case::default();
        let direct = plan(&case, &catalog, second.as_bytes()).unwrap();
        assert_eq!(rebound(&case, &catalog, first, second), direct, "{second}");
    }
}

fn rebound(
    case: &Case,
    catalog: &shardline_model::catalog::Catalog,
    first: &str,
    second: &str,
) -> Plan {
    let view = crate::view::SessionView {
        database: case.database.as_deref(),
        sql_mode: case.mode,
        allow_explicit_ids: case.explicit,
    };
    let tokens = crate::lexer::Lexer::tokenize(first.as_bytes(), case.mode).unwrap();
    let template = crate::planner::plan(&tokens, &view, catalog).unwrap();
    let (mut one, mut two) = (crate::digest::Digest::new(), crate::digest::Digest::new());
    one.scan(first.as_bytes(), case.mode).unwrap();
    two.scan(second.as_bytes(), case.mode).unwrap();
    assert_eq!(one.fingerprint, two.fingerprint);
    let session = crate::planner::tests::session();
    let input = crate::template::BindInput {
        sql: second.as_bytes(),
        literals: &two.literals,
        params: None,
        session: &session,
        catalog,
        ids: Some(1001..2000),
    };
    template.bind(&input).unwrap()
}
