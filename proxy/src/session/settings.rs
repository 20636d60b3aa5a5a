//! Variables of Shardline's own, names of databases that belong to the servers, and the
//! character sets of collation numbers. No I/O.

use crate::{
    config::{Limits, ProxyConfig},
    error::SqlError,
    state::Names,
};
use shardline_router::reserved;
use std::time::Duration;

pub(crate) use crate::config::ReadConsistency;
pub(crate) use shardline_router::reserved::OWN_SCHEMA;

/// Databases that exist on every server and are not in the catalog.
const SYSTEM_DATABASES: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// What a session has set of the `shardline_*` variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// `shardline_allow_explicit_ids`.
    pub(crate) allow_explicit_ids: bool,
    /// `shardline_read_consistency`.
    pub(crate) read_consistency: ReadConsistency,
    /// What it is by default.
    usual_consistency: ReadConsistency,
    /// `wait_timeout`, which the proxy keeps itself.
    pub(crate) wait_timeout: Option<Duration>,
}

impl Settings {
    /// Those of a new session.
    pub(crate) fn new(config: &ProxyConfig) -> Self {
        let usual = config.read_consistency;
        Settings { read_consistency: usual, usual_consistency: usual, ..Settings::default() }
    }

    /// Sets one of Shardline's own variables.
    ///
    /// # Errors
    /// There is no such variable, or the value does not fit.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        match name {
            "shardline_allow_explicit_ids" => {
                self.allow_explicit_ids =
                    boolean(value).ok_or_else(|| SqlError::wrong_value(name, value))?;
                Ok(())
            }
            "shardline_read_consistency" => {
                let word = value.trim().trim_matches(['\'', '"']);
                self.read_consistency = match word.eq_ignore_ascii_case("default") {
                    true => self.usual_consistency,
                    false => ReadConsistency::of(word)
                        .ok_or_else(|| SqlError::wrong_value(name, value))?,
                };
                Ok(())
            }
            _ => Err(SqlError::unknown_variable(name)),
        }
    }

    /// Shardline's own variables and their values.
    pub(crate) fn variables(&self) -> [(&'static str, &'static str); 2] {
        let explicit_ids = if self.allow_explicit_ids { "ON" } else { "OFF" };
        [
            ("shardline_allow_explicit_ids", explicit_ids),
            ("shardline_read_consistency", self.read_consistency.name()),
        ]
    }

    /// After how long without a command the session ends.
    pub(crate) fn idle_timeout(&self, limits: &Limits) -> Duration {
        self.wait_timeout.unwrap_or(limits.idle_timeout)
    }
}

/// ON, OFF, 1, 0, TRUE, FALSE and their quoted forms; DEFAULT is `default`.
pub(crate) fn boolean(value: &str) -> Option<bool> {
    let value = value.trim().trim_matches(['\'', '"']).to_ascii_lowercase();
    match value.as_str() {
        "1" | "on" | "true" => Some(true),
        "0" | "off" | "false" | "default" => Some(false),
        _ => None,
    }
}

/// Whether the servers have this database by themselves.
pub(crate) fn is_system_database(name: &str) -> bool {
    SYSTEM_DATABASES.iter().any(|system| system.eq_ignore_ascii_case(name))
}

/// Whether clients must not see this database.
pub(crate) fn is_hidden_database(name: &str) -> bool {
    reserved::is_own_schema(name.as_bytes())
}

/// The character sets that a collation number of the handshake stands for. Numbers that
/// not all servers know are taken as utf8mb4, as servers do.
pub(crate) fn names_of_collation(number: u16) -> Names {
    let (charset, collation) = match number {
        1 => ("big5", "big5_chinese_ci"),
        8 => ("latin1", "latin1_swedish_ci"),
        9 => ("latin2", "latin2_general_ci"),
        11 => ("ascii", "ascii_general_ci"),
        12 => ("ujis", "ujis_japanese_ci"),
        13 => ("sjis", "sjis_japanese_ci"),
        24 => ("gb2312", "gb2312_chinese_ci"),
        28 => ("gbk", "gbk_chinese_ci"),
        33 => ("utf8mb3", "utf8mb3_general_ci"),
        46 => ("utf8mb4", "utf8mb4_bin"),
        47 => ("latin1", "latin1_bin"),
        48 => ("latin1", "latin1_general_ci"),
        51 => ("cp1251", "cp1251_general_ci"),
        63 => ("binary", "binary"),
        65 => ("ascii", "ascii_bin"),
        83 => ("utf8mb3", "utf8mb3_bin"),
        192 => ("utf8mb3", "utf8mb3_unicode_ci"),
        224 => ("utf8mb4", "utf8mb4_unicode_ci"),
        246 => ("utf8mb4", "utf8mb4_unicode_520_ci"),
        _ => return Names::utf8mb4(),
    };
    Names::new(charset, Some(charset), collation).unwrap_or_else(|_| Names::utf8mb4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_variables_are_checked() {
        let mut settings = Settings::default();
        settings.set("shardline_allow_explicit_ids", "'ON'").unwrap();
        assert!(settings.allow_explicit_ids);
        settings.set("shardline_allow_explicit_ids", "DEFAULT").unwrap();
        assert!(!settings.allow_explicit_ids);
        assert_eq!(settings.set("shardline_allow_explicit_ids", "2").unwrap_err().number, 1231);
        assert_eq!(settings.set("shardline_nothing", "2").unwrap_err().number, 1193);
    }

    #[test]
    fn read_levels_are_words() {
        let mut settings = Settings::default();
        let name = "shardline_read_consistency";
        settings.set(name, "'ATOMIC'").unwrap();
        assert_eq!(settings.read_consistency, ReadConsistency::Atomic);
        settings.set(name, "strict").unwrap();
        assert_eq!(settings.read_consistency, ReadConsistency::Strict);
        settings.set(name, "committed").unwrap();
        assert_eq!(settings.read_consistency, ReadConsistency::Committed);
        for (value, number) in [("serial", 1231), ("1", 1231)] {
            assert_eq!(settings.set(name, value).unwrap_err().number, number, "{value}");
        }
        assert_eq!(settings.read_consistency, ReadConsistency::Committed);
        settings.set(name, "DEFAULT").unwrap();
        assert_eq!(settings.read_consistency, ReadConsistency::Local);
    }

    #[test]
    fn unknown_collations_are_utf8mb4() {
        assert_eq!(names_of_collation(255), Names::utf8mb4());
        assert_eq!(names_of_collation(8).client(), "latin1");
        assert_eq!(names_of_collation(224).collation(), "utf8mb4_unicode_ci");
    }
}
