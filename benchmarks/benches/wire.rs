//! What passing a result on costs: framing, the relay's walk over packets, and the merge
//! of three shards' rows, by size of the result.

use bytes::BytesMut;
use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use shardline_benchmarks::budget::rows::{SHARDS, Shards, result, walk};
use shardline_wire::packet::{self, Deframer};

/// The binary's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 100, 10_000])]
fn relay(bencher: Bencher<'_, '_>, rows: usize) {
    let bytes = result(rows);
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| walk(black_box(&bytes)));
}

#[divan::bench(args = [16, 1_024, 65_536])]
fn encode(bencher: Bencher<'_, '_>, payload: usize) {
    let payload = vec![b'x'; payload];
    let mut out = BytesMut::with_capacity(payload.len() + 64);
    bencher.counter(BytesCount::new(payload.len())).bench_local(|| {
        out.clear();
        let mut sequence = 0;
        packet::encode(black_box(&payload), &mut sequence, &mut out);
        out.len()
    });
}

#[divan::bench(args = [1, 100, 10_000])]
fn deframe(bencher: Bencher<'_, '_>, rows: usize) {
    let bytes = result(rows);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .with_inputs(|| (Deframer::new(), bytes.clone()))
        .bench_local_refs(|(deframer, slab)| {
            let (mut sequence, mut packets) = (1, 0);
            while let Ok(Some(payload)) = deframer.next(slab, &mut sequence, usize::MAX) {
                packets += usize::from(!black_box(payload).is_empty());
            }
            packets
        });
}

#[divan::bench(args = [1, 100, 10_000])]
fn ordered_merge(bencher: Bencher<'_, '_>, rows: usize) {
    let shards = Shards::ordered(rows).expect("the statement is a scatter");
    bencher
        .counter(ItemsCount::new(rows * SHARDS))
        .bench_local(|| black_box(&shards).merge().is_ok());
}

#[divan::bench(args = [1, 100, 10_000])]
fn group_merge(bencher: Bencher<'_, '_>, groups: usize) {
    let shards = Shards::grouped(groups).expect("the statement is a scatter");
    bencher
        .counter(ItemsCount::new(groups * SHARDS))
        .bench_local(|| black_box(&shards).merge().is_ok());
}
