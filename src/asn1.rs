//! Writing DER: tag, length, content.
//!
//! ```text
//! 30 0a            SEQUENCE, 10 octets
//!    02 01 02      INTEGER 2
//!    30 81 80 …    SEQUENCE, 128 octets: the first length that needs more than one octet
//! ```
//!
//! Only writing: what comes from outside is read by the `der` and `x509-cert` crates.
//!
//! Spec: X.690 §8, §10.1.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::time::Timestamp;

/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// UTF8String.
pub const UTF8_STRING: u8 = 0x0c;
/// UTCTime.
pub const UTC_TIME: u8 = 0x17;
/// GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// SET, SET OF.
pub const SET: u8 = 0x31;

/// The tag `[number]` of a primitive value.
pub const fn context(number: u8) -> u8 {
    0x80 | number
}

/// The tag `[number]` of a constructed value.
pub const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

/// Appends `tag`, the length of `content`, and `content`.
pub fn value(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match short(content.len()) {
        Some(octet) => out.push(octet),
        None => out.extend(long(content.len())),
    }
    out.extend_from_slice(content);
}

/// Appends `tag`, a length, and what `write` writes.
pub fn nested(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    // One octet is kept for the length, the most frequent case; a longer one moves the content.
    out.extend([tag, 0]);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    match (short(length), out.get_mut(start - 1)) {
        (Some(octet), Some(place)) => *place = octet,
        _ => drop(out.splice(start - 1..start, long(length))),
    }
}

/// Appends a non-negative INTEGER, given as big-endian octets with any number of leading zeros.
pub fn unsigned(out: &mut Vec<u8>, octets: &[u8]) {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    let octets = octets.get(zeros..).unwrap_or_default();
    nested(out, INTEGER, |out| {
        // A set top bit would make it negative, and zero has one octet.
        if octets.first().is_none_or(|first| *first >= 0x80) {
            out.push(0);
        }
        out.extend_from_slice(octets);
    });
}

/// Appends a time, in whole seconds, as certificates have it: `UTCTime` until 2049, `GeneralizedTime` after that.
///
/// Spec: RFC 5280 §4.1.2.5.
pub fn time(out: &mut Vec<u8>, time: Timestamp) {
    let date = date(time);
    if date.year() < 2050 {
        nested(out, UTC_TIME, |out| in_century(out, date));
    } else {
        generalized_time(out, time);
    }
}

/// Appends a `GeneralizedTime` in whole seconds: `20260101000000Z`.
pub fn generalized_time(out: &mut Vec<u8>, time: Timestamp) {
    let date = date(time);
    nested(out, GENERALIZED_TIME, |out| {
        digits(out, date.year() / 100);
        in_century(out, date);
    });
}

fn date(time: Timestamp) -> DateTime {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    Offset::UTC.to_datetime(timestamp)
}

fn in_century(out: &mut Vec<u8>, date: DateTime) {
    digits(out, date.year() % 100);
    for two in [date.month(), date.day(), date.hour(), date.minute(), date.second()] {
        digits(out, two.into());
    }
    out.push(b'Z');
}

/// Two decimal digits.
fn digits(out: &mut Vec<u8>, number: i16) {
    out.extend([number / 10, number % 10].map(|digit| b'0' + digit as u8));
}

/// The one octet of a length below 128.
fn short(length: usize) -> Option<u8> {
    u8::try_from(length).ok().filter(|octet| *octet < 0x80)
}

/// The octets of a length from 128 on, as few as there can be.
fn long(length: usize) -> impl Iterator<Item = u8> {
    let octets = length.to_be_bytes();
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    // At most eight octets follow, so that their number fits.
    let count = 0x80 | (octets.len() - zeros) as u8;
    std::iter::once(count).chain(octets.into_iter().skip(zeros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::asn1::{OctetStringRef, Uint};
    use der::{Decode, Encode};
    use proptest::prelude::*;

    #[test]
    fn writes_lengths_in_the_shortest_form() {
        let head = |n: usize| {
            let mut out = Vec::new();
            value(&mut out, OCTET_STRING, &vec![0; n]);
            out.truncate(out.len() - n);
            out
        };
        assert_eq!(head(0), [4, 0]);
        assert_eq!(head(127), [4, 127]);
        assert_eq!(head(128), [4, 0x81, 128]);
        assert_eq!(head(256), [4, 0x82, 1, 0]);
        assert_eq!(head(65_536), [4, 0x83, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn nests_as_it_writes_values(content in proptest::collection::vec(any::<u8>(), 0..700)) {
            let (mut flat, mut deep) = (vec![7], vec![7]);
            value(&mut flat, OCTET_STRING, &content);
            nested(&mut deep, OCTET_STRING, |out| out.extend_from_slice(&content));
            prop_assert_eq!(&flat, &deep);
            let read = <&OctetStringRef>::from_der(&flat[1..]).unwrap();
            prop_assert_eq!(read.as_bytes(), content);
        }

        #[test]
        fn writes_integers_as_der_does(octets in proptest::collection::vec(any::<u8>(), 1..24)) {
            let mut out = Vec::new();
            unsigned(&mut out, &octets);
            prop_assert_eq!(out, Uint::new(&octets).unwrap().to_der().unwrap());
        }
    }
}
