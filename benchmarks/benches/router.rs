//! What routing one statement costs: digest, plan-cache hit with its binding, parse and
//! plan on a miss, and the sharding function.

use divan::{Bencher, black_box};
use shardline_benchmarks::sysbench_catalog;
use shardline_model::{hash, key::KeyPart};
use shardline_router::{
    digest::Digest,
    router::{Router, RouterConfig, Scratch},
    template::{BindInput, SessionValues},
    view::SessionView,
};

const POINT: &str = "SELECT c FROM sbtest1 WHERE id=50123";
const INSERT: &str = "INSERT INTO sbtest1 (id, k, c, pad) VALUES (50123, 4711, \
    '83868641912-28773972837-60736120486-75162659906', '67847967377-48000963322')";
const JOIN: &str = "SELECT a.id, b.k, COUNT(*) FROM sbtest1 a JOIN sbtest2 b ON a.id = b.id \
    WHERE a.id = 50123 AND b.k > 7 GROUP BY a.id, b.k ORDER BY b.k LIMIT 10";

fn main() {
    divan::main();
}

#[divan::bench(args = [POINT, INSERT, JOIN])]
fn digest(bencher: Bencher<'_, '_>, sql: &str) {
    let mut digest = Digest::default();
    bencher.bench_local(|| digest.scan(black_box(sql.as_bytes()), Default::default()).is_ok());
}

#[divan::bench(args = [POINT, INSERT, JOIN])]
fn hit_and_bind(bencher: Bencher<'_, '_>, sql: &str) {
    let catalog = sysbench_catalog(3, 10).expect("the catalog is within the limits");
    let router = Router::new(RouterConfig::default());
    let mut scratch = Scratch::new();
    let session = SessionValues::default();
    let view = SessionView { database: Some("sbtest"), ..SessionView::default() };
    bencher.bench_local(|| {
        let template = router.prepare(black_box(sql.as_bytes()), &view, &catalog, &mut scratch);
        template.is_ok_and(|template| {
            let input = BindInput {
                sql: sql.as_bytes(),
                literals: scratch.literals(),
                params: None,
                session: &session,
                catalog: &catalog,
                ids: None,
            };
            template.bind(&input).is_ok()
        })
    });
}

#[divan::bench(args = [POINT, INSERT, JOIN])]
fn miss(bencher: Bencher<'_, '_>, sql: &str) {
    let catalog = sysbench_catalog(3, 10).expect("the catalog is within the limits");
    let view = SessionView { database: Some("sbtest"), ..SessionView::default() };
    let mut scratch = Scratch::new();
    bencher
        .with_inputs(|| Router::new(RouterConfig { plans_max: 16, plan_bytes_max: 1 << 16 }))
        .bench_local_refs(|router| {
            router.prepare(black_box(sql.as_bytes()), &view, &catalog, &mut scratch).is_ok()
        });
}

#[divan::bench]
fn slot_of_integer(bencher: Bencher<'_, '_>) {
    let catalog = sysbench_catalog(3, 1).expect("the catalog is within the limits");
    let group = catalog.groups.values().next().expect("one table makes one group");
    let key = [KeyPart::Integer(50_123)];
    bencher.bench_local(|| hash::slot_of(black_box(&key), &group.key_types));
}
