//! A table's definition without what a temporary table cannot have: partitions, FULLTEXT keys,
//! foreign keys, system versioning. Pure.

/// What the definition's last line begins with.
const OPTIONS: &str = ") ";
const VERSIONING: &str = " WITH SYSTEM VERSIONING";

/// The statement that makes a temporary table `full_name` like the one of which `shown` is SHOW
/// CREATE TABLE, which writes each column and key on a line of its own. None when it is no table.
pub(super) fn temporary(shown: &str, full_name: &str) -> Option<String> {
    let mut lines = shown.lines();
    let first = lines.next()?;
    if !first.starts_with("CREATE TABLE ") || !first.ends_with(" (") {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    let options = loop {
        let line = lines.next()?;
        if line.starts_with(OPTIONS) {
            break line;
        }
        let part = line.trim_start().trim_end_matches(',');
        let foreign = part.starts_with("CONSTRAINT ") && part.contains(" FOREIGN KEY (");
        if !part.starts_with("FULLTEXT KEY ") && !foreign {
            parts.push(part);
        }
    };
    let options = options.replace(VERSIONING, "");
    Some(format!("CREATE TEMPORARY TABLE {full_name} ({}{options}", parts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_temporary_table_cannot_have_is_left_out() {
        let shown = "CREATE TABLE `a b` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  \
             `t` text DEFAULT NULL COMMENT ') ENGINE\\n',\n  PRIMARY KEY (`id`),\n  \
             FULLTEXT KEY `f` (`t`),\n  CONSTRAINT `x` FOREIGN KEY (`id`) REFERENCES `c` (`id`),\n  \
             CONSTRAINT `k` CHECK (`id` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT \
             CHARSET=utf8mb4 WITH SYSTEM VERSIONING\n PARTITION BY HASH (`id`)\nPARTITIONS 3";
        let expected = "CREATE TEMPORARY TABLE `d`.`a b` (`id` int(11) NOT NULL AUTO_INCREMENT,`t` \
             text DEFAULT NULL COMMENT ') ENGINE\\n',PRIMARY KEY (`id`),CONSTRAINT `k` CHECK (`id` > \
             0)) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4";
        assert_eq!(temporary(shown, "`d`.`a b`").as_deref(), Some(expected));
        assert_eq!(temporary("CREATE VIEW `v` AS SELECT 1", "`d`.`v`"), None);
        assert_eq!(temporary("CREATE TABLE `v` (\n  `id` int", "`d`.`v`"), None);
    }
}
