//! Rules that apply by table name at CREATE TABLE.

use crate::catalog::{Catalog, TableRule};

/// Whether `name` fits `pattern`, in which `*` stands for any text, also none.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    let Some(mut rest) = rest.strip_suffix(last) else { return false };
    // The first place of each piece is as good as any later one.
    for piece in pieces {
        match rest.find(piece) {
            Some(start) => rest = &rest[start + piece.len()..],
            None => return false,
        }
    }
    true
}

impl Catalog {
    /// The first rule that fits a new table.
    pub fn rule_for(&self, database: &str, table: &str) -> Option<&TableRule> {
        self.rules
            .iter()
            .find(|rule| matches(&rule.database, database) && matches(&rule.table, table))
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        let cases = [
            ("sbtest*", "sbtest1", true),
            ("sbtest*", "sbtest", true),
            ("sbtest*", "xsbtest1", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxc", false),
            ("ab*ba", "aba", false),
            ("*_log", "event_log", true),
            ("*_log*", "event_log_2", true),
            ("a**b", "ab", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
