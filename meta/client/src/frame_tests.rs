//! Frames: any bytes are harmless, caps hold, splits do not matter.

use crate::{
    frame::{self, FRAME_BYTES_MAX, FrameError, FrameStream},
    rpc::{LeaseInstance, ProxyRegistration, Request, RequestId, Response, WatchEvent},
};
use bytes::BytesMut;
use proptest::prelude::*;
use shardline_model::{
    change::Change,
    id::{Epoch, Incarnation, ProxyId, TableId},
};
use std::sync::Arc;

fn requests() -> impl Strategy<Value = Request> {
    prop_oneof![
        (any::<u64>(), any::<u64>(), any::<u64>(), ".{0,40}").prop_map(
            |(client, number, base, name)| Request::Propose {
                request: RequestId { client, number },
                base: Epoch(base),
                change: Arc::new(Change::SetCluster { name }),
            }
        ),
        (any::<u64>(), any::<u64>(), any::<Option<u64>>()).prop_map(|(table, count, at_least)| {
            Request::Reserve { table: TableId(table), count, at_least }
        }),
        (any::<u128>(), ".{0,20}").prop_map(|(instance, address)| Request::GrantLease {
            instance: LeaseInstance(instance),
            registration: ProxyRegistration { address, version: String::new() },
        }),
        (any::<u32>(), any::<u128>(), any::<u64>()).prop_map(|(proxy, instance, epoch)| {
            Request::RenewLease {
                proxy: ProxyId(proxy),
                instance: LeaseInstance(instance),
                acknowledged: Epoch(epoch),
                admits_by: Epoch(epoch / 2),
            }
        }),
        any::<Option<u64>>().prop_map(|from| Request::Watch { from: from.map(Epoch) }),
        Just(Request::ClusterStatus),
        (any::<u64>(), any::<u64>()).prop_map(|(incarnation, at_unix_s)| Request::MarkFenced {
            incarnation: Incarnation(incarnation),
            at_unix_s,
        }),
        any::<u64>()
            .prop_map(|incarnation| Request::MarkSwept { incarnation: Incarnation(incarnation) }),
    ]
}

/// All bodies that a decoder finds when it is fed in pieces of `piece` bytes.
fn bodies_in_pieces(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let (mut buffer, mut bodies) = (BytesMut::new(), Vec::new());
    for bytes in stream.chunks(piece) {
        buffer.extend_from_slice(bytes);
        while let Some(body) = frame::take(&mut buffer).unwrap() {
            bodies.push(body.to_vec());
        }
    }
    assert!(buffer.is_empty());
    bodies
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_however_it_is_split(
        sent in prop::collection::vec(requests(), 1..6),
        piece in 1..50_usize,
    ) {
        let stream: Vec<u8> = sent.iter().flat_map(|it| frame::encode(it).unwrap()).collect();
        for piece in [1, piece, stream.len()] {
            let bodies = bodies_in_pieces(&stream, piece);
            let received: Vec<Request> =
                bodies.iter().map(|body| frame::decode(body).unwrap()).collect();
            prop_assert_eq!(&received, &sent);
        }
    }

    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        frame::fuzz(&bytes);
        let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        frame::fuzz(&framed);
    }

    #[test]
    fn damaged_messages_are_harmless(
        request in requests(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut damaged = frame::encode(&request).unwrap();
        for (at, value) in flips {
            let at = at.index(damaged.len());
            damaged[at] = value;
        }
        frame::fuzz(&damaged);
    }

    #[test]
    fn a_length_over_the_cap_is_refused_before_its_bytes_come(over in 1..u32::MAX >> 1) {
        let bytes = FRAME_BYTES_MAX as u32 + over;
        let mut buffer = BytesMut::from(&bytes.to_le_bytes()[..]);
        let refused = matches!(frame::take(&mut buffer), Err(FrameError::TooLong { .. }));
        prop_assert!(refused);
    }
}

#[test]
fn bytes_after_a_message_are_an_error() {
    let frame = frame::encode(&Request::ClusterStatus).unwrap();
    let mut body = frame[4..].to_vec();
    assert!(frame::decode::<Request>(&body).is_ok());
    body.push(0);
    let refused = frame::decode::<Request>(&body);
    assert!(matches!(refused, Err(FrameError::Trailing { bytes: 1 })));
}

#[test]
fn a_message_over_the_cap_is_not_sent() {
    let part = vec![0; FRAME_BYTES_MAX];
    let event = WatchEvent::Snapshot { part, remaining_bytes: 0 };
    assert!(matches!(frame::encode(&event), Err(FrameError::TooLong { .. })));
}

#[tokio::test]
async fn a_stream_tells_a_clean_end_from_a_cut() {
    let (near, far) = tokio::io::duplex(64);
    let (mut near, mut far) = (FrameStream::new(near), FrameStream::new(far));
    let answer = Response::Reserved { first: 1, end: 2 };
    near.send(&answer).await.unwrap();
    near.send_encoded(&[9, 0]).await.unwrap();
    drop(near);
    assert_eq!(far.receive::<Response>().await.unwrap(), Some(answer));
    assert!(matches!(far.receive::<Response>().await, Err(FrameError::Cut)));

    let (near, far) = tokio::io::duplex(64);
    drop(near);
    assert_eq!(FrameStream::new(far).receive::<Response>().await.unwrap(), None);
}
