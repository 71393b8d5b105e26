//! PEM as it is met in the world, read leniently and written strictly.
//!
//! ```text
//! anything at all
//! -----BEGIN CERTIFICATE-----
//! MIIB…                                  64 columns when we write, any when we read
//! -----END CERTIFICATE-----
//! ```
//!
//! Clients send CRLF, the whole base64 on one line, no newline at the end, and text around the block;
//! OpenSSL's older key files have headers (RFC 1423) before the base64. RFC 7468 parsers refuse some
//! of each, so this one reads them all. Octets that may be private are wiped when dropped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// What stands behind `BEGIN`: `PUBLIC KEY`.
    pub label: &'a str,
    /// Name and value of each header: `("Proc-Type", "4,ENCRYPTED")`.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The octets of the base64, mostly DER.
    pub der: Zeroizing<Vec<u8>>,
}

impl<'a> Block<'a> {
    /// The value of the header `name`.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1)
    }
}

/// Why a block cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No end line with the label of the begin line.
    #[error("the PEM block has no END line that matches its BEGIN line")]
    Unterminated,
    /// The label or a header is not text.
    #[error("the PEM block's label or headers are not text")]
    NotText,
    /// What stands between the lines is not base64.
    #[error("the PEM block does not hold base64")]
    NotBase64,
}

/// Yields the blocks of `text` in order; after an unterminated one, none.
pub fn blocks(text: &[u8]) -> impl Iterator<Item = Result<Block<'_>, PemError>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, block) = split(rest, b"-----BEGIN ")?;
        let (block, after) = read(block);
        rest = after;
        Some(block)
    })
}

/// Writes `der` as one block, with a newline at the end.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut text = String::with_capacity(der.len() * 4 / 3 + der.len() / 48 + 80);
    text.extend(["-----BEGIN ", label, "-----\n"]);
    for line in der.chunks(48) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

/// Reads a block from behind `BEGIN `; yields what follows it.
fn read(text: &[u8]) -> (Result<Block<'_>, PemError>, &[u8]) {
    let Some((label, text)) = split(text, b"-----") else {
        return (Err(PemError::Unterminated), &[]);
    };
    let Some((body, text)) = split(text, b"-----END ") else {
        return (Err(PemError::Unterminated), &[]);
    };
    match text.strip_prefix(label).and_then(|text| text.strip_prefix(b"-----")) {
        Some(rest) => (decode(label, body), rest),
        None => (Err(PemError::Unterminated), &[]),
    }
}

fn decode<'a>(label: &'a [u8], body: &'a [u8]) -> Result<Block<'a>, PemError> {
    let label = str::from_utf8(label).map_err(|_| PemError::NotText)?;
    let (headers, base64) = headers(body)?;
    let mut compact = Zeroizing::new(Vec::with_capacity(base64.len()));
    compact.extend(base64.iter().copied().filter(|octet| !octet.is_ascii_whitespace()));
    // Large enough at once: a vector that grows leaves unwiped copies behind.
    let mut der = Zeroizing::new(Vec::with_capacity(compact.len() / 4 * 3 + 3));
    STANDARD.decode_vec(&*compact, &mut der).map_err(|_| PemError::NotBase64)?;
    Ok(Block { label, headers, der })
}

/// Headers and base64, which an empty line separates. Base64 has no colon, so one means headers.
#[expect(clippy::type_complexity, reason = "it is a list of pairs and the rest")]
fn headers(body: &[u8]) -> Result<(Vec<(&str, &str)>, &[u8]), PemError> {
    if !body.contains(&b':') {
        return Ok((Vec::new(), body));
    }
    let (head, base64) =
        split(body, b"\n\n").or_else(|| split(body, b"\n\r\n")).ok_or(PemError::NotBase64)?;
    let head = str::from_utf8(head).map_err(|_| PemError::NotText)?;
    let pairs = head.lines().filter_map(|line| line.split_once(':'));
    Ok((pairs.map(|(name, value)| (name.trim(), value.trim())).collect(), base64))
}

/// What stands before and behind the first `mark`.
fn split<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &[Result<(&str, &[u8]), PemError>]) {
        let found: Vec<_> = blocks(text.as_bytes()).collect();
        let found: Vec<_> = found
            .iter()
            .map(|block| block.as_ref().map(|b| (b.label, b.der.as_slice())).map_err(|e| *e))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn reads_what_clients_send() {
        let one = [Ok(("A B", b"hello".as_slice()))];
        check("-----BEGIN A B-----\naGVsbG8=\n-----END A B-----\n", &one);
        check("-----BEGIN A B-----\r\naGVs\r\nbG8=\r\n-----END A B-----\r\n", &one);
        check("-----BEGIN A B-----\naGVsbG8=\n-----END A B-----", &one);
        check("-----BEGIN A B-----aGVsbG8=-----END A B-----", &one);
        check("# words\n\n-----BEGIN A B-----\n aGVs bG8=\n-----END A B-----\nmore words", &one);
    }

    #[test]
    fn refuses_what_is_no_block() {
        check("", &[]);
        check("-----BEGIN A", &[Err(PemError::Unterminated)]);
        check("-----BEGIN A-----\naGVsbG8=\n", &[Err(PemError::Unterminated)]);
        check("-----BEGIN A-----\naGVsbG8=\n-----END B-----\n", &[Err(PemError::Unterminated)]);
        check("-----BEGIN A-----\naGVsbG8\n-----END A-----\n", &[Err(PemError::NotBase64)]);
        check("-----BEGIN A-----\nb: c\n-----END A-----\n", &[Err(PemError::NotBase64)]);
    }

    #[test]
    fn goes_on_behind_a_block_that_holds_no_base64() {
        check(
            "-----BEGIN A-----\n!\n-----END A-----\n-----BEGIN B-----\naGk=\n-----END B-----\n",
            &[Err(PemError::NotBase64), Ok(("B", b"hi"))],
        );
    }

    #[test]
    fn reads_headers() {
        let text =
            b"-----BEGIN K-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\naGk=\n-----END K-----";
        let block = blocks(text).next().unwrap().unwrap();
        assert_eq!(block.header("Proc-Type"), Some("4,ENCRYPTED"));
        assert_eq!(block.header("DEK-Info"), Some("X,00"));
        assert_eq!(block.header("Other"), None);
        assert_eq!(block.der.as_slice(), b"hi");
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = encode("CERTIFICATE", &der);
            prop_assert!(text.lines().all(|line| line.len() <= 64));
            let found: Vec<_> = blocks(text.as_bytes()).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].der.as_slice(), &der);
        }

        #[test]
        fn never_panics(text in "(-----|BEGIN |END |A|\n|:|=|\\PC){0,40}") {
            blocks(text.as_bytes()).for_each(drop);
        }
    }
}
