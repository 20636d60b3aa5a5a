//! A place in a server's binlog.

use std::{cmp::Ordering, fmt};

/// The end of an event: file and byte. Files are numbered in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// Name of the file.
    pub file: String,
    /// Bytes before it.
    pub offset: u64,
}

impl Position {
    /// The file's number, which its name ends with.
    fn number(&self) -> u64 {
        let digits = self.file.rsplit('.').next().unwrap_or_default();
        digits.parse().unwrap_or(0)
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By number, not by text: `binlog.1000000` comes after `binlog.999999`.
impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.number().cmp(&other.number());
        order.then_with(|| self.offset.cmp(&other.offset)).then_with(|| self.file.cmp(&other.file))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_ordered_by_number() {
        let at = |file: &str, offset| Position { file: file.into(), offset };
        assert!(at("b.999999", 9) < at("b.1000000", 4));
        assert!(at("b.000002", 5) > at("b.000002", 4));
        assert!(Position::default() < at("b.000001", 4));
        assert_eq!(at("b.000001", 7).to_string(), "b.000001:7");
    }
}
