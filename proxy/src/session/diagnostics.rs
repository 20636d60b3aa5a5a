//! What SHOW WARNINGS and SHOW ERRORS say about the last statement. No I/O.

use super::answer::Table;
use crate::{backend::TextResult, error::SqlError};
use bytes::Bytes;

/// The query by which a shard's warnings are fetched.
pub(crate) const WARNINGS_SQL: &[u8] = b"SHOW WARNINGS";
/// Conditions kept for one statement, as `max_error_count` of the servers.
const CONDITIONS_MAX: usize = 64;

/// How grave a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The statement failed.
    Error,
    /// It did something that may not be meant.
    Warning,
    /// Good to know.
    Note,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Error => "Error",
            Level::Warning => "Warning",
            Level::Note => "Note",
        }
    }

    fn of(name: &[u8]) -> Self {
        match name {
            b"Error" => Level::Error,
            b"Note" => Level::Note,
            _ => Level::Warning,
        }
    }
}

/// One line of SHOW WARNINGS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// How grave.
    pub(crate) level: Level,
    /// Number.
    pub(crate) code: u16,
    /// Text.
    pub(crate) message: Vec<u8>,
}

/// The conditions of the last statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diagnostics {
    conditions: Vec<Condition>,
    /// How many there were, also those that were not kept.
    count: usize,
}

impl Diagnostics {
    /// The number of the error that the last statement ended with.
    pub(crate) fn last_error(&self) -> Option<u16> {
        let mut errors = self.conditions.iter().rev();
        errors.find(|one| one.level == Level::Error).map(|one| one.code)
    }

    /// A new statement begins.
    pub(crate) fn clear(&mut self) {
        self.conditions.clear();
        self.count = 0;
    }

    /// How many there are, as the OK packet says it.
    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.count).unwrap_or(u16::MAX)
    }

    /// Adds one.
    pub(crate) fn push(&mut self, level: Level, code: u16, message: impl Into<Vec<u8>>) {
        self.count += 1;
        if self.conditions.len() < CONDITIONS_MAX {
            self.conditions.push(Condition { level, code, message: message.into() });
        }
    }

    /// The statement failed.
    pub(crate) fn error(&mut self, error: &SqlError) {
        self.push(Level::Error, error.number, error.message.clone());
    }

    /// Adds the rows of a shard's SHOW WARNINGS.
    pub(crate) fn extend(&mut self, result: TextResult) {
        for row in result.rows {
            let mut values = row.into_iter().map(Option::unwrap_or_default);
            let (level, code, message) = (values.next(), values.next(), values.next());
            let level = Level::of(&level.unwrap_or_default());
            let code =
                code.as_deref().and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
            self.push(level, code.unwrap_or(0), message.unwrap_or_default().to_vec());
        }
    }

    /// They could not be fetched: only their number is known.
    pub(crate) fn count_only(&mut self, count: u16) {
        self.count += usize::from(count);
    }

    /// The answer to SHOW WARNINGS or SHOW ERRORS.
    pub(crate) fn table(&self, errors_only: bool, offset: u64, limit: Option<u64>) -> Table {
        let mut table = Table::of_text(&["Level", "Code", "Message"]).with_integer(1);
        let wanted = |condition: &&Condition| !errors_only || condition.level == Level::Error;
        let clip = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let chosen = self.conditions.iter().filter(wanted).skip(clip(offset));
        for condition in chosen.take(clip(limit.unwrap_or(u64::MAX))) {
            table.rows.push(vec![
                Some(condition.level.name().into()),
                Some(condition.code.to_string().into_bytes()),
                Some(condition.message.clone()),
            ]);
        }
        table
    }

    /// The answer to SHOW COUNT(*) WARNINGS or ERRORS.
    pub(crate) fn count_table(&self, errors_only: bool) -> Table {
        let (name, count) = if errors_only {
            let errors = self.conditions.iter().filter(|found| found.level == Level::Error);
            ("@@session.error_count", errors.count())
        } else {
            ("@@session.warning_count", self.count)
        };
        let mut table = Table::of_text(&[name]).with_integer(0);
        table.push([Some(count.to_string())]);
        table
    }
}

/// Adds the figures of the info texts of several shards' OK packets (`Records: 2
/// Duplicates: 0  Warnings: 0`); None when their words differ.
pub(crate) fn add_infos(infos: &[Bytes]) -> Option<String> {
    let words = |info: &Bytes| -> Option<Vec<String>> {
        Some(std::str::from_utf8(info).ok()?.split_whitespace().map(str::to_owned).collect())
    };
    let mut total: Vec<String> = words(infos.first()?)?;
    for info in &infos[1..] {
        let other = words(info)?;
        if other.len() != total.len() {
            return None;
        }
        for (sum, word) in total.iter_mut().zip(other) {
            match (sum.parse::<u64>(), word.parse::<u64>()) {
                (Ok(one), Ok(two)) => *sum = one.saturating_add(two).to_string(),
                _ if *sum == word => {}
                _ => return None,
            }
        }
    }
    let mut text = String::new();
    for word in total {
        let after_number = text.ends_with(|last: char| last.is_ascii_digit());
        if !text.is_empty() {
            text.push_str(if after_number { "  " } else { " " });
        }
        text.push_str(&word);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infos_are_added_by_their_figures() {
        let infos = [
            Bytes::from_static(b"Rows matched: 2  Changed: 1  Warnings: 0"),
            Bytes::from_static(b"Rows matched: 3  Changed: 3  Warnings: 1"),
        ];
        let total = add_infos(&infos).unwrap();
        assert_eq!(total, "Rows matched: 5  Changed: 4  Warnings: 1");
        let other = [infos[0].clone(), Bytes::from_static(b"Records: 1")];
        assert_eq!(add_infos(&other), None);
        assert_eq!(add_infos(&[]), None);
    }

    #[test]
    fn conditions_are_bounded_and_counted() {
        let mut diagnostics = Diagnostics::default();
        for _ in 0..100 {
            diagnostics.push(Level::Warning, 1265, "Data truncated");
        }
        diagnostics.push(Level::Error, 1062, "Duplicate entry");
        assert_eq!(diagnostics.count(), 101);
        assert_eq!(diagnostics.table(false, 60, Some(10)).rows.len(), 4);
        assert_eq!(diagnostics.count_table(false).rows[0][0], Some(b"101".to_vec()));
    }
}
