//! Findings about the servers themselves.

use super::Finding;
use crate::{
    error::{MoveError, Side},
    session::{Session, text},
    spec::MoveSpec,
    state,
    table::Table,
    units::Membership,
};
use shardline_binlog::{Family, literal};
use std::{collections::BTreeMap, sync::Arc};

/// A log should be kept for as long as a move may be paused.
const RETENTION_MIN_SECONDS: u64 = 3_600;
/// How much more room than the rows' own a target should have.
const ROOM_FACTOR: f64 = 2.0;

/// What a server says of itself.
#[derive(Clone, Debug)]
pub(super) struct ServerFacts {
    family: Family,
    version: String,
    variables: BTreeMap<String, String>,
}

impl ServerFacts {
    pub(super) async fn read(session: &mut Session, side: Side) -> Result<Self, MoveError> {
        const NAMES: &str = "'log_bin', 'binlog_format', 'binlog_row_image', 'binlog_row_metadata', \
            'binlog_row_value_options', 'binlog_expire_logs_seconds', 'expire_logs_days', \
            'binlog_order_commits', 'max_binlog_size', 'max_allowed_packet', 'read_only', \
            'lower_case_table_names', 'server_uuid', 'server_id', 'hostname', 'port', 'log_slave_updates'";
        const WHAT: &str = "its settings";
        let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({NAMES})");
        let rows = session.one(WHAT, &sql).await?.rows;
        let pair = |row| Some((text(row, 0)?.to_lowercase(), text(row, 1)?));
        let mut variables: BTreeMap<String, String> = rows.iter().filter_map(pair).collect();
        let status = crate::source::end_of_log(session, side).await;
        if matches!(status, Err(MoveError::Answer { .. })) {
            variables.insert("log_bin".into(), "OFF".into());
        }
        Ok(Self { family: session.family(), version: session.version().to_owned(), variables })
    }

    fn get(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name).parse::<f64>().ok().map(|number| number as u64)
    }

    /// What is wrong with one server; both need a log, since the rows may have to go back.
    pub(super) fn findings(&self, side: Side) -> Vec<Finding> {
        let mut findings = Vec::new();
        let place = format!("the {side}");
        let mut must = |name: &str, allowed: &[&str], problem: &str, advice: &str| {
            let value = self.get(name);
            if !allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(value)) {
                let code = match name {
                    "log_bin" => "binlog",
                    "binlog_format" => "binlog_format",
                    "binlog_row_image" => "binlog_row_image",
                    "binlog_row_metadata" => "binlog_row_metadata",
                    "binlog_row_value_options" => "binlog_row_value_options",
                    _ => "binlog_order_commits",
                };
                let problem = format!("{name} is '{value}': {problem}");
                findings.push(Finding::blocking(code, &place, problem, advice));
            }
        };
        must("log_bin", &["ON"], "changes cannot be followed", "start it with log_bin");
        must(
            "binlog_format",
            &["ROW"],
            "changes are not logged as rows",
            "SET GLOBAL binlog_format = ROW, and reconnect all sessions",
        );
        must(
            "binlog_row_image",
            &["FULL"],
            "logged rows lack columns",
            "SET GLOBAL binlog_row_image = FULL, and reconnect all sessions",
        );
        must(
            "binlog_row_metadata",
            &["FULL"],
            "logged rows do not tell their columns' names and signs",
            "SET GLOBAL binlog_row_metadata = FULL",
        );
        if self.family == Family::Mysql {
            must(
                "binlog_row_value_options",
                &[""],
                "changes of JSON are logged in parts",
                "SET GLOBAL binlog_row_value_options = '', and reconnect all sessions",
            );
            must(
                "binlog_order_commits",
                &["ON", "1"],
                "a row can become visible after a later one",
                "SET GLOBAL binlog_order_commits = ON",
            );
        }
        findings.extend(self.retention(&place));
        if side == Side::Target && !matches!(self.get("read_only"), "OFF" | "0" | "") {
            findings.push(Finding::blocking(
                "read_only",
                place,
                "it is read only",
                "SET GLOBAL read_only = OFF, or move to the shard's primary",
            ));
        }
        findings
    }

    fn retention(&self, place: &str) -> Option<Finding> {
        let seconds = match self.number("binlog_expire_logs_seconds") {
            Some(0) | None => self.number("expire_logs_days").unwrap_or(0) * 86_400,
            Some(seconds) => seconds,
        };
        (seconds > 0 && seconds < RETENTION_MIN_SECONDS).then(|| {
            Finding::blocking(
                "binlog_retention",
                place,
                format!("its binlog is purged after {seconds} s, maybe before it was read"),
                "SET GLOBAL binlog_expire_logs_seconds = 86400",
            )
        })
    }
}

/// What is wrong between the two.
pub(super) fn pair(source: &ServerFacts, target: &ServerFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.family != target.family {
        findings.push(Finding::blocking(
            "family",
            "the two servers",
            format!(
                "the source is {} and the target {}: types and collations differ",
                source.version, target.version
            ),
            "move between servers of one family",
        ));
    }
    let identity = |facts: &ServerFacts| match facts.get("server_uuid") {
        "" => format!("{}:{}:{}", facts.get("hostname"), facts.get("port"), facts.get("server_id")),
        uuid => uuid.to_owned(),
    };
    if identity(source) == identity(target) {
        findings.push(Finding::blocking(
            "same_server",
            "the two servers",
            "they are one and the same",
            "give the target shard a server of its own",
        ));
    }
    if source.get("lower_case_table_names") != target.get("lower_case_table_names") {
        findings.push(Finding::blocking(
            "table_names",
            "the two servers",
            "lower_case_table_names differs",
            "set up both servers with the same value",
        ));
    }
    let (ours, theirs) = (source.number("max_allowed_packet"), target.number("max_allowed_packet"));
    if ours > theirs {
        findings.push(
            Finding::blocking(
                "max_allowed_packet",
                "the target",
                "its max_allowed_packet is smaller than the source's, so a large row may not fit",
                format!("SET GLOBAL max_allowed_packet = {}", ours.unwrap_or(0)),
            )
            .warning(),
        );
    }
    findings
}

/// Tries what the account must be able to do.
pub(super) async fn privileges(
    session: &mut Session,
    side: Side,
    spec: &MoveSpec,
) -> Result<Vec<Finding>, MoveError> {
    let mut findings = Vec::new();
    let mut attempts: Vec<String> = state::SETUP.map(str::to_owned).into();
    let log = match session.family() {
        Family::Mariadb => "SHOW BINARY LOGS",
        Family::Mysql => "SHOW BINARY LOGS",
    };
    attempts.push(log.to_owned());
    if side == Side::Target {
        for table in &spec.tables {
            let name =
                format!("{}.{}", literal::name(&table.database), literal::name(&table.table));
            // They change nothing, and are refused without the privilege.
            attempts.push(format!("DELETE FROM {name} WHERE 1 = 0"));
        }
    }
    for sql in attempts {
        match session.one("a test of privileges", &sql).await {
            Ok(_) => {}
            Err(MoveError::Refused { error, .. }) if error.code == 1146 => {}
            Err(MoveError::Refused { error, .. }) => {
                let shown: String = sql.chars().take(100).collect();
                findings.push(Finding::blocking(
                    "privileges",
                    format!("the {side}"),
                    format!("the account may not do what a move needs: {shown}: {error}"),
                    "GRANT ALL ON *.* to the account that the proxies use",
                ));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}

/// Room for the rows, where the server tells how much there is.
pub(super) async fn disk(
    source: &mut Session,
    target: &mut Session,
    tables: &[Arc<Table>],
    units: &Membership,
) -> Result<Vec<Finding>, MoveError> {
    if target.family() != Family::Mariadb {
        return Ok(Vec::new());
    }
    // Only with the plugin DISKS.
    let room = target
        .one(
            "its disk",
            "SELECT MAX(Available) * 1024 FROM information_schema.DISKS \
             WHERE @@datadir LIKE CONCAT(Path, '%')",
        )
        .await;
    let room = match room {
        Ok(answer) => answer.text(0).and_then(|text| text.parse::<f64>().ok()),
        Err(MoveError::Refused { .. }) => None,
        Err(error) => return Err(error),
    };
    let Some(room) = room else { return Ok(Vec::new()) };
    let mut bytes = 0.0;
    for table in tables {
        let name = |name: &str| literal::text("utf8mb4", name.as_bytes());
        let sql = format!(
            "SELECT DATA_LENGTH + INDEX_LENGTH FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            name(&table.definition.database),
            name(&table.definition.table)
        );
        let answer = source.one("the size of a table", &sql).await?;
        bytes += answer.text(0).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    }
    let needed = bytes * units.share() * ROOM_FACTOR;
    if needed <= room {
        return Ok(Vec::new());
    }
    Ok(vec![Finding::blocking(
        "disk",
        "the target",
        format!(
            "it has {:.0} MB of room, and the rows and their binlog need about {:.0} MB",
            room / 1e6,
            needed / 1e6
        ),
        "make room, or move fewer units",
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(changes: &[(&str, &str)]) -> ServerFacts {
        let good = [
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_row_metadata", "FULL"),
            ("binlog_expire_logs_seconds", "259200"),
            ("max_allowed_packet", "16777216"),
            ("hostname", "h"),
            ("server_id", "1"),
        ];
        let all = good
            .iter()
            .chain(changes)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ServerFacts { family: Family::Mariadb, version: "10.11".into(), variables: all.collect() }
    }

    fn codes(findings: Vec<Finding>) -> Vec<&'static str> {
        findings.into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn settings_that_hinder() {
        assert_eq!(codes(facts(&[]).findings(Side::Source)), Vec::<&str>::new());
        let bad = [
            ("binlog_format", "MIXED"),
            ("binlog_row_image", "MINIMAL"),
            ("binlog_row_metadata", "NO_LOG"),
            ("binlog_expire_logs_seconds", "60"),
        ];
        assert_eq!(
            codes(facts(&bad).findings(Side::Source)),
            ["binlog_format", "binlog_row_image", "binlog_row_metadata", "binlog_retention"]
        );
        assert_eq!(codes(facts(&[("read_only", "ON")]).findings(Side::Target)), ["read_only"]);
    }

    #[test]
    fn servers_that_do_not_go_together() {
        let other = [("server_id", "2"), ("max_allowed_packet", "1048576")];
        assert_eq!(codes(pair(&facts(&[]), &facts(&[]))), ["same_server"]);
        assert_eq!(codes(pair(&facts(&[]), &facts(&other))), ["max_allowed_packet"]);
    }
}
