//! How values compare when shards' rows are merged, and the hidden columns by which the
//! servers tell it: WEIGHT_STRING of the value, and of the space that pads it.

use crate::{bind::Facts, plan::Refusal};
use shardline_model::catalog::Column;

/// How values of an expression compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// By the type of the column in the result.
    ByType,
    /// By number, though they are shown as text.
    Enum,
    /// By a number that the values do not show: FLOAT as text has six digits, and MIN and
    /// MAX of BIT are text. The number is the value and what is appended here.
    Number(&'static str),
    /// By this collation.
    Collation(String),
    /// By a collation of several levels that pads: `chars` is the column's length, None for
    /// TEXT. A weight has all first levels before all second ones, so that spaces cannot be
    /// appended to it afterwards.
    Levels {
        /// Characters.
        chars: Option<u32>,
    },
    /// Perhaps strings: the servers say by which collation.
    Unknown,
}

/// How the values of a table's column compare.
pub(crate) fn column_comparison(column: &Column) -> Comparison {
    let (name, rest) = match column.column_type.split_once(['(', ' ']) {
        Some((name, rest)) => (name, rest),
        None => (column.column_type.as_str(), ""),
    };
    match name {
        "enum" | "set" => Comparison::Enum,
        "float" => Comparison::Number("+0e0"),
        "bit" => Comparison::Number("+0"),
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "decimal"
        | "numeric" | "double" | "year" | "date" | "time" | "datetime" | "timestamp" | "binary"
        | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Comparison::ByType,
        _ => match column.collation.as_deref() {
            Some("binary") => Comparison::ByType,
            Some(collation) if pads_by_levels(collation) => Comparison::Levels {
                chars: rest.split(')').next().and_then(|length| length.parse().ok()),
            },
            Some(collation) => Comparison::Collation(collation.to_owned()),
            None => Comparison::Unknown,
        },
    }
}

/// Whether a table's column has numbers that its text shows in full.
pub(crate) fn is_number(column: &Column) -> bool {
    let name = column.column_type.split(['(', ' ']).next().unwrap_or_default();
    matches!(
        name,
        "tinyint"
            | "smallint"
            | "mediumint"
            | "int"
            | "integer"
            | "bigint"
            | "decimal"
            | "numeric"
            | "double"
            | "year"
    )
}

/// Whether a table's column has times of day.
pub(crate) fn has_fraction(column: &Column) -> bool {
    let name = column.column_type.split(['(', ' ']).next().unwrap_or_default();
    matches!(name, "time" | "datetime" | "timestamp")
}

fn pads(collation: &str) -> bool {
    !(collation.contains("nopad") || collation.contains("_0900_"))
}

/// Whether a collation compares by more than one level, and pads.
fn pads_by_levels(collation: &str) -> bool {
    let levels = collation.contains("uca1400") && !collation.contains("_ai_ci");
    pads(collation) && (levels || collation.ends_with("_w2"))
}

/// The expressions of a value's hidden columns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Weights {
    /// The value's weight.
    pub(crate) weight: Option<Vec<u8>>,
    /// The weight of one space, where the shorter weight is to be padded.
    pub(crate) pad: Option<Vec<u8>>,
}

impl Weights {
    /// For the values of the expression `text`.
    ///
    /// # Errors
    /// No expression gives a weight that can be compared byte by byte.
    pub(crate) fn of(text: &[u8], compare: &Comparison, facts: &Facts) -> Result<Self, Refusal> {
        let weight = [b"WEIGHT_STRING(", text, b")"].concat();
        match compare {
            Comparison::ByType | Comparison::Enum | Comparison::Number(_) => {
                Ok(Self { weight: None, pad: None })
            }
            Comparison::Levels { chars: Some(chars) } => {
                let length = format!(" AS CHAR({chars}))");
                let weight = [b"WEIGHT_STRING(", text, length.as_bytes()].concat();
                Ok(Self { weight: Some(weight), pad: None })
            }
            Comparison::Levels { chars: None } => Err(refused()),
            Comparison::Collation(collation) => {
                let charset = collation.split('_').next().unwrap_or_default();
                let space = format!("WEIGHT_STRING(_{charset}' ' COLLATE {collation})");
                let pad = pads(collation).then(|| space.into_bytes());
                Ok(Self { weight: Some(weight), pad })
            }
            Comparison::Unknown if facts.columns().any(is_levelled) => Err(refused()),
            Comparison::Unknown => {
                // The pad of the expression's own collation; empty where it does not pad.
                let mut pad = b"IF(COLLATION(".to_vec();
                pad.extend_from_slice(text);
                pad.extend_from_slice(
                    b") REGEXP '^binary$|nopad|_0900_', '', WEIGHT_STRING(CONCAT(LEFT(",
                );
                pad.extend_from_slice(text);
                pad.extend_from_slice(b", 0), ' ')))");
                Ok(Self { weight: Some(weight), pad: Some(pad) })
            }
        }
    }
}

fn is_levelled(column: &Column) -> bool {
    column.collation.as_deref().is_some_and(pads_by_levels)
}

fn refused() -> Refusal {
    Refusal::not_supported(
        "text under a collation of several levels is sorted, grouped or made distinct over several shards",
        "use a column of CHAR or VARCHAR by itself, or a collation whose name ends in _ai_ci or _bin",
    )
}
