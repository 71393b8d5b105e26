//! JSON as protobuf has it, read as leniently as gRPC's gateway reads it and no more.
//!
//! Field names in lowerCamelCase or as the .proto has them; unknown fields are skipped, unless a message says
//! otherwise; `null` is as good as absent; a field that stands there twice, under whichever names, is an
//! error. Only the first JSON value is read, and an empty body is an empty message. Messages derive
//! [`Deserialize`] with every field an `Option`, which gives all of that but the rest, which is here.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

use super::problem::Problem;

/// A message that can be read: an empty body yields the default one.
pub trait Readable: DeserializeOwned + Default {}

impl<T: DeserializeOwned + Default> Readable for T {}

/// Reads the first JSON value of a body.
///
/// # Errors
///
/// A [`Problem`] that says where, and never repeats what stands there: it may be a token.
pub fn read<T: Readable>(body: &[u8]) -> Result<T, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    match Message::deserialize(&mut reader) {
        Ok(Message(message)) => Ok(message),
        Err(error) => Err(Problem::malformed(sentence(&error))),
    }
}

/// The most messages of a [`few`].
pub const FEW: usize = 64;

/// Reads a list that is never long, and no more of a longer one: each of four million octets may be the beginning
/// of a message, which takes a hundred times as many.
///
/// # Errors
///
/// The reader's, and that there are too many.
pub fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    reader: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let list = Option::<Few<T>>::deserialize(reader)?;
    Ok(list.map(|Few(list)| list))
}

struct Few<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_seq(FewVisitor(PhantomData)).map(Self)
    }
}

struct FewVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {FEW}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut few = Vec::new();
        while let Some(next) = list.next_element()? {
            if few.len() == FEW {
                return Err(Error::invalid_length(FEW + 1, &self));
            }
            few.push(next);
        }
        Ok(few)
    }
}

fn sentence(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => {
            format!("the request body is not the message expected here: {} ({place})", cause(error))
        }
        Category::Eof => format!("the request body breaks off in the middle of its JSON ({place})"),
        Category::Syntax | Category::Io => format!("the request body is not JSON ({place})"),
    }
}

/// The part of serde's words that is ours: the field's name, or what was expected.
fn cause(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    if words.starts_with("duplicate field") {
        return words.to_owned();
    }
    match words.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "a value of the wrong kind".to_owned(),
    }
}

/// A message: a JSON object and nothing else (a derived reader would take an array as well).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Message<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Message<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Message<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Message)
            }
        }

        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// A `bytes` field: base64 in either alphabet, padded or not, line breaks ignored.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Base64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Base64, E> {
                // serde would repeat the text: it is the caller's, and it may be long.
                decode(text).map(Base64).ok_or_else(|| E::custom("text, expected base64"))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

fn decode(text: &str) -> Option<Vec<u8>> {
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    if text.contains(['\r', '\n']) {
        return engine.decode(text.replace(['\r', '\n'], "")).ok();
    }
    engine.decode(text).ok()
}

/// An enum field: its name, or its number in digits.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named(pub String);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Enum;

        impl Visitor<'_> for Enum {
            type Value = Named;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a whole number")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Named, E> {
                Ok(Named(name.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Named, E> {
                Ok(Named(number.to_string()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Named, E> {
                Ok(Named(number.to_string()))
            }
        }

        deserializer.deserialize_any(Enum)
    }
}

/// An enum field that nobody reads: any name, or a number that fits.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Enum;

        impl Visitor<'_> for Enum {
            type Value = Ignored;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a whole number of 32 bits")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Ignored, E> {
                Ok(Ignored)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Ignored, E> {
                i32::try_from(number).map(|_| Ignored).map_err(|_| too_large())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Ignored, E> {
                i32::try_from(number).map(|_| Ignored).map_err(|_| too_large())
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Ignored, E> {
                let fits = number.trunc() == number
                    && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
                fits.then_some(Ignored).ok_or_else(too_large)
            }
        }

        fn too_large<E: Error>() -> E {
            E::custom("a number, expected a whole number of 32 bits")
        }

        deserializer.deserialize_any(Enum)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        #[serde(alias = "some_text")]
        some_text: Option<String>,
        proof: Option<Base64>,
        kind: Option<Ignored>,
        inner: Option<Message<Inner>>,
        #[serde(default, deserialize_with = "few")]
        list: Option<Vec<Message<Inner>>>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Inner {
        a: Option<String>,
    }

    #[track_caller]
    fn accepts(json: &str) -> Sample {
        read(json.as_bytes()).unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    #[track_caller]
    fn refuses(json: &str, expected: &str) {
        let problem = format!("{:?}", read::<Sample>(json.as_bytes()).unwrap_err());
        assert!(problem.contains(expected), "{problem}");
    }

    #[test]
    fn takes_what_the_gateway_takes() {
        let text = |text: &str| Sample { some_text: Some(text.to_owned()), ..Sample::default() };
        assert_eq!(accepts(""), Sample::default());
        assert_eq!(accepts(" \n"), Sample::default());
        assert_eq!(accepts(r#"{"someText":"x"}"#), text("x"));
        assert_eq!(accepts(r#"{"some_text":"x","y":[{}],"z":{"z":1,"z":2}}"#), text("x"));
        assert_eq!(accepts(r#"{"someText":"x"}{"someText":"y"} hello"#), text("x"));
        assert_eq!(accepts(r#"{"someText":null,"inner":null,"proof":null}"#), Sample::default());
        for kind in [r#""ECDSA""#, r#""""#, r#""RSA""#, "2", "-1", "2.0", "1e3", "null"] {
            accepts(&format!(r#"{{"kind":{kind}}}"#));
        }
    }

    #[test]
    fn takes_base64_of_every_kind() {
        for proof in ["+/8=", "-_8=", "+/8", "-_8", "+/\\r\\n8=", "+/9="] {
            let sample = accepts(&format!(r#"{{"proof":"{proof}"}}"#));
            assert_eq!(sample.proof, Some(Base64(vec![0xfb, 0xff])), "{proof}");
        }
        refuses(r#"{"proof":"+_8="}"#, "expected base64");
        refuses(r#"{"proof":"a b"}"#, "expected base64");
        refuses(r#"{"proof":5}"#, "expected base64");
    }

    #[test]
    fn refuses_what_the_gateway_refuses() {
        refuses("hello", "is not JSON");
        refuses("\u{feff}{}", "is not JSON");
        refuses("[]", "expected an object");
        refuses(r#"{"inner":["x"]}"#, "expected an object");
        refuses("null", "expected an object");
        refuses(r#"{"someText":"x""#, "breaks off");
        refuses(r#"{"someText":"x","some_text":"y"}"#, "duplicate field `someText`");
        refuses(r#"{"someText":null,"someText":"y"}"#, "duplicate field `someText`");
        refuses(r#"{"someText":5}"#, "expected a string");
        refuses(r#"{"kind":true}"#, "expected a name");
        refuses(r#"{"kind":1.5}"#, "32 bits");
        refuses(r#"{"kind":2147483648}"#, "32 bits");
    }

    #[test]
    fn reads_no_more_of_a_list_than_it_may_have() {
        let list = |count: usize| format!(r#"{{"list":[{}]}}"#, vec!["{}"; count].join(","));
        assert_eq!(accepts(&list(64)).list.unwrap().len(), 64);
        assert_eq!(accepts(r#"{"list":null}"#).list, None);
        refuses(&list(65), "a list of at most 64");
    }

    #[test]
    fn never_repeats_what_it_was_sent() {
        let problem = read::<Sample>(br#"{"inner":"secret, expected secret"}"#).unwrap_err();
        assert!(!format!("{problem:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn never_panics(body: Vec<u8>, text in r#"\{("(someText|proof|kind|inner)":("[-_A-Za-z=+/]*"|[0-9.e]*|null|\{\}),?)*\}"#) {
            let _ = read::<Sample>(&body);
            let _ = read::<Sample>(text.as_bytes());
        }
    }
}
