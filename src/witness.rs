//! Asking a witness over HTTPS: to cosign a checkpoint, and for the newest one that it did.
//!
//! ```text
//! POST <url>/add-checkpoint       old 20852014             the size that it knows
//!                                 PlRN…kaw=                proof that the checkpoint goes on from there
//!
//!                                 ca.example.com/ct/2026   the checkpoint
//!                                 …
//! 200                             — witness.example/w1 CMp+…HA==
//! 409                             20852163                 it knows another size
//!
//! GET  <url>/<SHA-256 of the origin, hex>/checkpoint
//! 200                             ca.example.com/ct/2026   signed by the log and by the witness
//! 404                             it has seen none
//! ```
//!
//! A witness may be hostile: what it says has a size, follows no redirect, and is verified by whoever asked.
//! The time it has is the caller's to limit.
//!
//! Spec: C2SP tlog-witness.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};

use crate::config::Proxy;
use crate::keyset::fetch::{FetchError, Fetcher, parse};
use crate::keyset::{self, SetupError};
use crate::tlog::merkle::Hash;
use crate::tlog::note::{MAX_NOTE, NoteError, NoteSignature, SignedNote, parse_size};

/// Asks witnesses. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct Client(Fetcher);

/// One witness.
#[derive(Clone, Debug)]
pub struct Witness {
    client: Client,
    /// Without a slash at its end.
    url: Arc<str>,
}

/// What a witness answers to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Signatures, none of them verified.
    Signed(Vec<NoteSignature>),
    /// It knows another size than was said, this one.
    Knows(u64),
}

impl Client {
    /// A client that asks through `proxy`.
    ///
    /// # Errors
    ///
    /// [`SetupError::Tls`].
    pub fn through(proxy: &Proxy) -> Result<Self, SetupError> {
        keyset::plain(proxy).map(Self)
    }

    /// The witness at `url`: its submission prefix.
    pub fn witness(&self, url: &str) -> Witness {
        Witness { client: self.clone(), url: url.trim_end_matches('/').into() }
    }
}

impl Witness {
    /// Asks to cosign the checkpoint in `note`, which `proof` shows to go on from the one of `old` entries.
    ///
    /// # Errors
    ///
    /// [`AskError`], one variant for each way to get no answer.
    pub async fn add_checkpoint(
        &self,
        old: u64,
        proof: &[Hash],
        note: &str,
    ) -> Result<Answer, AskError> {
        let mut body = format!("old {old}\n");
        for hash in proof {
            body += &BASE64_STANDARD.encode(hash);
            body.push('\n');
        }
        body += &format!("\n{note}");
        let (status, said) = self.ask(Method::POST, "add-checkpoint", body).await?;
        match status {
            StatusCode::OK => signatures(&said).map(Answer::Signed),
            StatusCode::CONFLICT => {
                let size = said.strip_suffix('\n').and_then(parse_size);
                size.map(Answer::Knows).ok_or(AskError::Size)
            }
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Err(AskError::Stranger),
            StatusCode::UNPROCESSABLE_ENTITY => Err(AskError::Inconsistent),
            other => Err(AskError::Status(other.as_u16())),
        }
    }

    /// The newest checkpoint of the log `origin` that it cosigned, nothing of it verified; none if it never
    /// did.
    ///
    /// # Errors
    ///
    /// [`AskError`], one variant for each way to get no answer.
    pub async fn checkpoint(&self, origin: &str) -> Result<Option<SignedNote>, AskError> {
        let path = format!("{}/checkpoint", Hash::of(&[origin.as_bytes()]));
        match self.ask(Method::GET, &path, String::new()).await? {
            (StatusCode::OK, note) => Ok(Some(note.parse()?)),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (other, _) => Err(AskError::Status(other.as_u16())),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, String), AskError> {
        let url = parse(&format!("{}/{path}", self.url))?;
        let request = Request::builder().method(method).uri(&url);
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| FetchError::Url(url.to_string()))?;
        let (status, said) = self.client.0.exchange(request, MAX_NOTE).await?;
        // What is no text is none of the answers either.
        Ok((status, String::from_utf8_lossy(&said).into_owned()))
    }
}

/// Signature lines, and nothing else.
fn signatures(said: &str) -> Result<Vec<NoteSignature>, AskError> {
    let note: SignedNote = format!("-\n\n{said}").parse()?;
    // Attack: a text of its own above them.
    match note.text.as_str() {
        "-\n" => Ok(note.signatures),
        _ => Err(NoteError::SignatureLine.into()),
    }
}

/// Why a witness gave no answer that is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It was not heard.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It does not know the log, or not its key.
    #[error(
        "it does not know this log, or not its key: give its operator the origin and the vkey that `mayfly trust show` prints"
    )]
    Stranger,
    /// What it has seen is not what the checkpoint goes on from.
    #[error("it refuses the proof: what it has seen of this log is another history")]
    Inconsistent,
    /// Something else.
    #[error("it answered with status {0}")]
    Status(u16),
    /// 409 without a size.
    #[error("it answered that it knows another size, and not which one")]
    Size,
    /// Neither signatures nor a checkpoint.
    #[error("its answer is not usable: {0}")]
    Note(#[from] NoteError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_signatures_and_nothing_else() {
        let found = signatures("— w AAAAAAA=\n— v AAAAAAE=\n").unwrap();
        let names: Vec<_> = found.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["w", "v"]);
        for said in [
            "",
            "\n",
            "— w AAAAAAA=",
            "<html>\n",
            "— w AAAAAAA=\n\n",
            "\n— w AAAAAAA=\n",
            "extension\n\n— w AAAAAAA=\n",
        ] {
            assert_eq!(signatures(said), Err(NoteError::SignatureLine.into()), "{said:?}");
        }
        let many = "— w AAAAAAA=\n".repeat(101);
        assert_eq!(signatures(&many), Err(NoteError::TooLong.into()));
    }
}
