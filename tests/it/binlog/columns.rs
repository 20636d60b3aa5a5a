//! A column of every type, and random values for it as SQL. Values are what sessions without strict
//! mode can put there, the odd ones too.

use super::random::Random;
use shardline_binlog::Family;

/// Makes a random value, as SQL.
type Values = fn(&mut Random) -> String;
/// A column's name, definition and values.
type Kind = (&'static str, &'static str, Values);

/// A column of the test's table.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) definition: String,
    pub(crate) value: Values,
    /// How its exact bytes are read back.
    pub(crate) exact: String,
}

fn integer(random: &mut Random) -> String {
    match random.below(6) {
        0 => "0".to_owned(),
        1 => "-1".to_owned(),
        2 => u64::MAX.to_string(),
        3 => i64::MIN.to_string(),
        _ => (random.next() as i64 >> random.below(64)).to_string(),
    }
}

fn double(random: &mut Random) -> String {
    match random.below(6) {
        0 => "0".to_owned(),
        1 => "-0e0".to_owned(),
        2 => "0.1".to_owned(),
        3 => format!("{:e}", f64::from(f32::from_bits(random.next() as u32 & 0xbf7f_ffff))),
        4 => format!("{:e}", f64::from_bits(random.next() & 0xbfef_ffff_ffff_ffff)),
        _ => format!("{}.{:03}", random.next() as i32 % 100_000, random.below(1000)),
    }
}

fn decimal(random: &mut Random) -> String {
    let digits = |random: &mut Random, most: u64| -> String {
        (0..=random.below(most)).map(|_| char::from(b'0' + random.below(10) as u8)).collect()
    };
    let sign = if random.below(2) == 0 { "-" } else { "" };
    format!("{sign}{}.{}", digits(random, 36), digits(random, 28))
}

fn fraction(random: &mut Random) -> String {
    format!(
        "{}0.{:018}",
        if random.below(2) == 0 { "-" } else { "" },
        random.next() % 10u64.pow(18)
    )
}

fn bits(random: &mut Random) -> String {
    (random.next() >> random.below(64)).to_string()
}

fn year(random: &mut Random) -> String {
    match random.below(4) {
        0 => "'0000'".to_owned(),
        _ => (1901 + random.below(255)).to_string(),
    }
}

fn date(random: &mut Random) -> String {
    match random.below(6) {
        0 => "'0000-00-00'".to_owned(),
        1 => "'2024-02-31'".to_owned(),
        2 => "'2024-00-00'".to_owned(),
        3 => "'9999-12-31'".to_owned(),
        _ => format!(
            "'{:04}-{:02}-{:02}'",
            random.below(9999),
            1 + random.below(12),
            1 + random.below(28)
        ),
    }
}

fn clock(random: &mut Random) -> String {
    let (h, m, s) = (random.below(24), random.below(60), random.below(60));
    format!("{h:02}:{m:02}:{s:02}.{:06}", random.below(1_000_000))
}

fn time(random: &mut Random) -> String {
    let sign = if random.below(2) == 0 { "-" } else { "" };
    match random.below(5) {
        0 => "'-838:59:59'".to_owned(),
        1 => "'-00:00:00.000001'".to_owned(),
        2 => format!("'{sign}00:00:00.{:06}'", random.below(1_000_000)),
        _ => format!("'{sign}{}'", clock(random)),
    }
}

fn datetime(random: &mut Random) -> String {
    let date = date(random);
    format!("{} {}'", date.trim_end_matches('\''), clock(random))
}

fn timestamp(random: &mut Random) -> String {
    match random.below(4) {
        0 => "'0000-00-00 00:00:00'".to_owned(),
        _ => {
            let (month, day) = (1 + random.below(12), 1 + random.below(28));
            format!("'{:04}-{month:02}-{day:02} {}'", 1971 + random.below(66), clock(random))
        }
    }
}

/// Bytes that include quotes, zeros, spaces and zeros at the end.
fn bytes(random: &mut Random, most: u64) -> Vec<u8> {
    let length = random.below(most + 1);
    let mut bytes: Vec<u8> = (0..length)
        .map(|_| match random.below(4) {
            0 => [0, b'\'', b'\\', b' ', b'\n', 0x1a, b'%', b'_'][random.below(8) as usize],
            _ => random.next() as u8,
        })
        .collect();
    if random.below(3) == 0 {
        bytes.extend([[0, 0], [b' ', b' ']][random.below(2) as usize]);
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

fn binary(random: &mut Random) -> String {
    hex(&bytes(random, 12))
}

fn blob(random: &mut Random) -> String {
    let most = if random.below(20) == 0 { 70_000 } else { 300 };
    hex(&bytes(random, most))
}

fn characters(random: &mut Random, most: u64) -> String {
    let all: Vec<char> = "aAbBßéÉ '\\\"\0\n%_ñ漢字🎉 0".chars().collect();
    let length = random.below(most + 1);
    (0..length).map(|_| all[random.below(all.len() as u64) as usize]).collect()
}

fn text(random: &mut Random) -> String {
    format!("_utf8mb4 {}", hex(characters(random, 10).as_bytes()))
}

/// Characters that every character set of the table has.
fn basic(random: &mut Random) -> String {
    let text: String =
        characters(random, 10).chars().filter(|c| c.is_ascii() || *c == 'é').collect();
    format!("_utf8mb4 {}", hex(text.as_bytes()))
}

fn long_text(random: &mut Random) -> String {
    let most = if random.below(20) == 0 { 20_000 } else { 300 };
    format!("_utf8mb4 {}", hex(characters(random, most).as_bytes()))
}

fn label(random: &mut Random) -> String {
    ["'a'", "'b'", "'é'", "''", "'no such label'", "3"][random.below(6) as usize].to_owned()
}

fn labels(random: &mut Random) -> String {
    ["'a,b'", "'b'", "'é'", "''", "7"][random.below(5) as usize].to_owned()
}

fn many_label(random: &mut Random) -> String {
    (1 + random.below(300)).to_string()
}

fn many_labels(random: &mut Random) -> String {
    (random.next() >> random.below(64)).to_string()
}

fn json(random: &mut Random) -> String {
    let text =
        |random: &mut Random| characters(random, 6).replace(['\'', '\\', '"', '\0', '\n'], "");
    let scalar = match random.below(7) {
        0 => "null".to_owned(),
        1 => "true".to_owned(),
        2 => format!("{}", random.next() as i64),
        3 => format!("{}", random.next()),
        4 => format!("{:e}", f64::from_bits(random.next() & 0xbfef_ffff_ffff_ffff)),
        5 => format!("\"{}\"", text(random)),
        _ => "1.50".to_owned(),
    };
    let many = vec![scalar.clone(); random.below(40) as usize].join(",");
    let key = text(random);
    format!("'{{\"{key}\": {scalar}, \"list\": [{many}], \"o\": {{\"\": [[], {{}}]}}}}'")
}

fn typed_json(random: &mut Random) -> String {
    match random.below(4) {
        0 => json(random),
        1 => format!(
            "JSON_ARRAY({}, CAST({} AS UNSIGNED), 1.50)",
            random.next() as i64,
            random.below(9)
        ),
        2 => "JSON_OBJECT('d', CAST('2026-01-02 03:04:05.000006' AS DATETIME(6)), 't', \
              CAST('-01:02:03.5' AS TIME(6)), 'y', CAST('2026-01-02' AS DATE))"
            .to_owned(),
        _ => format!("JSON_EXTRACT(JSON_ARRAY({}.25), '$[0]')", random.below(1000)),
    }
}

fn point(random: &mut Random) -> String {
    format!("ST_GeomFromText('POINT({} {})')", random.below(90), random.next() as i8)
}

fn geometry(random: &mut Random) -> String {
    match random.below(2) {
        0 => point(random),
        _ => format!("ST_GeomFromText('LINESTRING(0 0, {} 1.5, 2 2)', 4326)", random.below(90)),
    }
}

fn vector(random: &mut Random) -> String {
    format!("TO_VECTOR('[{}.5, -{}, 0]')", random.below(9), random.below(9))
}

fn uuid(random: &mut Random) -> String {
    match random.below(4) {
        0 => "UUID()".to_owned(),
        1 => "'00000000-0000-0000-0000-000000000000'".to_owned(),
        2 => "'6ccd780c-baba-1026-9564-5b8c65600000'".to_owned(),
        _ => {
            let (a, b) = (random.next(), random.next());
            let text = format!("{a:016x}{b:016x}");
            format!(
                "'{}-{}-{}-{}-{}'",
                &text[..8],
                &text[8..12],
                &text[12..16],
                &text[16..20],
                &text[20..]
            )
        }
    }
}

fn inet6(random: &mut Random) -> String {
    ["'::'", "'2001:db8::ff00:42:8329'", "'::ffff:192.0.2.0'", "'fe80::'"][random.below(4) as usize]
        .to_owned()
}

fn inet4(random: &mut Random) -> String {
    ["'0.0.0.0'", "'10.0.0.0'", "'255.255.255.255'", "'192.0.2.7'"][random.below(4) as usize]
        .to_owned()
}

/// Types of both families: name, definition, values.
const COMMON: &[Kind] = &[
    ("i1", "TINYINT", integer),
    ("i1u", "TINYINT UNSIGNED", integer),
    ("i2", "SMALLINT", integer),
    ("i2u", "SMALLINT UNSIGNED", integer),
    ("i3", "MEDIUMINT", integer),
    ("i3u", "MEDIUMINT UNSIGNED", integer),
    ("i4", "INT", integer),
    ("i4u", "INT(8) UNSIGNED ZEROFILL", integer),
    ("i8", "BIGINT", integer),
    ("i8u", "BIGINT UNSIGNED", integer),
    ("flag", "BOOLEAN", integer),
    ("f", "FLOAT", double),
    ("fd", "FLOAT(7,2)", double),
    ("d", "DOUBLE", double),
    ("dd", "DOUBLE(12,3)", double),
    ("du", "DOUBLE UNSIGNED", double),
    ("n", "DECIMAL(65,28)", decimal),
    ("n0", "DECIMAL(10,0) UNSIGNED", decimal),
    ("n1", "DECIMAL(18,9)", decimal),
    ("nf", "DECIMAL(20,20)", fraction),
    ("b1", "BIT(1)", bits),
    ("b11", "BIT(11)", bits),
    ("b64", "BIT(64)", bits),
    ("y", "YEAR", year),
    ("da", "DATE", date),
    ("t0", "TIME", time),
    ("t1", "TIME(1)", time),
    ("t2", "TIME(2)", time),
    ("t3", "TIME(3)", time),
    ("t4", "TIME(4)", time),
    ("t5", "TIME(5)", time),
    ("t6", "TIME(6)", time),
    ("dt0", "DATETIME", datetime),
    ("dt1", "DATETIME(1)", datetime),
    ("dt3", "DATETIME(3)", datetime),
    ("dt6", "DATETIME(6)", datetime),
    ("ts0", "TIMESTAMP NULL", timestamp),
    ("ts2", "TIMESTAMP(2) NULL", timestamp),
    ("ts5", "TIMESTAMP(5) NULL", timestamp),
    (
        "ts6",
        "TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)",
        timestamp,
    ),
    ("c", "CHAR(10)", text),
    ("cl", "CHAR(255)", text),
    ("c1", "CHAR(12) CHARACTER SET latin1", basic),
    ("cu", "CHAR(12) CHARACTER SET utf16", text),
    ("vc", "VARCHAR(12) CHARACTER SET ucs2", basic),
    ("v", "VARCHAR(20)", text),
    ("vl", "VARCHAR(400) CHARACTER SET latin1", basic),
    ("x", "BINARY(14)", binary),
    ("xl", "BINARY(255)", binary),
    ("vb", "VARBINARY(20)", binary),
    ("bt", "TINYBLOB", binary),
    ("b", "BLOB", binary),
    ("bm", "MEDIUMBLOB", blob),
    ("bl", "LONGBLOB", blob),
    ("tt", "TINYTEXT", text),
    ("t", "TEXT", text),
    ("tm", "MEDIUMTEXT", long_text),
    ("tl", "LONGTEXT CHARACTER SET utf32", long_text),
    ("e", "ENUM('a','b','é')", label),
    ("s", "SET('a','b','é')", labels),
    ("js", "JSON", json),
    ("g", "GEOMETRY", geometry),
    ("p", "POINT", point),
];

const MARIADB: &[Kind] = &[
    ("u", "UUID", uuid),
    ("a6", "INET6", inet6),
    ("a4", "INET4", inet4),
    ("n38", "DECIMAL(38,38)", fraction),
    ("vz", "VARCHAR(3000) COMPRESSED", long_text),
    ("bz", "MEDIUMBLOB COMPRESSED", blob),
];

const MYSQL: &[Kind] = &[("jt", "JSON", typed_json), ("ve", "VECTOR(3)", vector)];

/// A column of every type that a family has, without keys.
pub(crate) fn all(family: Family) -> Vec<Column> {
    let own = match family {
        Family::Mariadb => MARIADB,
        Family::Mysql => MYSQL,
    };
    let simple = COMMON.iter().chain(own).map(|(name, definition, value)| Column {
        name: (*name).to_owned(),
        definition: (*definition).to_owned(),
        value: *value,
        exact: exact(name, definition),
    });
    let list = |count: usize| {
        (1..=count).map(|number| format!("'l{number}'")).collect::<Vec<_>>().join(",")
    };
    let lists: [(&str, String, Values); 2] = [
        ("em", format!("ENUM({})", list(300)), many_label),
        ("sm", format!("SET({})", list(64)), many_labels),
    ];
    let lists = lists.into_iter().map(|(name, definition, value)| Column {
        name: name.to_owned(),
        definition,
        value,
        exact: format!("CAST(`{name}` AS UNSIGNED)"),
    });
    simple.chain(lists).collect()
}

fn exact(name: &str, definition: &str) -> String {
    let numeric =
        ["FLOAT", "DOUBLE", "ENUM", "SET"].iter().any(|kind| definition.starts_with(kind));
    if numeric {
        // Texts of floats are rounded; their products are not. The sign tells minus zero from zero.
        return format!("CONCAT(`{name}` * 1e0, ' ', `{name}`)");
    }
    if definition.starts_with("TIMESTAMP") || definition.starts_with("JSON") {
        return format!("CAST(`{name}` AS CHAR)");
    }
    format!("HEX(`{name}`)")
}
