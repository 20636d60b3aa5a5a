//! Definitions from one server to another that has none of its own yet: databases, tables without rows,
//! views, triggers and routines. It may run again: what differs is made anew.

use super::{
    OperationError,
    servers::{Server, quoted},
};
use shardline_model::{catalog::Catalog, predicate::quote_identifier};
use std::collections::BTreeMap;

/// Views that name each other are tried so often.
const ROUNDS_MAX: usize = 64;

/// Definitions by database and name.
type Definitions = BTreeMap<(String, String), String>;

/// What has no rows: how it is listed, shown and dropped.
struct Kind {
    word: &'static str,
    list: &'static str,
    /// The column of SHOW CREATE that has the statement.
    column: usize,
}

const TABLES: Kind = Kind {
    word: "TABLE",
    list: "SELECT table_name FROM information_schema.tables WHERE table_type NOT IN ('VIEW', 'SYSTEM VIEW') \
           AND table_schema = ",
    column: 1,
};
const VIEWS: Kind = Kind {
    word: "VIEW",
    list: "SELECT table_name FROM information_schema.views WHERE table_schema = ",
    column: 1,
};
const OTHERS: [Kind; 4] = [
    Kind {
        word: "PROCEDURE",
        list: "SELECT routine_name FROM information_schema.routines WHERE routine_type = 'PROCEDURE' AND \
               routine_schema = ",
        column: 2,
    },
    Kind {
        word: "FUNCTION",
        list: "SELECT routine_name FROM information_schema.routines WHERE routine_type = 'FUNCTION' AND \
               routine_schema = ",
        column: 2,
    },
    Kind {
        word: "TRIGGER",
        list: "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = ",
        column: 2,
    },
    Kind {
        word: "EVENT",
        list: "SELECT event_name FROM information_schema.events WHERE event_schema = ",
        column: 3,
    },
];

/// Makes the definitions of the target those of the source. The target owns no rows; broadcast tables
/// whose definition differs lose theirs there, and `true` says that this has happened.
pub(super) async fn bring(
    catalog: &Catalog,
    source: &mut Server,
    target: &mut Server,
) -> Result<bool, OperationError> {
    let databases: Vec<String> = catalog.databases.keys().cloned().collect();
    drop_strange_databases(&databases, target).await?;
    for name in &databases {
        let shown =
            source.texts(&format!("SHOW CREATE DATABASE {}", quote_identifier(name))).await?;
        let sql = shown.first().and_then(|row| row.get(1)).cloned().unwrap_or_default();
        target.run(&sql.replacen("CREATE DATABASE", "CREATE DATABASE IF NOT EXISTS", 1)).await?;
    }
    let changed = bring_kind(&TABLES, &databases, source, target).await?;
    let mut lost = false;
    for (database, name) in &changed {
        let table = catalog.table(database, name);
        lost |=
            table.is_some_and(|table| table.kind == shardline_model::catalog::TableKind::Broadcast);
    }
    for kind in &OTHERS[..2] {
        bring_kind(kind, &databases, source, target).await?;
    }
    bring_kind(&VIEWS, &databases, source, target).await?;
    for kind in &OTHERS[2..] {
        bring_kind(kind, &databases, source, target).await?;
    }
    Ok(lost)
}

/// Databases that the cluster does not have are an earlier attempt's, or somebody's own.
async fn drop_strange_databases(
    databases: &[String],
    target: &mut Server,
) -> Result<(), OperationError> {
    for row in target.texts("SELECT schema_name FROM information_schema.schemata").await? {
        let name = row.into_iter().next().unwrap_or_default();
        let system = ["information_schema", "performance_schema", "mysql", "sys", "_shardline"];
        if system.contains(&name.to_ascii_lowercase().as_str()) || databases.contains(&name) {
            continue;
        }
        let list = format!("{}{} LIMIT 1", TABLES.list, quoted(&name));
        if !target.rows(&list).await?.is_empty() {
            return Err(OperationError::precondition(
                "not_empty",
                format!("the new server has a database {name} with tables that the cluster does not know"),
            )
            .hint("take an empty server, or drop that database there"));
        }
        target.run(&format!("DROP DATABASE {}", quote_identifier(&name))).await?;
    }
    Ok(())
}

/// The names of what had to be made or dropped.
async fn bring_kind(
    kind: &Kind,
    databases: &[String],
    source: &mut Server,
    target: &mut Server,
) -> Result<Vec<(String, String)>, OperationError> {
    let (wanted, has) =
        (read(kind, databases, source).await?, read(kind, databases, target).await?);
    let mut changed = Vec::new();
    for (name, definition) in &has {
        if wanted.get(name).is_none_or(|wanted| comparable(wanted) != comparable(definition)) {
            target.run(&format!("DROP {} {}", kind.word, full(name))).await?;
            changed.push(name.clone());
        }
    }
    let mut missing: Vec<_> = wanted
        .iter()
        .filter(|(name, _)| !has.contains_key(*name) || changed.contains(name))
        .collect();
    for _ in 0..ROUNDS_MAX {
        let (before, mut last) = (missing.len(), None);
        let mut left = Vec::new();
        for (name, definition) in missing {
            target.run(&format!("USE {}", quote_identifier(&name.0))).await?;
            match target.run(definition).await {
                Ok(()) => changed.push(name.clone()),
                Err(error) => {
                    last = Some(error);
                    left.push((name, definition));
                }
            }
        }
        missing = left;
        match last {
            None => break,
            // What names something that comes later is tried again.
            Some(_) if missing.len() < before => {}
            Some(error) => return Err(error),
        }
    }
    Ok(changed)
}

async fn read(
    kind: &Kind,
    databases: &[String],
    server: &mut Server,
) -> Result<Definitions, OperationError> {
    let mut all = Definitions::new();
    for database in databases {
        for row in server.texts(&format!("{}{}", kind.list, quoted(database))).await? {
            let name = (database.clone(), row.into_iter().next().unwrap_or_default());
            let shown = server.texts(&format!("SHOW CREATE {} {}", kind.word, full(&name))).await?;
            let sql = shown.first().and_then(|row| row.get(kind.column)).cloned();
            all.insert(name, sql.unwrap_or_default());
        }
    }
    Ok(all)
}

fn full((database, name): &(String, String)) -> String {
    format!("{}.{}", quote_identifier(database), quote_identifier(name))
}

/// Without the next number, which each server counts for itself.
fn comparable(definition: &str) -> String {
    let Some((before, after)) = definition.split_once(" AUTO_INCREMENT=") else {
        return definition.to_owned();
    };
    format!("{before}{}", after.trim_start_matches(|one: char| one.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_servers_count_are_no_difference() {
        let left = "CREATE TABLE `t` (...) ENGINE=InnoDB AUTO_INCREMENT=17 DEFAULT CHARSET=utf8mb4";
        let right = "CREATE TABLE `t` (...) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4";
        assert_eq!(comparable(left), comparable(right));
        assert_eq!(comparable(right), right);
    }
}
