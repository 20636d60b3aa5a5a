//! From a column's definition to its [`KeyType`], or to the reason why the column cannot
//! be a shard key and what to declare instead.

use crate::{
    catalog::Column,
    collation,
    key::{BINARY_BYTES_MAX, DECIMAL_DIGITS_MAX, KeyCollation, KeyType, TEXT_CHARS_MAX, YEAR_MIN},
};

/// Why a column cannot be a shard key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column '{column}' cannot be a shard key: {reason}; {fix}")]
pub struct KeyTypeError {
    /// The column.
    pub column: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do instead.
    pub fix: String,
}

impl KeyType {
    /// The key type of a column.
    ///
    /// # Errors
    /// When the column is nullable or generated, or when its type or collation has no
    /// canonical form that is proven to agree with the servers.
    pub fn of_column(column: &Column) -> Result<KeyType, KeyTypeError> {
        let refuse = |reason: String, fix: &str| {
            Err(KeyTypeError { column: column.name.clone(), reason, fix: fix.to_owned() })
        };
        if column.nullable {
            return refuse("it can be NULL".to_owned(), "declare it NOT NULL");
        }
        if column.generated {
            return refuse(
                "it is a generated column, so INSERT does not say its value".to_owned(),
                "make it an ordinary column that the application fills",
            );
        }
        let column_type = column.column_type.trim().to_ascii_lowercase();
        let parsed = TypeText::parse(&column_type);
        let unsigned = parsed.has("unsigned") || parsed.has("zerofill");
        match parsed.name {
            "tinyint" => Ok(integer(8, unsigned)),
            "smallint" => Ok(integer(16, unsigned)),
            "mediumint" => Ok(integer(24, unsigned)),
            "int" | "integer" => Ok(integer(32, unsigned)),
            "bigint" => Ok(integer(64, unsigned)),
            "year" if parsed.numbers != [2] => Ok(KeyType::Integer { min: YEAR_MIN, max: 2_155 }),
            "decimal" | "numeric" => {
                decimal(&parsed, unsigned).or_else(|(reason, fix)| refuse(reason, fix))
            }
            "char" | "varchar" => text(&parsed, column.collation.as_deref())
                .or_else(|(reason, fix)| refuse(reason, fix)),
            "binary" | "varbinary" => binary(&parsed).or_else(|(reason, fix)| refuse(reason, fix)),
            "date" => Ok(KeyType::Date),
            "datetime" => Ok(KeyType::DateTime { fsp: parsed.fsp() }),
            "time" => Ok(KeyType::Time { fsp: parsed.fsp() }),
            _ => refuse(format!("its type is {column_type}"), fix_for(parsed.name)),
        }
    }
}

/// What to declare instead of a type that cannot be a key.
fn fix_for(type_name: &str) -> &'static str {
    match type_name {
        "float" | "double" | "real" => "declare it DECIMAL or an integer type",
        "timestamp" => "declare it DATETIME, which does not depend on the session's time zone",
        "enum" | "set" | "tinytext" | "text" | "mediumtext" | "longtext" | "json" => {
            "declare it VARCHAR with a _bin collation such as utf8mb4_bin"
        }
        "tinyblob" | "blob" | "mediumblob" | "longblob" | "bit" => "declare it VARBINARY",
        "uuid" => "declare it BINARY(16), or CHAR(36) with collation ascii_general_ci",
        "inet4" | "inet6" => "declare it VARBINARY(16)",
        _ => {
            "choose a column of an integer, DECIMAL, CHAR, VARCHAR, BINARY, VARBINARY, DATE, DATETIME or TIME type"
        }
    }
}

fn integer(bits: u32, unsigned: bool) -> KeyType {
    if unsigned {
        KeyType::Integer { min: 0, max: (1 << bits) - 1 }
    } else {
        KeyType::Integer { min: -(1 << (bits - 1)), max: (1 << (bits - 1)) - 1 }
    }
}

type Refused = (String, &'static str);

fn decimal(parsed: &TypeText<'_>, unsigned: bool) -> Result<KeyType, Refused> {
    let precision = parsed.numbers.first().copied().unwrap_or(10);
    let scale = parsed.numbers.get(1).copied().unwrap_or(0);
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision), Ok(scale)) if precision <= DECIMAL_DIGITS_MAX && scale <= precision => {
            Ok(KeyType::Decimal { precision, scale, unsigned })
        }
        _ => Err((
            format!("DECIMAL({precision},{scale}) has more than {DECIMAL_DIGITS_MAX} digits"),
            "declare it with at most 38 digits",
        )),
    }
}

fn text(parsed: &TypeText<'_>, name: Option<&str>) -> Result<KeyType, Refused> {
    let chars_max = parsed.numbers.first().copied().unwrap_or(1);
    if chars_max > TEXT_CHARS_MAX {
        return Err((
            format!("it is longer than {TEXT_CHARS_MAX} characters"),
            "declare it VARCHAR(1024) or shorter",
        ));
    }
    let name = name.unwrap_or("unknown");
    let Some((charset, collation)) = collation::of_name(name) else {
        return Err((
            format!(
                "the equality of its collation {name} cannot be reproduced exactly outside the server"
            ),
            "declare it with a _bin collation such as COLLATE utf8mb4_bin, or with utf8mb4_general_ci",
        ));
    };
    let padded_char = parsed.name == "char";
    if padded_char && collation == KeyCollation::NopadBin {
        // Servers compare such a column without padding and sort it with.
        return Err((
            format!("servers do not order CHAR with the NO PAD collation {name} one way"),
            "declare it VARCHAR",
        ));
    }
    Ok(KeyType::Text { charset, collation, chars_max, padded_char })
}

fn binary(parsed: &TypeText<'_>) -> Result<KeyType, Refused> {
    let bytes_max = parsed.numbers.first().copied().unwrap_or(1);
    if bytes_max > BINARY_BYTES_MAX {
        return Err((
            format!("it is longer than {BINARY_BYTES_MAX} bytes"),
            "declare it VARBINARY(3072) or shorter",
        ));
    }
    Ok(KeyType::Binary { bytes_max, fixed: parsed.name == "binary" })
}

/// A type as `information_schema.columns.column_type` prints it, taken apart.
struct TypeText<'a> {
    /// `bigint`, `varchar` ...
    name: &'a str,
    /// What stands in the parentheses; empty when that is not numbers.
    numbers: Vec<u32>,
    /// What follows: `unsigned zerofill`.
    attributes: &'a str,
}

impl<'a> TypeText<'a> {
    fn parse(text: &'a str) -> TypeText<'a> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let parenthesised = rest.trim_start().strip_prefix('(').and_then(|r| r.split_once(')'));
        let (arguments, attributes) = parenthesised.unwrap_or(("", rest));
        let numbers = arguments
            .split(',')
            .map(|n| n.trim().parse())
            .collect::<Result<_, _>>()
            .unwrap_or_default();
        TypeText { name, numbers, attributes }
    }

    fn has(&self, attribute: &str) -> bool {
        self.attributes.split_ascii_whitespace().any(|word| word == attribute)
    }

    /// Digits of the fraction of a second.
    fn fsp(&self) -> u8 {
        self.numbers.first().and_then(|n| u8::try_from(*n).ok()).unwrap_or(0).min(6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyCharset;

    fn column(column_type: &str, collation: Option<&str>) -> Column {
        Column {
            name: "k".to_owned(),
            column_type: column_type.to_owned(),
            collation: collation.map(str::to_owned),
            nullable: false,
            default: None,
            generated: false,
            invisible: false,
        }
    }

    #[test]
    fn accepted_types() {
        let cases = [
            ("tinyint(1)", KeyType::Integer { min: -128, max: 127 }),
            ("int(10) unsigned zerofill", KeyType::Integer { min: 0, max: 4_294_967_295 }),
            ("mediumint", KeyType::Integer { min: -8_388_608, max: 8_388_607 }),
            ("bigint unsigned", KeyType::Integer { min: 0, max: i128::from(u64::MAX) }),
            ("year(4)", KeyType::Integer { min: 1901, max: 2155 }),
            ("decimal(10,2)", KeyType::Decimal { precision: 10, scale: 2, unsigned: false }),
            ("binary(16)", KeyType::Binary { bytes_max: 16, fixed: true }),
            ("varbinary(20)", KeyType::Binary { bytes_max: 20, fixed: false }),
            ("date", KeyType::Date),
            ("datetime(6)", KeyType::DateTime { fsp: 6 }),
            ("time", KeyType::Time { fsp: 0 }),
        ];
        for (text, expected) in cases {
            assert_eq!(KeyType::of_column(&column(text, None)), Ok(expected), "{text}");
        }
        assert_eq!(
            KeyType::of_column(&column("char(3)", Some("utf8_bin"))),
            Ok(KeyType::Text {
                charset: KeyCharset::Utf8mb3,
                collation: KeyCollation::Bin,
                chars_max: 3,
                padded_char: true,
            })
        );
    }

    #[test]
    fn refusals_say_the_fix() {
        let text = |column: &Column| KeyType::of_column(column).unwrap_err().to_string();
        assert_eq!(
            text(&column("varchar(20)", Some("utf8mb4_unicode_ci"))),
            "column 'k' cannot be a shard key: the equality of its collation utf8mb4_unicode_ci cannot be \
             reproduced exactly outside the server; declare it with a _bin collation such as COLLATE \
             utf8mb4_bin, or with utf8mb4_general_ci"
        );
        assert!(text(&column("char(3)", Some("utf8mb4_nopad_bin"))).contains("declare it VARCHAR"));
        assert!(text(&column("timestamp", None)).contains("DATETIME"));
        assert!(text(&column("enum('a','b')", Some("utf8mb4_bin"))).contains("VARCHAR"));
        assert!(text(&column("decimal(65,30)", None)).contains("38 digits"));
        assert!(text(&Column { nullable: true, ..column("int", None) }).contains("NOT NULL"));
        assert!(text(&Column { generated: true, ..column("int", None) }).contains("generated"));
    }
}
