//! The words that anything in the router asks for. A word of a statement is looked up
//! here once; what it may be is remembered with its piece, so that a pass over the pieces
//! compares texts only where that can succeed.

use crate::{parse, planner::functions, planner::shape};
use sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, Keyword};
use std::sync::LazyLock;

/// What a word may be, as a set. A mark says that it is worth to compare, no more: a
/// column may have any name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    /// A function or word that [`functions`] looks for.
    pub(crate) const CALL: Self = Self(1);
    /// A word with which a part starts that sqlparser must not see.
    pub(crate) const SKIPPED: Self = Self(2);
    /// A word that sqlparser must see as another.
    pub(crate) const RENAMED: Self = Self(4);
    /// A word with which a clause of a SELECT starts.
    pub(crate) const CLAUSE: Self = Self(8);

    /// Whether the two have a mark in common.
    pub(crate) fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The marks of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What is known of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// What sqlparser calls it.
    pub(crate) keyword: Keyword,
    pub(crate) marks: Marks,
}

const UNKNOWN: Known = Known { keyword: Keyword::NoKeyword, marks: Marks(0) };

/// A power of two, several times the number of words.
const SLOTS: usize = 4_096;

/// Open addressing: at a word's slot or behind it.
struct Table {
    slots: Vec<Option<(&'static str, Known)>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

/// FNV-1a over the bytes without the bit of lower case.
fn slot_of(word: &[u8]) -> usize {
    let hash = word.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte & 0xdf)).wrapping_mul(0x0100_0193)
    });
    (hash ^ (hash >> 15)) as usize % SLOTS
}

impl Table {
    fn build() -> Self {
        let mut table = Self { slots: vec![None; SLOTS] };
        for (word, keyword) in ALL_KEYWORDS.iter().zip(ALL_KEYWORDS_INDEX) {
            table.known(word).keyword = *keyword;
        }
        for (mark, lists) in [
            (Marks::CALL, functions::WORDS),
            (Marks::SKIPPED, parse::SKIPPED_WORDS),
            (Marks::RENAMED, parse::RENAMED_WORDS),
            (Marks::CLAUSE, shape::WORDS),
        ] {
            for word in lists.iter().copied().flatten() {
                let known = table.known(word);
                known.marks = known.marks.and(mark);
            }
        }
        table
    }

    /// The place of a word, which is new or there already.
    fn known(&mut self, word: &'static str) -> &mut Known {
        let mut slot = slot_of(word.as_bytes());
        while self.slots[slot].is_some_and(|(there, _)| there != word) {
            slot = (slot + 1) % SLOTS;
        }
        &mut self.slots[slot].get_or_insert((word, UNKNOWN)).1
    }

    fn find(&self, word: &[u8]) -> Known {
        let mut slot = slot_of(word);
        while let Some((there, known)) = self.slots[slot] {
            if there.as_bytes().eq_ignore_ascii_case(word) {
                return known;
            }
            slot = (slot + 1) % SLOTS;
        }
        UNKNOWN
    }
}

/// What is known of an unquoted word, in any case.
pub(crate) fn look_up(word: &[u8]) -> Known {
    TABLE.find(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::tokenizer::Token;

    #[test]
    fn the_table_has_room() {
        let used = TABLE.slots.iter().flatten().count();
        assert!(used * 2 < SLOTS, "{used} words");
    }

    #[test]
    fn keywords_are_those_of_sqlparser_in_any_case() {
        let others = ["id", "sbtest1", "", "x", "_utf8mb4", "ende", "größe", "select1"];
        for word in ALL_KEYWORDS.iter().copied().chain(others) {
            for word in [word.to_owned(), word.to_ascii_lowercase()] {
                let Token::Word(expected) = Token::make_word(&word, None) else { panic!() };
                assert_eq!(look_up(word.as_bytes()).keyword, expected.keyword, "{word}");
            }
        }
    }

    #[test]
    fn marks_add_up() {
        assert_eq!(look_up(b"into").marks, Marks(1 | 2 | 8));
        assert_eq!(look_up(b"Low_Priority").marks, Marks::SKIPPED);
        assert_eq!(look_up(b"id").marks, Marks(0));
    }
}
