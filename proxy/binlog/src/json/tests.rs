//! Binary values made by hand from the format's description.

use super::*;

fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    Json::decode(&Bytes::copy_from_slice(bytes)).map(|json| json.to_string())
}

#[test]
fn scalars() {
    assert_eq!(text(&[]).as_deref(), Ok("null"));
    assert_eq!(text(&[4, 1]).as_deref(), Ok("true"));
    assert_eq!(text(&[5, 0xff, 0xff]).as_deref(), Ok("-1"));
    assert_eq!(
        text(&[10, 255, 255, 255, 255, 255, 255, 255, 255]).as_deref(),
        Ok("18446744073709551615")
    );
    assert_eq!(text(b"\x0c\x04a\"\n\x01").as_deref(), Ok("\"a\\\"\\n\\u0001\""));
    assert_eq!(text(&[15, 246, 4, 3, 1, 0x8f, 5]).as_deref(), Ok("15.5"));
    assert_eq!(text(b"\x0f\xfd\x04abcd").as_deref(), Ok("\"base64:type253:YWJjZA==\""));
    assert!(text(&[4, 3]).is_err());
    assert!(text(&[13]).is_err());
}

#[test]
fn doubles_print_as_the_server_prints_them() {
    for (number, expected) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.5, "1.5"),
        (1e14, "100000000000000.0"),
        (1e15, "1e15"),
        (1.25e-20, "1.25e-20"),
        (0.1, "0.1"),
        (f64::MAX, "1.7976931348623157e308"),
    ] {
        assert_eq!(Json::Double(number).to_string(), expected);
    }
}

#[test]
fn objects_and_arrays() {
    // {"a": [1, "x"], "b": null}
    let array = [2, 0, 12, 0, 5, 1, 0, 12, 10, 0, 1, b'x'];
    let mut object = vec![0, 2, 0, 32, 0];
    object.extend([18, 0, 1, 0, 19, 0, 1, 0]);
    object.extend([2, 20, 0, 4, 0, 0]);
    object.extend(b"ab");
    object.extend(array);
    assert_eq!(text(&object).as_deref(), Ok("{\"a\": [1, \"x\"], \"b\": null}"));
    for end in 1..object.len() {
        assert!(text(&object[..end]).is_err(), "{end}");
    }
    let Ok(json) = Json::decode(&Bytes::from(object)) else { panic!() };
    assert!(json.is_plain());
    assert!(!Json::Array(vec![json, Json::UInt(1)]).is_plain());
}

#[test]
fn a_value_that_contains_itself_ends() {
    // An array of two elements that both are the array.
    let bytes = [2, 2, 0, 10, 0, 2, 0, 0, 2, 0, 0];
    assert!(text(&bytes).is_err());
    // Deep nesting.
    let mut deep = vec![4, 0];
    for _ in 0..200 {
        let size = (deep.len() + 6) as u16;
        let [a, b] = size.to_le_bytes();
        let mut outer = vec![1, 0, a, b, 2, 7, 0];
        outer.extend(&deep[1..]);
        deep = [&[2][..], &outer].concat();
    }
    assert!(text(&deep).is_err());
}
