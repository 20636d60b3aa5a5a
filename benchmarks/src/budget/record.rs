//! The record of budgets, and what a count is beside it.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, path::Path};

/// How far above its budget a case may be, in percent, under the compiler of the record.
pub(super) const MARGIN_PERCENT: u64 = 5;
/// The same under another compiler, which makes other code of the same text.
pub(super) const OTHER_COMPILER_MARGIN_PERCENT: u64 = 15;
/// How far below its budget a case must be to say so.
const BETTER_PERCENT: u64 = 10;

/// Budgets as they were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// `rustc --version` of the recording machine.
    pub(super) compiler: String,
    /// Instructions of one round by the case's name.
    pub(super) instructions: BTreeMap<String, u64>,
}

/// What a count is beside its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is no budget for it.
    Unknown,
    /// Within the margin.
    Kept,
    /// So much less that the budget should be recorded anew.
    Better,
    /// Above the margin.
    Exceeded,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Writes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("writing the record")? + "\n";
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// The margin for counts made with this compiler.
    pub(super) fn margin_percent(&self, compiler: &str) -> u64 {
        if compiler == self.compiler { MARGIN_PERCENT } else { OTHER_COMPILER_MARGIN_PERCENT }
    }

    /// What a count is beside the record.
    pub(super) fn verdict(&self, name: &str, count: u64, margin_percent: u64) -> Verdict {
        let Some(&budget) = self.instructions.get(name) else { return Verdict::Unknown };
        if count.saturating_mul(100) > budget.saturating_mul(100 + margin_percent) {
            Verdict::Exceeded
        } else if count.saturating_mul(100) < budget.saturating_mul(100 - BETTER_PERCENT) {
            Verdict::Better
        } else {
            Verdict::Kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_their_margins() {
        let record = Record {
            compiler: "rustc 1".into(),
            instructions: BTreeMap::from([("a".to_owned(), 1_000)]),
        };
        let same = record.margin_percent("rustc 1");
        let other = record.margin_percent("rustc 2");
        assert_eq!(record.verdict("a", 1_050, same), Verdict::Kept);
        assert_eq!(record.verdict("a", 1_051, same), Verdict::Exceeded);
        assert_eq!(record.verdict("a", 1_150, other), Verdict::Kept);
        assert_eq!(record.verdict("a", 1_151, other), Verdict::Exceeded);
        assert_eq!(record.verdict("a", 900, same), Verdict::Kept);
        assert_eq!(record.verdict("a", 899, same), Verdict::Better);
        assert_eq!(record.verdict("b", 1, same), Verdict::Unknown);
    }
}
