//! Pieces of a table in the order of its primary key, as SQL: the server alone compares keys, whatever
//! their types and collations. Pure.

use crate::table::Table;

/// Bytes of rows that a chunk aims at.
const CHUNK_BYTES: f64 = (2 << 20) as f64;
/// Rows that one chunk looks at.
const ROWS: std::ops::RangeInclusive<f64> = 16.0..=100_000.0;

/// A piece: keys after the first and up to the second, inclusive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    /// Empty for the table's start.
    pub(crate) after: Vec<String>,
    /// None for the table's end.
    pub(crate) until: Option<Vec<String>>,
}

/// How many rows a chunk looks at: `share` of them move.
pub(crate) fn rows_for(row_bytes: f64, share: f64) -> u64 {
    let rows = CHUNK_BYTES / row_bytes.max(16.0) / share.max(0.001);
    rows.clamp(*ROWS.start(), *ROWS.end()) as u64
}

/// The keys beyond a key, as a condition that an index can be searched by.
fn beyond(names: &[String], key: &[String], sign: &str, last_sign: &str) -> String {
    let mut cases = Vec::with_capacity(names.len());
    for (place, (name, value)) in names.iter().zip(key).enumerate() {
        let mut parts: Vec<String> = names
            .iter()
            .zip(key)
            .take(place)
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        let sign = if place + 1 == names.len() { last_sign } else { sign };
        parts.push(format!("{name} {sign} {value}"));
        cases.push(format!("({})", parts.join(" AND ")));
    }
    format!("({})", cases.join(" OR "))
}

impl Range {
    fn conditions(&self, table: &Table) -> Vec<String> {
        let names = table.primary_names();
        let mut conditions = Vec::with_capacity(3);
        if !self.after.is_empty() {
            conditions.push(beyond(&names, &self.after, ">", ">"));
        }
        if let Some(until) = &self.until {
            conditions.push(beyond(&names, until, "<", "<="));
        }
        conditions
    }

    /// A condition for the rows of the units in this piece.
    pub(crate) fn inside(&self, table: &Table) -> String {
        let mut conditions = self.conditions(table);
        conditions.push(table.inside.clone());
        conditions.join(" AND ")
    }

    /// Reads the rows of the units.
    pub(crate) fn select(&self, table: &Table) -> String {
        format!(
            "SELECT {} FROM {} FORCE INDEX (PRIMARY) WHERE {} ORDER BY {}",
            table.select_list(),
            table.sql_name,
            self.inside(table),
            table.primary_names().join(", ")
        )
    }
}

/// Finds the last key of the piece that begins after a key; none when the rest is one piece.
/// `only_inside`: the rows counted are those of the units.
pub(crate) fn bound(table: &Table, after: &[String], rows: u64, only_inside: bool) -> String {
    let range = Range { after: after.to_vec(), until: None };
    let conditions = if only_inside { vec![range.inside(table)] } else { range.conditions(table) };
    let condition = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    format!(
        "SELECT {} FROM {} FORCE INDEX (PRIMARY){condition} ORDER BY {} LIMIT 1 OFFSET {}",
        table.primary_list(),
        table.sql_name,
        table.primary_names().join(", "),
        rows.saturating_sub(1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::table;

    #[test]
    fn keys_of_several_columns_are_compared_part_by_part() {
        let table = table(&[&["k", "id"]]);
        let range = Range {
            after: vec!["1".into(), "2".into()],
            until: Some(vec!["3".into(), "4".into()]),
        };
        let conditions = range.conditions(&table);
        assert_eq!(conditions[0], "((`k` > 1) OR (`k` = 1 AND `id` > 2))");
        assert_eq!(conditions[1], "((`k` < 3) OR (`k` = 3 AND `id` <= 4))");
        let sql = bound(&table, &[], 10, false);
        assert_eq!(
            sql,
            "SELECT `k`, `id` FROM `d`.`t` FORCE INDEX (PRIMARY) ORDER BY `k`, `id` LIMIT 1 OFFSET 9"
        );
        assert!(bound(&table, &range.after, 10, true).contains(" AND (1 = 1) ORDER BY"));
    }

    #[test]
    fn chunks_are_neither_tiny_nor_huge() {
        assert_eq!(rows_for(1e9, 1.0), 16);
        assert_eq!(rows_for(1.0, 0.0001), 100_000);
        assert_eq!(rows_for(2048.0, 0.5), 2048);
    }
}
