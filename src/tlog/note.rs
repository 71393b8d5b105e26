//! Signed notes and checkpoints: what a log signs, as text.
//!
//! ```text
//! ca.example.com/ct/2026                            origin
//! 70000                                             number of entries
//! rUfZ…Mqc=                                         root, base64
//!
//! — ca.example.com/ct/2026 kFgG…9Q==                key id ‖ signature, base64
//! ```
//!
//! Formats only: signing happens in the shell, verifying in [`super::key`].
//!
//! Spec: C2SP signed-note, tlog-checkpoint; static-ct-api for the signature of type 0x05.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::merkle::Hash;
use super::tls::{DigitallySigned, Reader, TlsError};
use crate::time::Timestamp;

/// The signature type of Ed25519.
pub const TYPE_ED25519: u8 = 0x01;
/// The signature type of ECDSA, whose key ids have no name in them.
const TYPE_ECDSA: u8 = 0x02;
/// The signature type of an RFC 6962 tree head.
pub const TYPE_RFC6962: u8 = 0x05;

/// The most octets of a note that is read: a tree head with a hundred cosignatures is far below.
pub const MAX_NOTE: usize = 64 * 1024;
/// The most signatures of a note that is read.
const MAX_SIGNATURES: usize = 100;
/// The most octets of the name of a key that somebody configures.
const MAX_NAME: usize = 255;

/// What a log says its tree is.
///
/// [`fmt::Display`] yields the text that is signed: three lines, each with its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log, unique among all logs: `<host>/ct/<shard>` for ours.
    pub origin: String,
    /// How many entries there are.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = BASE64_STANDARD.encode(self.root);
        write!(f, "{}\n{}\n{root}\n", self.origin, self.size)
    }
}

impl FromStr for Checkpoint {
    type Err = NoteError;

    /// Reads the text of a certificate log's note, which has no extension lines.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::Text)?.split('\n');
        let origin = lines.next().filter(|origin| is_name(origin)).ok_or(NoteError::Origin)?;
        let size = lines.next().and_then(parse_size).ok_or(NoteError::Size)?;
        let root = lines.next().and_then(decode_base64);
        let root = root.and_then(|root| root.try_into().ok()).ok_or(NoteError::Root)?;
        match lines.next() {
            None => Ok(Self { origin: origin.to_owned(), size, root: Hash(root) }),
            Some(_) => Err(NoteError::Extension),
        }
    }
}

/// A decimal number as `Display` writes it: no sign, no leading zeros.
pub fn parse_size(line: &str) -> Option<u64> {
    line.parse().ok().filter(|size: &u64| size.to_string() == line)
}

/// Base64 with padding; strict, so that one value has one text.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

/// Whether `name` may stand on a signature line.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// One signature of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key: a log's is its origin.
    pub name: String,
    /// What tells keys of one name apart, see [`key_id`].
    pub key_id: [u8; 4],
    /// The signature; what it holds depends on the type of the key.
    pub signature: Vec<u8>,
}

impl NoteSignature {
    /// Whether it says that it is of this key.
    pub fn is_of(&self, name: &str, key_id: [u8; 4]) -> bool {
        self.name == name && self.key_id == key_id
    }
}

/// The signature line, with its newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = BASE64_STANDARD.encode([&self.key_id[..], &self.signature].concat());
        writeln!(f, "— {} {blob}", self.name)
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    /// Reads a signature line without its newline.
    fn from_str(line: &str) -> Result<Self, NoteError> {
        let (name, blob) = line
            .strip_prefix("— ")
            .and_then(|line| line.split_once(' '))
            .filter(|(name, _)| is_name(name))
            .ok_or(NoteError::SignatureLine)?;
        let blob = decode_base64(blob).ok_or(NoteError::SignatureLine)?;
        match blob.split_first_chunk() {
            Some((key_id, signature)) if !signature.is_empty() => {
                Ok(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
            }
            _ => Err(NoteError::SignatureLine),
        }
    }
}

/// A text with its signatures, none of them verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    /// What is signed; ends with a newline.
    pub text: String,
    /// At least one.
    pub signatures: Vec<NoteSignature>,
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| fmt::Display::fmt(signature, f))
    }
}

impl FromStr for SignedNote {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        if note.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::Text);
        }
        // The text may hold blank lines of its own: the last one ends it.
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Unsigned)?;
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::SignatureLine)?;
        if lines.split('\n').count() > MAX_SIGNATURES {
            return Err(NoteError::TooLong);
        }
        let signatures = lines.split('\n').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }
}

/// The id of a note key: the first 4 octets of SHA-256(name ‖ 0x0A ‖ type ‖ key).
///
/// `key` is what the type says: the 32 octets of an Ed25519 key, the log id for
/// [`TYPE_RFC6962`].
pub fn key_id(name: &str, kind: u8, key: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = Hash::of(&[name.as_bytes(), b"\n", &[kind], key]).0;
    [a, b, c, d]
}

/// The id of an ECDSA note key: the first 4 octets of SHA-256 of its SPKI, whatever its name.
pub const fn ecdsa_key_id(spki_hash: &[u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..] = *spki_hash;
    [a, b, c, d]
}

/// The 32 octets of the Ed25519 key in a DER `SubjectPublicKeyInfo`, if it is one.
///
/// Spec: RFC 8410 §4.
pub fn ed25519_key(spki: &[u8]) -> Option<&[u8; 32]> {
    const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    spki.strip_prefix(&PREFIX)?.try_into().ok()
}

/// A public key as people hand it to verifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    /// The name that stands on its signature lines.
    pub name: String,
    /// The type of its signatures.
    pub kind: u8,
    /// What the type says, see [`key_id`].
    pub key: Vec<u8>,
}

impl VerifierKey {
    /// An Ed25519 key for notes.
    pub fn ed25519(name: &str, key: &[u8; 32]) -> Self {
        Self { name: name.to_owned(), kind: TYPE_ED25519, key: key.to_vec() }
    }

    /// What tells it from other keys of its name.
    pub fn key_id(&self) -> [u8; 4] {
        if self.kind == TYPE_ECDSA {
            return ecdsa_key_id(&Hash::of(&[&self.key]).0);
        }
        key_id(&self.name, self.kind, &self.key)
    }
}

/// `<name>+<key id, hex>+<type ‖ key, base64>`
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.key_id());
        let key = BASE64_STANDARD.encode([&[self.kind], &self.key[..]].concat());
        write!(f, "{}+{id:08x}+{key}", self.name)
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        let mut parts = text.splitn(3, '+');
        let (name, id, key) = (parts.next(), parts.next(), parts.next());
        let name = name.filter(|name| is_name(name) && name.len() <= MAX_NAME);
        let id = id.filter(|id| id.len() == 8).and_then(|id| u32::from_str_radix(id, 16).ok());
        let typed = key.and_then(decode_base64);
        let typed = typed.as_ref().and_then(|typed| typed.split_first());
        let (Some(name), Some(id), Some((kind, key))) = (name, id, typed) else {
            return Err(VerifierKeyError::Form);
        };
        let key = Self { name: name.to_owned(), kind: *kind, key: key.to_vec() };
        if key.key_id() == id.to_be_bytes() { Ok(key) } else { Err(VerifierKeyError::Id) }
    }
}

/// The octets that an RFC 6962 tree head signature covers.
///
/// version u8 = 0 ‖ signature type u8 = 1 ‖ timestamp u64 ‖ size u64 ‖ root.
///
/// Attack: the log's name is not among them, so a key must never sign for two logs.
///
/// Spec: RFC 6962 §3.5.
pub fn tree_head(timestamp: Timestamp, size: u64, root: &Hash) -> [u8; 50] {
    let mut head = [0; 50];
    let timestamp = timestamp.as_millis().to_be_bytes();
    let parts = [0, 1].into_iter().chain(timestamp).chain(size.to_be_bytes()).chain(root.0);
    head.iter_mut().zip(parts).for_each(|(slot, octet)| *slot = octet);
    head
}

/// The note signature of type 0x05 from a tree head signature: timestamp u64 ‖ `DigitallySigned`.
///
/// `log_id` is SHA-256 of the log key's SPKI, `signed` the TLS [`DigitallySigned`] over
/// [`tree_head`].
pub fn rfc6962_signature(
    origin: &str,
    log_id: &[u8; 32],
    timestamp: Timestamp,
    signed: &[u8],
) -> NoteSignature {
    NoteSignature {
        name: origin.to_owned(),
        key_id: key_id(origin, TYPE_RFC6962, log_id),
        signature: [&timestamp.as_millis().to_be_bytes(), signed].concat(),
    }
}

/// Reads what [`rfc6962_signature`] wrote: when the tree head was signed, and its signature.
///
/// # Errors
///
/// [`TlsError`] when the signature of the note has another form.
pub fn parse_rfc6962(signature: &[u8]) -> Result<(Timestamp, DigitallySigned), TlsError> {
    let mut reader = Reader::new(signature);
    let timestamp = Timestamp::from_millis(reader.u64()?);
    let signed = DigitallySigned::read(&mut reader)?;
    reader.end()?;
    Ok((timestamp, signed))
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// It looks otherwise.
    #[error("a key must be written <name>+<key id, 8 hex digits>+<base64>, as its owner prints it")]
    Form,
    /// The id is another key's.
    #[error("the key's id does not fit its name and its octets: take it as its owner prints it")]
    Id,
    /// It signs, but no cosignatures that can be verified here.
    #[error(
        "the key is none of a witness: only Ed25519 cosignatures (type 0x04) are verified here"
    )]
    NoCosigner,
}

/// Why a text is no signed note or no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More octets or signatures than any log needs.
    #[error("the note is longer than 64 KiB or has more than 100 signatures")]
    TooLong,
    /// A control character, or no newline at the end of the text.
    #[error("the note must be lines of text without control characters")]
    Text,
    /// No blank line.
    #[error(
        "the note has no signatures: a blank line and at least one signature must follow its text"
    )]
    Unsigned,
    /// A line after the last blank line is no signature.
    #[error("a signature line of the note must be \"— <name> <base64>\"")]
    SignatureLine,
    /// The first line is no origin.
    #[error(
        "the first line of the checkpoint must be the log's origin, without spaces and plus signs"
    )]
    Origin,
    /// The second line is no size.
    #[error("the second line of the checkpoint must be the number of entries, in decimal")]
    Size,
    /// The third line is no root.
    #[error("the third line of the checkpoint must be the root hash, 32 octets in base64")]
    Root,
    /// There is a fourth line.
    #[error("the checkpoint must have three lines and no extensions")]
    Extension,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "example.com/log\n4\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "example.com/log".to_owned(), size: 4, root: Hash::EMPTY }
    }

    #[test]
    fn a_checkpoint_is_three_lines() {
        assert_eq!(checkpoint().to_string(), TEXT);
        assert_eq!(TEXT.parse(), Ok(checkpoint()));
    }

    #[test]
    fn a_checkpoint_bites() {
        #[track_caller]
        fn bite(from: &str, to: &str, error: NoteError) {
            assert_eq!(TEXT.replacen(from, to, 1).parse::<Checkpoint>(), Err(error));
        }
        bite("example.com/log", "", NoteError::Origin);
        bite("example.com/log", "example com", NoteError::Origin);
        bite("example.com/log", "a+b", NoteError::Origin);
        bite("\n4\n", "\n04\n", NoteError::Size);
        bite("\n4\n", "\n+4\n", NoteError::Size);
        bite("\n4\n", "\n-4\n", NoteError::Size);
        bite("\n4\n", "\n4 \n", NoteError::Size);
        bite("\n4\n", "\n18446744073709551616\n", NoteError::Size);
        bite("\n4\n", "\n", NoteError::Size);
        bite("uFU=", "uFU", NoteError::Root);
        bite("uFU=", "uFV=", NoteError::Root);
        bite("uFU=", "", NoteError::Root);
        bite("uFU=\n", "uFU=", NoteError::Text);
        bite("uFU=\n", "uFU=\n\n", NoteError::Extension);
        bite("uFU=\n", "uFU=\nextension\n", NoteError::Extension);
    }

    /// The example of Go's `sumdb/note`; its key is `PeterNeumann+c74f20a3+ARpc2QcU…`.
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngot\
        pRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_of_somebody_else_is_understood() {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        let note: SignedNote = NOTE.parse().unwrap();
        let line = &note.signatures[0];
        let typed = decode_base64("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        assert_eq!(typed[0], TYPE_ED25519);
        assert_eq!(line.key_id, key_id("PeterNeumann", TYPE_ED25519, &typed[1..]));
        let key = UnparsedPublicKey::new(&ED25519, &typed[1..]);
        key.verify(note.text.as_bytes(), &line.signature).unwrap();
        assert_eq!(note.to_string(), NOTE);
    }

    #[test]
    fn a_verifier_key_is_one_line() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let (_, key) = text.rsplit_once('+').unwrap();
        let typed = decode_base64(key).unwrap();
        let key: [u8; 32] = typed[1..].try_into().unwrap();
        let key_of = VerifierKey::ed25519("PeterNeumann", &key);
        assert_eq!(key_of.to_string(), text);
        assert_eq!(text.parse(), Ok(key_of));
        let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 3, 0x21, 0];
        let spki = [&prefix[..], &key].concat();
        assert_eq!(ed25519_key(&spki), Some(&key));
        assert_eq!(ed25519_key(&spki[..43]), None);
        assert_eq!(ed25519_key(&key), None);
    }

    #[test]
    fn a_verifier_key_bites() {
        const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        #[track_caller]
        fn bite(from: &str, to: &str, error: VerifierKeyError) {
            assert_eq!(KEY.replacen(from, to, 1).parse::<VerifierKey>(), Err(error));
        }
        bite("Peter", "Paul", VerifierKeyError::Id);
        bite("c74f20a3", "c74f20a4", VerifierKeyError::Id);
        bite("ARpc", "Axpc", VerifierKeyError::Id);
        bite("PeterNeumann", "", VerifierKeyError::Form);
        bite("Peter", "Peter ", VerifierKeyError::Form);
        bite("PeterNeumann", &"P".repeat(256), VerifierKeyError::Form);
        bite("c74f20a3", "+74f20a3", VerifierKeyError::Form);
        bite("c74f20a3", "74f20a3", VerifierKeyError::Form);
        bite("10TW", "10T", VerifierKeyError::Form);
        bite("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "", VerifierKeyError::Form);
        bite("+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "", VerifierKeyError::Form);
    }

    #[test]
    fn the_last_blank_line_ends_the_text() {
        let text = "one\n\n— not.a.signature AAAAAAA=\n\ntwo\n";
        let note: SignedNote = format!("{text}\n— a AAAAAAA=\n— b AAAAAAA=\n").parse().unwrap();
        assert_eq!(note.text, text);
        assert_eq!(note.signatures.len(), 2);
    }

    #[test]
    fn a_note_bites() {
        const NOTE: &str = "example\n\n— name AAAAAAA=\n";
        #[track_caller]
        fn bite(from: &str, to: &str, error: NoteError) {
            assert_eq!(NOTE.replacen(from, to, 1).parse::<SignedNote>(), Err(error));
        }
        assert!(NOTE.parse::<SignedNote>().is_ok());
        bite("name", "", NoteError::SignatureLine);
        bite("name", "na+me", NoteError::SignatureLine);
        bite("name", "na\u{a0}me", NoteError::SignatureLine);
        bite("— ", "- ", NoteError::SignatureLine);
        bite("AA=\n", "AA=", NoteError::SignatureLine);
        bite("AA=\n", "AA=\n\n", NoteError::SignatureLine);
        bite("AA=\n", "AA= \n", NoteError::SignatureLine);
        bite("AAAAAAA=", "AAAAAA==", NoteError::SignatureLine);
        bite("AAAAAAA=", "AAAAAAB=", NoteError::SignatureLine);
        bite("\n\n", "\n", NoteError::Unsigned);
        bite("example", "ex\tample", NoteError::Text);
        bite("example", "ex\rample", NoteError::Text);
        bite("example", &"x".repeat(MAX_NOTE), NoteError::TooLong);
        bite("AA=\n", &format!("AA=\n{}", "— a AAAAAAA=\n".repeat(100)), NoteError::TooLong);
    }

    #[test]
    fn a_tree_head_is_fifty_octets() {
        let head = tree_head(Timestamp::from_millis(0x0102), 0x0304, &Hash([9; 32]));
        assert_eq!(head[..10], [0, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(head[10..18], [0, 0, 0, 0, 0, 0, 3, 4]);
        assert_eq!(head[18..], [9; 32]);
    }

    #[test]
    fn a_tree_head_signature_comes_back_from_its_note() {
        use crate::algorithm::SignatureAlgorithm::EcdsaP256Sha256;
        let signed = DigitallySigned { algorithm: EcdsaP256Sha256, signature: vec![1; 71] };
        let timestamp = Timestamp::from_millis(1_767_225_618_999);
        let line = rfc6962_signature("example.com/log", &[7; 32], timestamp, &signed.encode());
        let again: NoteSignature = line.to_string().trim_end().parse().unwrap();
        assert_eq!(again, line);
        assert_eq!(again.key_id, key_id("example.com/log", 5, &[7; 32]));
        assert_eq!(parse_rfc6962(&again.signature), Ok((timestamp, signed)));
        assert_eq!(
            parse_rfc6962(&[&line.signature[..], b"x"].concat()),
            Err(TlsError::TrailingBytes)
        );
        assert_eq!(parse_rfc6962(&line.signature[..80]), Err(TlsError::Truncated));
    }

    proptest! {
        #[test]
        fn a_note_that_parses_is_written_the_same(
            note in "[a-z\n ]{0,12}\n\n(— [a-z ]{0,3} [A-Za-z0-9+/=]{0,12}\n){0,3}",
        ) {
            if let Ok(parsed) = note.parse::<SignedNote>() {
                prop_assert_eq!(parsed.to_string(), note);
            }
        }

        #[test]
        fn a_checkpoint_that_parses_is_written_the_same(text in "[a-z+ ]{0,4}\n[0-9+]{0,3}\n[AB]{42}[A-D]=\n?") {
            if let Ok(parsed) = text.parse::<Checkpoint>() {
                prop_assert_eq!(parsed.to_string(), text);
            }
        }

        #[test]
        fn no_text_is_too_much(text in any::<String>()) {
            let _ = text.parse::<SignedNote>();
            let _ = text.parse::<Checkpoint>();
        }
    }
}
