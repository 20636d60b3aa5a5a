//! A column's type as a table map describes it: the type's number with its metadata.

use crate::error::DecodeError;
use crate::reader::Reader;

/// A type with all that is needed to read its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// An integer of 1, 2, 3, 4 or 8 bytes.
    Int {
        /// Bytes of a value.
        bytes: u8,
    },
    /// Single precision.
    Float,
    /// Double precision.
    Double,
    /// A packed decimal.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `BIT(n)`.
    Bit {
        /// Bits, 1 to 64.
        bits: u8,
    },
    /// A year.
    Year,
    /// A date.
    Date,
    /// A time of before MySQL 5.6, or of a MariaDB table that was made with `mysql56_temporal_format=OFF`,
    /// without fraction.
    OldTime,
    /// The same for a date and time.
    OldDateTime,
    /// The same for a timestamp.
    OldTimestamp,
    /// A span of time.
    Time {
        /// Digits of the fraction, 0 to 6.
        digits: u8,
    },
    /// A date and time without zone.
    DateTime {
        /// Digits of the fraction, 0 to 6.
        digits: u8,
    },
    /// A moment.
    Timestamp {
        /// Digits of the fraction, 0 to 6.
        digits: u8,
    },
    /// `CHAR`, `BINARY`, and MariaDB's UUID, INET4 and INET6.
    Char {
        /// Bytes that a value has at most, and of a binary one exactly.
        bytes: u16,
    },
    /// `VARCHAR` and `VARBINARY`.
    VarChar {
        /// Bytes that a value has at most.
        bytes: u16,
        /// Whether each value may be compressed (MariaDB's `COMPRESSED`).
        compressed: bool,
    },
    /// `TEXT` and `BLOB` of all sizes.
    Blob {
        /// Bytes of a value's length, 1 to 4.
        length_bytes: u8,
        /// Whether each value may be compressed (MariaDB's `COMPRESSED`).
        compressed: bool,
    },
    /// One of a list.
    Enum {
        /// Bytes of a value, 1 or 2.
        bytes: u8,
    },
    /// Some of a list.
    Set {
        /// Bytes of a value, 1 to 8.
        bytes: u8,
    },
    /// MySQL's binary JSON.
    Json {
        /// Bytes of a value's length, 1 to 4.
        length_bytes: u8,
    },
    /// A geometry: number of the reference system and well-known binary.
    Geometry {
        /// Bytes of a value's length, 1 to 4.
        length_bytes: u8,
    },
    /// MySQL's vector of single-precision numbers.
    Vector {
        /// Bytes of a value's length, 1 to 4.
        length_bytes: u8,
    },
}

impl ColumnType {
    /// Reads the metadata of the type with this number. `Ok(None)`: a type that is not decoded.
    pub(crate) fn decode(kind: u8, metadata: &mut Reader) -> Result<Option<Self>, DecodeError> {
        const FIELD: &str = "column metadata";
        Ok(Some(match kind {
            1 => Self::Int { bytes: 1 },
            2 => Self::Int { bytes: 2 },
            9 => Self::Int { bytes: 3 },
            3 => Self::Int { bytes: 4 },
            8 => Self::Int { bytes: 8 },
            4 => match metadata.u8(FIELD)? {
                4 => Self::Float,
                8 => Self::Double,
                _ => return Err(DecodeError::Invalid { field: FIELD }),
            },
            5 => match metadata.u8(FIELD)? {
                8 => Self::Double,
                _ => return Err(DecodeError::Invalid { field: FIELD }),
            },
            246 => {
                let [precision, scale] = metadata.array(FIELD)?;
                if !(1..=65).contains(&precision) || scale > 38 || scale > precision {
                    return Err(DecodeError::Invalid { field: "decimal's precision" });
                }
                Self::Decimal { precision, scale }
            }
            16 => {
                let [bits, bytes] = metadata.array(FIELD)?;
                let bits = u16::from(bytes) * 8 + u16::from(bits);
                match u8::try_from(bits) {
                    Ok(bits @ 1..=64) => Self::Bit { bits },
                    _ => return Err(DecodeError::Invalid { field: "bits" }),
                }
            }
            13 => Self::Year,
            10 | 14 => Self::Date,
            11 => Self::OldTime,
            12 => Self::OldDateTime,
            7 => Self::OldTimestamp,
            19 => Self::Time { digits: digits(metadata)? },
            18 => Self::DateTime { digits: digits(metadata)? },
            17 => Self::Timestamp { digits: digits(metadata)? },
            15 | 253 => Self::VarChar { bytes: metadata.u16(FIELD)?, compressed: false },
            141 => Self::VarChar { bytes: metadata.u16(FIELD)?, compressed: true },
            247 | 248 | 254 => Self::string(metadata.array(FIELD)?)?,
            249..=252 => Self::Blob { length_bytes: length_bytes(metadata)?, compressed: false },
            140 => Self::Blob { length_bytes: length_bytes(metadata)?, compressed: true },
            245 => Self::Json { length_bytes: length_bytes(metadata)? },
            255 => Self::Geometry { length_bytes: length_bytes(metadata)? },
            242 => Self::Vector { length_bytes: length_bytes(metadata)? },
            _ => return Ok(None),
        }))
    }

    /// CHAR, ENUM and SET share a type; the metadata tells them apart. Lengths of more than 255 bytes
    /// have their two highest bits in the first byte, inverted.
    fn string([kind, length]: [u8; 2]) -> Result<Self, DecodeError> {
        if kind & 0x30 != 0x30 {
            let bytes = u16::from((kind & 0x30) ^ 0x30) << 4 | u16::from(length);
            return Ok(Self::Char { bytes });
        }
        match (kind, length) {
            (247, 1 | 2) => Ok(Self::Enum { bytes: length }),
            (248, 1..=4 | 8) => Ok(Self::Set { bytes: length }),
            (254, _) => Ok(Self::Char { bytes: u16::from(length) }),
            _ => Err(DecodeError::Invalid { field: "column metadata" }),
        }
    }

    /// Whether the list of signs in a table map has a bit for it.
    pub fn is_numeric(self) -> bool {
        matches!(
            self,
            Self::Int { .. } | Self::Float | Self::Double | Self::Decimal { .. } | Self::Year
        )
    }

    /// Whether the list of character sets in a table map has a place for it.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Char { .. } | Self::VarChar { .. } | Self::Blob { .. })
    }
}

fn digits(metadata: &mut Reader) -> Result<u8, DecodeError> {
    let field = "digits of the fraction";
    metadata.u8(field).and_then(|digits| match digits {
        0..=6 => Ok(digits),
        _ => Err(DecodeError::Invalid { field }),
    })
}

fn length_bytes(metadata: &mut Reader) -> Result<u8, DecodeError> {
    let field = "bytes of a length";
    metadata.u8(field).and_then(|bytes| match bytes {
        1..=4 => Ok(bytes),
        _ => Err(DecodeError::Invalid { field }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn decoded(kind: u8, metadata: &'static [u8]) -> Result<Option<ColumnType>, DecodeError> {
        ColumnType::decode(kind, &mut Reader::new(Bytes::from_static(metadata)))
    }

    #[test]
    fn strings_hide_other_types_and_long_lengths() {
        assert_eq!(decoded(254, &[254, 16]), Ok(Some(ColumnType::Char { bytes: 16 })));
        // CHAR(255) of utf8mb4: 1,020 bytes.
        assert_eq!(decoded(254, &[0xce, 0xfc]), Ok(Some(ColumnType::Char { bytes: 1020 })));
        assert_eq!(decoded(254, &[247, 2]), Ok(Some(ColumnType::Enum { bytes: 2 })));
        assert_eq!(decoded(254, &[248, 8]), Ok(Some(ColumnType::Set { bytes: 8 })));
        assert!(decoded(254, &[248, 5]).is_err());
        assert!(decoded(254, &[250, 5]).is_err());
    }

    #[test]
    fn metadata_out_of_range_is_refused() {
        assert_eq!(decoded(16, &[3, 1]), Ok(Some(ColumnType::Bit { bits: 11 })));
        for (kind, metadata) in
            [(16, &[1, 8]), (16, &[0, 0]), (246, &[66, 0]), (246, &[5, 6]), (19, &[7, 0])]
        {
            assert!(decoded(kind, metadata).is_err(), "{kind} {metadata:?}");
        }
        assert_eq!(decoded(20, &[]), Ok(None));
        assert!(decoded(4, &[5]).is_err());
        assert!(decoded(252, &[5]).is_err());
    }
}
