//! Packed and old forms of times, with values that were read off real servers.

use super::*;
use bytes::Bytes;

fn reader(bytes: &[u8]) -> Reader {
    Reader::new(Bytes::copy_from_slice(bytes))
}

fn time(bytes: &[u8], digits: u8) -> String {
    let mut reader = reader(bytes);
    let time = Time::decode(&mut reader, digits).expect("a time");
    assert!(reader.is_empty());
    time.to_string()
}

#[test]
fn negative_times_count_their_fraction_down() {
    // The table in the servers' comments on the packed format of TIME(2).
    assert_eq!(time(&[0x80, 0, 0, 0], 2), "00:00:00.00");
    assert_eq!(time(&[0x7f, 0xff, 0xff, 0xff], 2), "-00:00:00.01");
    assert_eq!(time(&[0x7f, 0xff, 0xff, 0x9d], 2), "-00:00:00.99");
    assert_eq!(time(&[0x7f, 0xff, 0xff, 0x00], 2), "-00:00:01.00");
    assert_eq!(time(&[0x7f, 0xff, 0xfe, 0xff], 2), "-00:00:01.01");
    assert_eq!(time(&[0x7f, 0xff, 0xfe, 0xf6], 2), "-00:00:01.10");
    assert_eq!(time(&[0x7f, 0xff, 0xff], 0), "-00:00:01");
    assert_eq!(time(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff], 6), "-00:00:00.000001");
    assert_eq!(time(&[0x4b, 0x91, 0x05], 0), "-838:59:59");
    assert_eq!(time(&[0xb4, 0x6e, 0xfb], 0), "838:59:59");
}

#[test]
fn old_forms() {
    let minus = (-8_385_959i32).to_le_bytes();
    let text = Time::decode_old(&mut reader(&minus[..3])).map(|time| time.to_string());
    assert_eq!(text.as_deref(), Ok("-838:59:59"));
    let number = 20_261_121_235_958u64.to_le_bytes();
    let text = DateTime::decode_old(&mut reader(&number)).map(|date| date.to_string());
    assert_eq!(text.as_deref(), Ok("2026-11-21 23:59:58"));
    assert!(Time::decode_old(&mut reader(&[99, 0, 0])).is_err());
    assert!(DateTime::decode_old(&mut reader(&[99, 0, 0, 0, 0, 0, 0, 0])).is_err());
}

#[test]
fn dates_and_moments() {
    let bits = (2026u32 << 9 | 11 << 5 | 21).to_le_bytes();
    let text = Date::decode(&mut reader(&bits[..3])).map(|date| date.to_string());
    assert_eq!(text.as_deref(), Ok("2026-11-21"));
    for (seconds, text) in [
        (0, "0000-00-00 00:00:00"),
        (1, "1970-01-01 00:00:01"),
        (951_782_400, "2000-02-29 00:00:00"),
        (4_107_542_399, "2100-02-28 23:59:59"),
        (4_107_542_400, "2100-03-01 00:00:00"),
        (i32::MAX as u32, "2038-01-19 03:14:07"),
        (u32::MAX, "2106-02-07 06:28:15"),
    ] {
        assert_eq!(Timestamp { seconds, ..Timestamp::default() }.to_string(), text);
    }
    let mut bytes = 5u32.to_be_bytes().to_vec();
    bytes.extend([0, 123]);
    let text = Timestamp::decode(&mut reader(&bytes), 3).map(|moment| moment.to_string());
    assert_eq!(text.as_deref(), Ok("1970-01-01 00:00:05.012"));
}

#[test]
fn packed_date_and_time() {
    let packed = |year: u64, month: u64, day: u64, time: (u64, u64, u64)| {
        let days = (year * 13 + month) << 5 | day;
        (0x80_0000_0000 + (days << 17 | time.0 << 12 | time.1 << 6 | time.2)).to_be_bytes()
    };
    let bytes = packed(9999, 12, 31, (23, 59, 59));
    let text = DateTime::decode(&mut reader(&bytes[3..]), 0).map(|date| date.to_string());
    assert_eq!(text.as_deref(), Ok("9999-12-31 23:59:59"));
    let bytes = packed(0, 0, 0, (0, 0, 0));
    let text = DateTime::decode(&mut reader(&bytes[3..]), 0).map(|date| date.to_string());
    assert_eq!(text.as_deref(), Ok("0000-00-00 00:00:00"));
    assert!(DateTime::decode(&mut reader(&[0x7f, 255, 255, 255, 255]), 0).is_err());
    assert!(DateTime::decode(&mut reader(&packed(2026, 1, 1, (24, 0, 0))[3..]), 0).is_err());
    // A fraction of 100 hundredths.
    let mut bytes = packed(2026, 1, 1, (0, 0, 0))[3..].to_vec();
    bytes.push(100);
    assert!(DateTime::decode(&mut reader(&bytes), 2).is_err());
}
