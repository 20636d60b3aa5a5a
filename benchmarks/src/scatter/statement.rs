//! The measured statements.

/// One statement.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    /// Its time must be at most this share of Spider's; None is for information.
    pub(super) spider_share: Option<f64>,
}

/// What "at most 1.1 times Spider's time" is.
const ABOUT_EQUAL: Option<f64> = Some(1.1);
const A_THIRD: Option<f64> = Some(1.0 / 3.0);

pub(super) const STATEMENTS: &[Statement] = &[
    Statement { name: "count", sql: "SELECT COUNT(*) FROM sbtest1", spider_share: ABOUT_EQUAL },
    Statement {
        name: "group",
        sql: "SELECT g, COUNT(*), SUM(k) FROM sbtest1 GROUP BY g ORDER BY g",
        spider_share: ABOUT_EQUAL,
    },
    Statement {
        name: "group-many",
        sql: "SELECT k, COUNT(*) FROM sbtest1 GROUP BY k ORDER BY k",
        spider_share: None,
    },
    Statement {
        name: "sort-limit",
        sql: "SELECT id, k, c FROM sbtest1 ORDER BY c, id LIMIT 10",
        spider_share: ABOUT_EQUAL,
    },
    Statement {
        name: "sort-number-limit",
        sql: "SELECT id, k, pad FROM sbtest1 ORDER BY k DESC, id LIMIT 100, 20",
        spider_share: ABOUT_EQUAL,
    },
    Statement {
        name: "average-distinct",
        sql: "SELECT AVG(k), COUNT(DISTINCT g) FROM sbtest1",
        spider_share: A_THIRD,
    },
    Statement {
        name: "average-distinct-many",
        sql: "SELECT AVG(k), COUNT(DISTINCT k) FROM sbtest1",
        spider_share: A_THIRD,
    },
    Statement {
        name: "average-distinct-group",
        sql: "SELECT g, AVG(k), COUNT(DISTINCT k) FROM sbtest1 GROUP BY g ORDER BY g",
        spider_share: A_THIRD,
    },
    Statement {
        name: "all-rows-sorted",
        sql: "SELECT id, k, c FROM sbtest1 ORDER BY id",
        spider_share: None,
    },
];
