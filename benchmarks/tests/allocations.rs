//! What routing allocates once a statement is in the plan cache: nothing for a statement
//! that one shard answers. Counted by an allocator that counts this thread's calls.

use allocation_counter::measure;
use shardline_benchmarks::budget::routing::{
    DELETE, INSERT, POINT, POINT_PREPARED, RANGES, Session, UPDATE, UPDATE_INDEX,
};
use shardline_model::key::Literal;
use shardline_router::plan::Plan;

/// Executions that warm the cache and the session's buffers, and that are counted.
const ROUNDS: u64 = 100;
/// The most of a sysbench range statement: 49, for DISTINCT with ORDER BY.
const SCATTER_ALLOCATIONS_MAX: u64 = 60;

/// Allocations of one execution of a statement that is in the cache.
fn allocations(sql: &str, params: Option<&[Literal<'_>]>) -> (u64, Plan) {
    let mut session = Session::new().expect("the catalog is within the limits");
    let mut plan = session.route(sql, params).expect("the statement is routed");
    for _ in 0..ROUNDS {
        plan = session.route(sql, params).expect("the statement is routed");
    }
    let counted = measure(|| {
        for _ in 0..ROUNDS {
            assert!(session.route(sql, params).is_ok());
        }
    });
    assert_eq!(counted.count_total % ROUNDS, 0, "{sql}: not the same each time");
    (counted.count_total / ROUNDS, plan)
}

#[test]
fn a_hit_for_one_shard_allocates_nothing() {
    for sql in [POINT, UPDATE_INDEX, UPDATE, DELETE, INSERT] {
        let (count, plan) = allocations(sql, None);
        assert!(matches!(plan, Plan::Single(_)), "{sql}: {plan}");
        assert_eq!(count, 0, "{sql}");
    }
}

#[test]
fn a_prepared_hit_for_one_shard_allocates_nothing() {
    let id = Literal::Integer(50_123);
    let text = |text: &'static str| Literal::Text(text.into());
    let cases: [(&str, &[Literal<'_>]); 5] = [
        (POINT_PREPARED, std::slice::from_ref(&id)),
        ("UPDATE sbtest1 SET k=k+1 WHERE id=?", std::slice::from_ref(&id)),
        ("UPDATE sbtest1 SET c=? WHERE id=?", &[text("83868641912"), id.clone()]),
        ("DELETE FROM sbtest1 WHERE id=?", std::slice::from_ref(&id)),
        (
            "INSERT INTO sbtest1 (id, k, c, pad) VALUES (?, ?, ?, ?)",
            &[id.clone(), id.clone(), text("83868641912"), text("67847967377")],
        ),
    ];
    for (sql, params) in cases {
        let (count, plan) = allocations(sql, Some(params));
        assert!(matches!(plan, Plan::Single(_)), "{sql}: {plan}");
        assert_eq!(count, 0, "{sql}");
    }
}

/// A scatter makes a text for each shard and says why it is one: some allocations, and
/// no more of them than now.
#[test]
fn a_hit_for_several_shards_allocates_little() {
    for sql in RANGES {
        let (count, plan) = allocations(sql, None);
        assert!(matches!(plan, Plan::Scatter(_)), "{sql}: {plan}");
        println!("{count} allocations: {sql}");
        assert!(count <= SCATTER_ALLOCATIONS_MAX, "{count} allocations: {sql}");
    }
}
