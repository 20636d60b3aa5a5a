//! A column's type as `information_schema` names it, and whether the binlog's description fits it.

use crate::column::ColumnType;

/// A type, as far as it matters for comparing and writing values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlType {
    /// An integer of 1, 2, 3, 4 or 8 bytes.
    Int {
        /// Bytes of a value.
        bytes: u8,
        /// Whether it is unsigned.
        unsigned: bool,
    },
    /// Single precision.
    Float,
    /// Double precision.
    Double,
    /// A decimal.
    Decimal,
    /// Bits.
    Bit,
    /// A year.
    Year,
    /// A date.
    Date,
    /// A span of time.
    Time {
        /// Digits of the fraction.
        digits: u8,
    },
    /// A date and time without zone.
    DateTime {
        /// Digits of the fraction.
        digits: u8,
    },
    /// A moment.
    Timestamp {
        /// Digits of the fraction.
        digits: u8,
    },
    /// A text.
    Text {
        /// Its character set.
        charset: String,
    },
    /// `BINARY(n)`.
    Binary {
        /// Bytes of a value.
        length: usize,
    },
    /// Binary strings of varying length.
    Bytes,
    /// One of a list.
    Enum,
    /// Some of a list.
    Set,
    /// MySQL's binary JSON.
    Json,
    /// A geometry of any kind.
    Geometry,
    /// A vector.
    Vector,
    /// MariaDB's UUID.
    Uuid,
    /// MariaDB's INET4.
    Inet4,
    /// MariaDB's INET6.
    Inet6,
}

impl SqlType {
    /// From the columns of `information_schema.COLUMNS`; `None` for a type that is not known.
    pub fn from_text(
        data_type: &str,
        column_type: &str,
        charset: &str,
        octets: u64,
        digits: u64,
    ) -> Option<Self> {
        let words = column_type.to_ascii_lowercase();
        let unsigned = words.contains("unsigned") || words.contains("zerofill");
        let int = |bytes| Self::Int { bytes, unsigned };
        let digits = u8::try_from(digits).ok()?;
        Some(match data_type.to_ascii_lowercase().as_str() {
            "tinyint" => int(1),
            "smallint" => int(2),
            "mediumint" => int(3),
            "int" => int(4),
            "bigint" => int(8),
            "float" => Self::Float,
            "double" => Self::Double,
            "decimal" => Self::Decimal,
            "bit" => Self::Bit,
            "year" => Self::Year,
            "date" => Self::Date,
            "time" => Self::Time { digits },
            "datetime" => Self::DateTime { digits },
            "timestamp" => Self::Timestamp { digits },
            "binary" => Self::Binary { length: usize::try_from(octets).ok()? },
            "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Bytes,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
                let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if charset.is_empty() || !charset.chars().all(name) {
                    return None;
                }
                Self::Text { charset: charset.to_owned() }
            }
            "enum" => Self::Enum,
            "set" => Self::Set,
            "json" => Self::Json,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" => Self::Geometry,
            "vector" => Self::Vector,
            // An older form of it has another storage order and another name here.
            "uuid" if words == "uuid" => Self::Uuid,
            "inet4" => Self::Inet4,
            "inet6" => Self::Inet6,
            _ => return None,
        })
    }

    /// Whether a table map's column can be of this type. If not, the table was altered in between.
    pub(crate) fn fits(&self, logged: ColumnType) -> bool {
        use ColumnType as C;
        match (self, logged) {
            (Self::Int { bytes, .. }, C::Int { bytes: logged }) => *bytes == logged,
            (Self::Time { digits }, C::Time { digits: logged })
            | (Self::DateTime { digits }, C::DateTime { digits: logged })
            | (Self::Timestamp { digits }, C::Timestamp { digits: logged }) => *digits == logged,
            // The old forms with fraction cannot be told from those without.
            (Self::Time { digits }, C::OldTime)
            | (Self::DateTime { digits }, C::OldDateTime)
            | (Self::Timestamp { digits }, C::OldTimestamp) => *digits == 0,
            (Self::Binary { length }, C::Char { bytes }) => *length == usize::from(bytes),
            (Self::Uuid | Self::Inet6, C::Char { bytes }) => bytes == 16,
            (Self::Inet4, C::Char { bytes }) => bytes == 4,
            (Self::Float, C::Float)
            | (Self::Double, C::Double)
            | (Self::Decimal, C::Decimal { .. })
            | (Self::Bit, C::Bit { .. })
            | (Self::Year, C::Year)
            | (Self::Date, C::Date)
            | (Self::Text { .. }, C::Char { .. } | C::VarChar { .. } | C::Blob { .. })
            | (Self::Bytes, C::VarChar { .. } | C::Blob { .. })
            | (Self::Vector, C::Vector { .. } | C::VarChar { .. })
            | (Self::Enum, C::Enum { .. })
            | (Self::Set, C::Set { .. })
            | (Self::Json, C::Json { .. })
            | (Self::Geometry, C::Geometry { .. }) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_servers_words() {
        let of = |data: &str, column: &str| SqlType::from_text(data, column, "utf8mb4", 8, 0);
        assert_eq!(of("INT", "int(10) unsigned"), Some(SqlType::Int { bytes: 4, unsigned: true }));
        assert_eq!(of("binary", "binary(8)"), Some(SqlType::Binary { length: 8 }));
        assert_eq!(of("uuid", "uuid"), Some(SqlType::Uuid));
        assert_eq!(of("uuid", "uuid_old"), None);
        assert_eq!(SqlType::from_text("char", "char(1)", "utf8mb4'", 0, 0), None);
    }

    #[test]
    fn an_altered_column_does_not_fit() {
        let int = SqlType::Int { bytes: 4, unsigned: false };
        assert!(int.fits(ColumnType::Int { bytes: 4 }));
        assert!(!int.fits(ColumnType::Int { bytes: 8 }));
        assert!(!SqlType::Time { digits: 3 }.fits(ColumnType::OldTime));
        assert!(!SqlType::Enum.fits(ColumnType::Set { bytes: 1 }));
    }
}
