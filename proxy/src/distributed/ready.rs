//! Whether a shard's server is set up for transactions over several shards: its binlog must hold
//! whole rows, since aborted branches are undone from it, and with replicas a commit must not be
//! acknowledged before one of them has it. Pure: what is asked, and the judgement of the answers.

use std::collections::HashMap;

/// What is asked of a server. Unknown variables are simply not in the answer.
pub(crate) const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE variable_name IN ('version', \
     'tx_isolation', 'transaction_isolation', 'log_bin', 'binlog_format', 'binlog_row_image', 'binlog_row_value_options', 'init_connect', \
     'rpl_semi_sync_master_enabled', 'rpl_semi_sync_master_wait_point', \
     'rpl_semi_sync_master_timeout', 'rpl_semi_sync_master_wait_no_slave', \
     'rpl_semi_sync_source_enabled', 'rpl_semi_sync_source_wait_point', \
     'rpl_semi_sync_source_timeout', 'rpl_semi_sync_source_wait_no_replica')";
/// Which databases the binlog leaves out, by one of two names; the other is a syntax error.
pub(crate) const BINLOG_STATUS: [&str; 2] = ["SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"];
/// The replicas that are connected, by one of two names.
pub(crate) const REPLICAS: [&str; 2] = ["SHOW SLAVE HOSTS", "SHOW REPLICAS"];

/// The least semi-synchronous timeout: when it is over, commits are acknowledged that no
/// replica has.
pub(crate) const SEMI_SYNC_TIMEOUT_MS: u64 = 3_600_000;

/// What a server answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Variables, names in small letters.
    pub(crate) variables: HashMap<String, String>,
    /// `Binlog_Do_DB` and `Binlog_Ignore_DB`.
    pub(crate) binlog_filter: [String; 2],
    /// Whether it has replicas, or the catalog says so.
    pub(crate) has_replicas: bool,
}

/// What keeps the server from taking part: which setting, and what it must be. None: nothing.
pub(crate) fn obstacle(answers: &Answers) -> Option<String> {
    let value = |name: &str| answers.variables.get(name).map(String::as_str);
    let version = value("version").unwrap_or_default();
    if let Some(old) = too_old(version) {
        return Some(old);
    }
    if value("log_bin").is_none_or(|found| !is_on(found)) {
        return Some("its binlog is off: start the server with log_bin".into());
    }
    // A server that does not know them any more writes whole rows always.
    let settings =
        [("binlog_format", "ROW"), ("binlog_row_image", "FULL"), ("binlog_row_value_options", "")];
    for (name, wanted) in settings {
        let shown = if wanted.is_empty() { "empty" } else { wanted };
        if let Some(found) = value(name).filter(|found| !found.eq_ignore_ascii_case(wanted)) {
            return Some(format!("{name} is {found:?} there and must be {shown}"));
        }
    }
    for name in ["tx_isolation", "transaction_isolation"] {
        if value(name).is_some_and(|level| level.eq_ignore_ascii_case("SERIALIZABLE")) {
            return Some(format!(
                "{name} is SERIALIZABLE there for everyone, so that looking for locks takes locks: \
                 make it REPEATABLE-READ, and SERIALIZABLE in the sessions that need it"
            ));
        }
    }
    let init = value("init_connect").unwrap_or_default().to_ascii_lowercase();
    if ["binlog", "sql_log_bin"].iter().any(|name| init.contains(name)) {
        return Some("its init_connect changes what sessions write into the binlog".into());
    }
    for (name, list) in ["binlog_do_db", "binlog_ignore_db"].iter().zip(&answers.binlog_filter) {
        if !list.is_empty() {
            return Some(format!("{name} leaves databases out of its binlog and must be empty"));
        }
    }
    answers.has_replicas.then(|| without_semi_sync(answers)).flatten()
}

fn is_on(value: &str) -> bool {
    value.eq_ignore_ascii_case("ON") || value == "1"
}

fn too_old(version: &str) -> Option<String> {
    let mariadb = version.contains("MariaDB");
    let (name, least) = if mariadb { ("MariaDB", (10, 6)) } else { ("MySQL", (8, 0)) };
    let mut numbers = version.split(|one: char| !one.is_ascii_digit()).map(str::parse::<u32>);
    let found = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let (major, minor) = least;
    (found < least)
        .then(|| format!("its version is {version} and must be {name} {major}.{minor} or later"))
}

fn without_semi_sync(answers: &Answers) -> Option<String> {
    let known = |prefix: &&&str| answers.variables.contains_key(&format!("{prefix}_enabled"));
    let Some(prefix) = ["rpl_semi_sync_source", "rpl_semi_sync_master"].iter().find(known) else {
        return Some(
            "it has replicas and no semi-synchronous replication: install it, with AFTER_SYNC"
                .into(),
        );
    };
    let value = |name: &str| {
        answers.variables.get(&format!("{prefix}_{name}")).map(String::as_str).unwrap_or_default()
    };
    if !is_on(value("enabled")) {
        return Some(format!("it has replicas and {prefix}_enabled is off, which must be ON"));
    }
    let point = value("wait_point");
    if !point.eq_ignore_ascii_case("AFTER_SYNC") {
        return Some(format!("{prefix}_wait_point is {point:?} there and must be AFTER_SYNC"));
    }
    let timeout = value("timeout");
    if timeout.parse::<u64>().is_ok_and(|timeout| timeout < SEMI_SYNC_TIMEOUT_MS) {
        return Some(format!(
            "{prefix}_timeout is {timeout} ms there and must be {SEMI_SYNC_TIMEOUT_MS} or more"
        ));
    }
    let alone = if prefix.ends_with("source") { "wait_no_replica" } else { "wait_no_slave" };
    let found = value(alone);
    (!is_on(found)).then(|| format!("{prefix}_{alone} is {found:?} there and must be ON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 6] = [
        ("version", "10.11.6-MariaDB-log"),
        ("log_bin", "ON"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("init_connect", ""),
        ("rpl_semi_sync_master_enabled", "OFF"),
    ];
    const SEMI_SYNC: [(&str, &str); 4] = [
        ("rpl_semi_sync_master_enabled", "ON"),
        ("rpl_semi_sync_master_wait_point", "AFTER_SYNC"),
        ("rpl_semi_sync_master_timeout", "3600000"),
        ("rpl_semi_sync_master_wait_no_slave", "ON"),
    ];

    fn answers(changes: &[(&str, &str)]) -> Answers {
        let all = GOOD.iter().chain(changes);
        let variables = all.map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Answers { variables, ..Answers::default() }
    }

    fn check(answers: &Answers, expected: Option<&str>) {
        let found = obstacle(answers);
        match (&found, expected) {
            (None, None) => {}
            (Some(found), Some(expected)) if found.contains(expected) => {}
            _ => panic!("{answers:?}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn each_setting_is_named() {
        check(&answers(&[]), None);
        check(&answers(&[("version", "9.7.0"), ("binlog_row_value_options", "")]), None);
        for (name, value) in [
            ("binlog_format", "MIXED"),
            ("binlog_row_image", "MINIMAL"),
            ("binlog_row_value_options", "PARTIAL_JSON"),
            ("init_connect", "SET sql_log_bin = 0"),
            ("tx_isolation", "SERIALIZABLE"),
        ] {
            check(&answers(&[(name, value)]), Some(name));
        }
        check(&answers(&[("log_bin", "OFF")]), Some("log_bin"));
        check(&answers(&[("version", "10.5.26-MariaDB")]), Some("MariaDB 10.6"));
        check(&answers(&[("version", "5.7.44-log")]), Some("MySQL 8.0"));
        let filtered = Answers { binlog_filter: ["d".into(), String::new()], ..answers(&[]) };
        check(&filtered, Some("binlog_do_db"));
    }

    #[test]
    fn replicas_ask_for_semi_synchronous_commits_that_wait() {
        let with = |change: (&str, &str)| {
            let mut answers = answers(&SEMI_SYNC);
            answers.variables.insert(change.0.into(), change.1.into());
            Answers { has_replicas: true, ..answers }
        };
        check(&with(("x", "y")), None);
        check(&answers(&[]), None);
        check(&Answers { has_replicas: true, ..answers(&[]) }, Some("_enabled"));
        for (name, value) in [
            ("rpl_semi_sync_master_wait_point", "AFTER_COMMIT"),
            ("rpl_semi_sync_master_timeout", "10000"),
            ("rpl_semi_sync_master_wait_no_slave", "OFF"),
        ] {
            check(&with((name, value)), Some(name));
        }
        let mut none = Answers { has_replicas: true, ..answers(&[]) };
        none.variables.remove("rpl_semi_sync_master_enabled");
        check(&none, Some("install"));
    }
}
