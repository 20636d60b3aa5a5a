//! Random tables: columns of many types, a key of each type that can be a shard key, every
//! kind of placement, and rows.

use crate::{
    random::Random,
    value::{self, Lit},
};

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tiny,
    SmallUnsigned,
    Int,
    Big,
    BigUnsigned,
    Decimal,
    WideDecimal,
    Double,
    Float,
    Date,
    DateTime,
    DateTimeMicro,
    Timestamp,
    Time,
    TimeMilli,
    Year,
    Enum,
    Set,
    VarcharBin,
    VarcharCi,
    VarcharUnicode,
    VarcharLatin,
    Char,
    Text,
    Varbinary,
    Binary,
    Blob,
    Bit,
    Bool,
}

/// What can be done with a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Integers that stay small under arithmetic.
    Int,
    /// Integers up to the type's limits.
    Wide,
    Decimal,
    Double,
    Text,
    Bytes,
    Date,
    DateTime,
    Time,
    Choice,
}

/// Kinds of columns beside the key.
const PLAIN: &[Kind] = &[
    Kind::Tiny,
    Kind::SmallUnsigned,
    Kind::Int,
    Kind::Big,
    Kind::BigUnsigned,
    Kind::Decimal,
    Kind::WideDecimal,
    Kind::Double,
    Kind::Float,
    Kind::Date,
    Kind::DateTime,
    Kind::DateTimeMicro,
    Kind::Timestamp,
    Kind::Time,
    Kind::TimeMilli,
    Kind::Year,
    Kind::Enum,
    Kind::Set,
    Kind::VarcharBin,
    Kind::VarcharCi,
    Kind::VarcharUnicode,
    Kind::VarcharLatin,
    Kind::Char,
    Kind::Text,
    Kind::Varbinary,
    Kind::Binary,
    Kind::Blob,
    Kind::Bit,
    Kind::Bool,
];

impl Kind {
    pub(crate) fn class(self) -> Class {
        match self {
            Self::Tiny | Self::Int | Self::Bool => Class::Int,
            Self::SmallUnsigned | Self::Big | Self::BigUnsigned | Self::Bit | Self::Year => {
                Class::Wide
            }
            Self::Decimal | Self::WideDecimal => Class::Decimal,
            Self::Double | Self::Float => Class::Double,
            Self::Date => Class::Date,
            Self::DateTime | Self::DateTimeMicro | Self::Timestamp => Class::DateTime,
            Self::Time | Self::TimeMilli => Class::Time,
            Self::Enum | Self::Set => Class::Choice,
            Self::VarcharBin
            | Self::VarcharCi
            | Self::VarcharUnicode
            | Self::VarcharLatin
            | Self::Char
            | Self::Text => Class::Text,
            Self::Varbinary | Self::Binary | Self::Blob => Class::Bytes,
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Tiny => "TINYINT",
            Self::SmallUnsigned => "SMALLINT UNSIGNED",
            Self::Int => "INT",
            Self::Big => "BIGINT",
            Self::BigUnsigned => "BIGINT UNSIGNED",
            Self::Decimal => "DECIMAL(12,2)",
            Self::WideDecimal => "DECIMAL(65,30)",
            Self::Double => "DOUBLE",
            Self::Float => "FLOAT",
            Self::Date => "DATE",
            Self::DateTime => "DATETIME",
            Self::DateTimeMicro => "DATETIME(6)",
            Self::Timestamp => "TIMESTAMP NULL",
            Self::Time => "TIME",
            Self::TimeMilli => "TIME(3)",
            Self::Year => "YEAR",
            Self::Enum => "ENUM('zebra','Apple','mango','b')",
            Self::Set => "SET('x','a','m')",
            Self::VarcharBin => "VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            Self::VarcharCi => "VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
            Self::VarcharUnicode => "VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
            Self::VarcharLatin => "VARCHAR(30) CHARACTER SET latin1",
            Self::Char => "CHAR(12)",
            Self::Text => "TEXT",
            Self::Varbinary => "VARBINARY(20)",
            Self::Binary => "BINARY(4)",
            Self::Blob => "BLOB",
            Self::Bit => "BIT(9)",
            Self::Bool => "BOOLEAN",
        }
    }

    /// A value of the type, from a small set.
    pub(crate) fn value(self, random: &mut Random) -> Lit {
        let rare = random.percent(6);
        match self {
            Self::Tiny => Lit::int(random.between(-3, 12)),
            Self::SmallUnsigned if rare => Lit::int(65_535),
            Self::SmallUnsigned => Lit::int(random.between(0, 12)),
            Self::Int => Lit::int(random.between(-5, 20)),
            Self::Big if rare => {
                Lit::int([i64::MIN, i64::MAX, 9_007_199_254_740_993][random.below(3)])
            }
            Self::Big => Lit::int(random.between(-5, 20)),
            Self::BigUnsigned if rare => Lit::uint(u64::MAX),
            Self::BigUnsigned => Lit::uint(random.between(0, 20) as u64),
            Self::Decimal => {
                let (whole, cents) = (random.between(-40, 400), random.below(4) * 25);
                Lit::decimal(format!("{whole}.{cents:02}"))
            }
            Self::WideDecimal if rare => {
                Lit::decimal(format!("{}.{}", "9".repeat(30), "9".repeat(30)))
            }
            Self::WideDecimal => {
                Lit::decimal(format!("{}.{:03}", random.between(-9, 9), random.below(8) * 125))
            }
            Self::Double => Lit::double(random.between(-40, 40) as f64 / 4.0),
            Self::Float => Lit::double(random.between(-8, 8) as f64 / 2.0),
            Self::Date => Lit::string(&value::date_text(random)),
            Self::DateTime | Self::Timestamp => {
                let clock = value::clock_text(random, 0);
                Lit::string(&format!("{} {clock}", value::date_text(random)))
            }
            Self::DateTimeMicro => {
                let clock = value::clock_text(random, 6);
                Lit::string(&format!("{} {clock}", value::date_text(random)))
            }
            Self::Time if rare => Lit::string(random.of(&["-12:34:56", "100:00:00", "-00:00:01"])),
            Self::Time => Lit::string(&value::clock_text(random, 0)),
            Self::TimeMilli => Lit::string(&value::clock_text(random, 3)),
            Self::Year => Lit::int(random.between(1999, 2004)),
            Self::Enum => Lit::string(random.of(&["zebra", "Apple", "mango", "b"])),
            Self::Set => Lit::string(random.of(&["", "x", "a", "m", "x,a", "a,m", "x,a,m"])),
            Self::VarcharBin | Self::VarcharCi | Self::VarcharUnicode | Self::Char | Self::Text => {
                value::text(random)
            }
            Self::VarcharLatin => Lit::string(random.of(value::LATIN_TEXTS)),
            Self::Varbinary | Self::Blob => {
                let choices: [&[u8]; 7] = [b"", b"a", b"A", b"a ", b"a\0", b"\xff\xfe", b"\x00"];
                Lit::bytes(random.of(&choices))
            }
            Self::Binary => {
                let choices: [&[u8]; 4] = [b"", b"a", b"ab", b"\xff\0\x01\x02"];
                Lit::bytes(random.of(&choices))
            }
            Self::Bit => Lit::int(random.between(0, 511)),
            Self::Bool => Lit::int(random.between(0, 1)),
        }
    }
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
}

/// Where a table's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On several shards by its key.
    Sharded,
    /// On all.
    Broadcast,
    /// On one.
    Single,
}

/// A table. Its primary key is `(k, n)`, where `k` alone is the shard key.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) columns: Vec<Column>,
    /// Tables with the same number can be joined by `k`.
    pub(crate) group: usize,
    clause: String,
}

impl Table {
    fn new(random: &mut Random, name: &str, key: Kind, place: Place, clause: &str) -> Self {
        let column = |name: &str, kind| Column { name: name.into(), kind, nullable: false };
        let mut columns = vec![column("k", key), column("n", Kind::Int)];
        for number in 0..random.between(5, 9) {
            let kind = PLAIN[random.below(PLAIN.len())];
            let name = format!("c{number}");
            columns.push(Column { name, kind, nullable: random.percent(70) });
        }
        Self { name: name.into(), place, columns, group: 0, clause: clause.into() }
    }

    /// The CREATE TABLE, with or without the sharding clause.
    pub(crate) fn create(&self, clause: bool) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let null = match (column.nullable, column.kind) {
                    (true, Kind::Timestamp) => "",
                    (true, _) => " NULL",
                    (false, Kind::Timestamp) => "",
                    (false, _) => " NOT NULL",
                };
                format!("{} {}{null}", column.name, column.kind.sql())
            })
            .collect();
        let clause = if clause { self.clause.as_str() } else { "" };
        format!(
            "CREATE TABLE {} ({}, PRIMARY KEY (k, n)) ENGINE=InnoDB {clause}",
            self.name,
            columns.join(", ")
        )
    }

    /// A value for each column; `n` is given.
    pub(crate) fn row(&self, random: &mut Random, n: i64) -> Vec<Lit> {
        let mut row = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter().enumerate() {
            let null = column.nullable && random.percent(20);
            row.push(match index {
                1 => Lit::int(n),
                _ if null => Lit::null(),
                _ => column.kind.value(random),
            });
        }
        row
    }

    /// INSERTs that fill it with `rows` rows.
    pub(crate) fn fill(&self, random: &mut Random, rows: i64) -> Vec<String> {
        let all: Vec<String> = (0..rows)
            .map(|n| {
                let row = self.row(random, n);
                let texts: Vec<&str> = row.iter().map(|lit| lit.text.as_str()).collect();
                format!("({})", texts.join(", "))
            })
            .collect();
        let insert =
            |rows: &[String]| format!("INSERT INTO {} VALUES {}", self.name, rows.join(", "));
        all.chunks(40).map(insert).collect()
    }
}

/// Kinds that a shard key can have.
const KEYS: &[Kind] =
    &[Kind::Int, Kind::BigUnsigned, Kind::VarcharBin, Kind::VarcharCi, Kind::Decimal, Kind::Date];

/// All tables of a run.
pub(crate) fn tables(random: &mut Random) -> Vec<Table> {
    let mut tables = Vec::new();
    for (number, kind) in KEYS.iter().enumerate() {
        let name = format!("hash{number}");
        tables.push(Table::new(random, &name, *kind, Place::Sharded, "SHARD BY HASH (k)"));
    }
    let range = "SHARD BY RANGE (k) (VALUES LESS THAN (5) ON s1, VALUES LESS THAN (12) ON s2, \
                 VALUES LESS THAN (MAXVALUE) ON s3)";
    tables.push(Table::new(random, "range_int", Kind::Int, Place::Sharded, range));
    let range = "SHARD BY RANGE (k) (VALUES LESS THAN ('2024-06-01') ON s2, \
                 VALUES LESS THAN ('2025-06-01') ON s1, VALUES LESS THAN (MAXVALUE) ON s3)";
    tables.push(Table::new(random, "range_date", Kind::Date, Place::Sharded, range));
    let range = "SHARD BY RANGE (k) (VALUES LESS THAN ('b') ON s3, \
                 VALUES LESS THAN ('n') ON s1, VALUES LESS THAN (MAXVALUE) ON s2)";
    tables.push(Table::new(random, "range_text", Kind::VarcharCi, Place::Sharded, range));
    let list = "SHARD BY LIST (k) (VALUES IN ('a', 'b', 'é') ON s1, \
                VALUES IN ('z', '') ON s2, DEFAULT ON s3)";
    tables.push(Table::new(random, "list_text", Kind::VarcharCi, Place::Sharded, list));
    let list = "SHARD BY LIST (k) (VALUES IN (1, 2, 3, -1) ON s3, DEFAULT ON s2)";
    tables.push(Table::new(random, "list_int", Kind::Int, Place::Sharded, list));
    for (number, kind) in [Kind::Int, Kind::VarcharCi].into_iter().enumerate() {
        let (parent, child) = (format!("parent{number}"), format!("child{number}"));
        let clause = "SHARD BY HASH (k)";
        let mut table = Table::new(random, &parent, kind, Place::Sharded, clause);
        table.group = number + 1;
        tables.push(table);
        let clause = format!("SHARD BY HASH (k) COLOCATE ({parent})");
        let mut table = Table::new(random, &child, kind, Place::Sharded, &clause);
        table.group = number + 1;
        tables.push(table);
    }
    for (name, kind) in [("wide_a", Kind::Int), ("wide_b", Kind::VarcharUnicode)] {
        tables.push(Table::new(random, name, kind, Place::Broadcast, "BROADCAST"));
    }
    tables.push(Table::new(random, "alone", Kind::Int, Place::Single, "SINGLE ON s2"));
    tables
}
