//! What routing one statement costs: digest, plan-cache hit with its binding, parse and
//! plan on a miss, and the sharding function.

use divan::{Bencher, black_box};
use shardline_benchmarks::budget::{
    cases::text_key,
    routing::{DELETE, INSERT, JOIN, POINT, RANGES, Session, UPDATE, for_all_tables},
};
use shardline_model::{
    hash,
    key::{KeyPart, KeyType},
};
use shardline_router::digest::Digest;

/// The binary's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STATEMENTS: [&str; 6] = [POINT, RANGES[2], UPDATE, DELETE, INSERT, JOIN];

fn main() {
    divan::main();
}

#[divan::bench(args = STATEMENTS)]
fn digest(bencher: Bencher<'_, '_>, sql: &str) {
    let mut digest = Digest::default();
    bencher.bench_local(|| digest.scan(black_box(sql.as_bytes()), Default::default()).is_ok());
}

#[divan::bench(args = STATEMENTS)]
fn hit_and_bind(bencher: Bencher<'_, '_>, sql: &str) {
    let mut session = Session::new().expect("the catalog is within the limits");
    bencher.bench_local(|| session.route(black_box(sql), None).is_ok());
}

#[divan::bench]
fn hit_and_bind_prepared(bencher: Bencher<'_, '_>) {
    let mut session = Session::new().expect("the catalog is within the limits");
    bencher.bench_local(|| session.route_prepared(black_box(50_123)).is_ok());
}

#[divan::bench(args = STATEMENTS)]
fn miss(bencher: Bencher<'_, '_>, sql: &str) {
    let mut session = Session::forgetful().expect("the catalog is within the limits");
    let texts = for_all_tables(sql);
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 1) % texts.len();
        session.prepare(&texts[next]).is_ok()
    });
}

#[divan::bench]
fn slot_of_integer(bencher: Bencher<'_, '_>) {
    let types = [KeyType::Integer { min: 0, max: i128::from(u32::MAX) }];
    let key = [KeyPart::Integer(50_123)];
    bencher.bench_local(|| hash::slot_of(black_box(&key), &types));
}

#[divan::bench]
fn slot_of_string(bencher: Bencher<'_, '_>) {
    let types = [text_key()];
    let key = [KeyPart::Text(b"customer-0050123".to_vec())];
    bencher.bench_local(|| hash::slot_of(black_box(&key), &types));
}

#[divan::bench]
fn slot_of_composite(bencher: Bencher<'_, '_>) {
    let types = [KeyType::Integer { min: 0, max: i128::from(u32::MAX) }, text_key()];
    let key = [KeyPart::Integer(50_123), KeyPart::Text(b"customer-0050123".to_vec())];
    bencher.bench_local(|| hash::slot_of(black_box(&key), &types));
}
