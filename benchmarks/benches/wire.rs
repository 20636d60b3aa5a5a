//! What passing a result on costs: the relay's walk over packets, by size of the result.

use bytes::BytesMut;
use divan::{Bencher, black_box, counter::BytesCount};
use shardline_wire::{
    capability::Capabilities,
    column::ColumnDefinition,
    packet,
    relay::{EndPacket, Request, ResponseTracker},
    response::EofPacket,
    row::put_text,
};

fn main() {
    divan::main();
}

/// A text result of one column with `rows` values of 120 bytes.
fn result(rows: usize) -> BytesMut {
    let mut out = BytesMut::new();
    let mut sequence = 1;
    let end = EofPacket::default();
    packet::encode(&[1], &mut sequence, &mut out);
    packet::encode_with(&mut out, &mut sequence, |out| {
        ColumnDefinition::text("c", 120).encode(out)
    });
    packet::encode_with(&mut out, &mut sequence, |out| end.encode(out));
    for _ in 0..rows {
        packet::encode_with(&mut out, &mut sequence, |out| put_text(out, Some(&[b'x'; 120])));
    }
    packet::encode_with(&mut out, &mut sequence, |out| end.encode(out));
    out
}

#[divan::bench(args = [1, 100, 10_000])]
fn relay(bencher: Bencher<'_, '_>, rows: usize) {
    let bytes = result(rows);
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        let mut tracker = ResponseTracker::new(
            Request::Query,
            Capabilities::SERVER.without(Capabilities::DEPRECATE_EOF),
            EndPacket::Forward,
        );
        tracker.feed(black_box(&bytes)).is_ok_and(|progress| progress.complete)
    });
}
