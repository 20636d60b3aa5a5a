//! Literals: as SQL text and as a parameter of a prepared statement.

use crate::random::Random;
use mysql_async::Value;

/// One value.
#[derive(Clone, Debug)]
pub(crate) struct Lit {
    pub(crate) text: String,
    /// None where only the text can say it.
    pub(crate) param: Option<Value>,
}

impl Lit {
    pub(crate) fn null() -> Self {
        Self { text: "NULL".into(), param: Some(Value::NULL) }
    }

    pub(crate) fn int(value: i64) -> Self {
        Self { text: value.to_string(), param: Some(Value::Int(value)) }
    }

    pub(crate) fn uint(value: u64) -> Self {
        Self { text: value.to_string(), param: Some(Value::UInt(value)) }
    }

    /// A decimal: drivers send it as text.
    pub(crate) fn decimal(value: String) -> Self {
        Self { param: Some(Value::Bytes(value.clone().into_bytes())), text: value }
    }

    pub(crate) fn double(value: f64) -> Self {
        Self { text: format!("{value:e}"), param: Some(Value::Double(value)) }
    }

    pub(crate) fn string(value: &str) -> Self {
        let text = format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"));
        Self { text, param: Some(Value::Bytes(value.into())) }
    }

    pub(crate) fn bytes(value: &[u8]) -> Self {
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text: format!("x'{hex}'"), param: Some(Value::Bytes(value.into())) }
    }

    /// Only text.
    pub(crate) fn raw(text: &str) -> Self {
        Self { text: text.into(), param: None }
    }
}

/// Texts with case, accents, trailing spaces, wildcards and quotes.
pub(crate) const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "a ",
    "b",
    "B",
    "ab",
    "AB",
    "aB  ",
    "é",
    "E",
    "e",
    "É ",
    "ñ",
    "n",
    "Z",
    "z",
    "_",
    "%",
    "a%b",
    "10",
    "12abc",
    "ß",
    "s",
    "ss",
    "日本",
    "😀",
    "o'k",
    "back\\slash",
    "-1",
    " lead",
    "tab\t",
    "c",
    "d",
    "x",
    "y",
    "hello world",
    "Hello World",
    "0",
    "1e1",
];

/// The same for latin1.
pub(crate) const LATIN_TEXTS: &[&str] =
    &["", "a", "A", "a ", "b", "é", "E", "e", "ß", "ñ", "Z", "10", "12abc", "o'k", "ÿ", "y"];

pub(crate) fn text(random: &mut Random) -> Lit {
    Lit::string(random.of(TEXTS))
}

/// Dates close together, so that they meet.
pub(crate) fn date_text(random: &mut Random) -> String {
    let (year, month, day) =
        (random.between(2023, 2026), random.between(1, 12), random.between(1, 4) * 7);
    format!("{year:04}-{month:02}-{day:02}")
}

pub(crate) fn clock_text(random: &mut Random, digits: usize) -> String {
    let (h, m, s) = (random.between(0, 23), random.between(0, 5) * 10, random.between(0, 59));
    let mut text = format!("{h:02}:{m:02}:{s:02}");
    if digits > 0 {
        text.push('.');
        for _ in 0..digits {
            text.push_str(random.of(&["0", "5", "9"]));
        }
    }
    text
}
