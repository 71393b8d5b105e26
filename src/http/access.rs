//! Who may read: anyone, nobody, or whoever shows a token out of a file.
//!
//! ```text
//! 401   a token would help: `Authorization: Bearer …`, one of the lines of the file
//! 403   nothing would; the sentence names the key of the configuration
//! ```
//!
//! The file is read again when it changes. One that cannot be read, or has no token, lets nobody in. What
//! is compared are hashes, of all lines, in constant time: how long it takes says nothing of a token.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::config::{Files, Readers, read_text};
use crate::tlog::merkle::Hash;

use super::problem::Problem;

/// How many octets a file of tokens may have.
const MOST: usize = 16 << 10;

/// Who may read something. Cloning shares it.
#[derive(Clone)]
pub struct Access {
    /// The key of the configuration that says it.
    key: &'static str,
    who: Who,
}

#[derive(Clone)]
enum Who {
    Anyone,
    Nobody,
    Holders(Arc<Holders>),
}

impl Access {
    /// Who may read the certificate log, by `log.readers`.
    pub fn to_log(readers: &Readers, is_local: bool) -> Self {
        Self { key: "log.readers", who: Who::of(readers, is_local) }
    }

    /// Who may read the records of all attempts, by `log.records`.
    pub fn to_records(readers: &Readers, is_local: bool) -> Self {
        Self { key: "log.records", who: Who::of(readers, is_local) }
    }

    /// Whether nobody at all may.
    pub fn is_closed(&self) -> bool {
        match &self.who {
            Who::Anyone => false,
            Who::Nobody => true,
            Who::Holders(holders) => holders.tokens().is_empty(),
        }
    }

    /// The key of the configuration that says who may.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// An answer that caches keep for those who may read it.
    ///
    /// Attack: what a cache takes for public it hands to whoever asks next, token or not.
    fn kept(&self, mut response: Response) -> Response {
        let is_open = matches!(self.who, Who::Anyone);
        let caching = response.headers().get(CACHE_CONTROL).filter(|_| !is_open);
        let caching = caching.and_then(|caching| caching.to_str().ok());
        let private = caching.map(|caching| caching.replace("public", "private"));
        if let Some(private) = private.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert(CACHE_CONTROL, private);
        }
        response
    }

    /// Why a request with these headers may not.
    fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        match &self.who {
            Who::Anyone => None,
            Who::Nobody => Some(Problem::reading_forbidden(self.key).into_response()),
            Who::Holders(holders) if holders.admit(headers) => None,
            Who::Holders(_) => {
                let mut response = Problem::token_wanted(self.key).into_response();
                let challenge = HeaderValue::from_static("Bearer realm=\"mayfly\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                Some(response)
            }
        }
    }
}

impl Who {
    fn of(readers: &Readers, is_local: bool) -> Self {
        match readers {
            Readers::Anyone => Self::Anyone,
            Readers::Local if is_local => Self::Anyone,
            Readers::Local | Readers::Nobody => Self::Nobody,
            Readers::Token(file) => Self::Holders(Arc::new(Holders::new(file.clone()))),
        }
    }
}

/// Lets through whoever may read.
pub(super) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    // A browser asks first whether it may show a token, and shows none.
    let is_preflight = request.method() == Method::OPTIONS;
    match access.refusal(request.headers()).filter(|_| !is_preflight) {
        Some(refusal) => refusal,
        None => access.kept(next.run(request).await),
    }
}

/// Whoever holds one of the tokens in a file.
struct Holders {
    file: PathBuf,
    read: Mutex<Read>,
}

/// The hashes of the tokens, and the file that they were read from as it was then; no file before the
/// first look.
#[derive(Default)]
struct Read {
    files: Files,
    tokens: Arc<[Hash]>,
}

impl Holders {
    fn new(file: PathBuf) -> Self {
        Self { file, read: Mutex::default() }
    }

    fn admit(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else { return false };
        let Some((scheme, token)) = shown.to_str().ok().and_then(|text| text.split_once(' '))
        else {
            return false;
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return false;
        }
        let shown = Hash::of(&[token.trim().as_bytes()]);
        let tokens = self.tokens();
        tokens.iter().fold(false, |admitted, token| {
            verify_slices_are_equal(&token.0, &shown.0).is_ok() | admitted
        })
    }

    /// The hashes of the tokens in the file as it is now.
    fn tokens(&self) -> Arc<[Hash]> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = read.files.is_empty();
        let files = if is_first { Files::at([&self.file]) } else { read.files.look() };
        let is_other = is_first || files != read.files;
        read.files = files;
        if is_other {
            read.tokens = tokens(&self.file).unwrap_or_else(|error| {
                let file = self.file.display();
                tracing::warn!(%file, %error, "nobody is let in by this file of tokens");
                Arc::default()
            });
        }
        Arc::clone(&read.tokens)
    }
}

/// The hashes of the tokens in a file, one a line; empty lines and comments (`#`) are none.
fn tokens(file: &Path) -> Result<Arc<[Hash]>, String> {
    let text = read_text(file)?;
    if text.len() > MOST {
        return Err(format!("it has {} octets; {MOST} are the most", text.len()));
    }
    let lines = text.lines().map(str::trim);
    let tokens = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let tokens: Arc<[Hash]> = tokens.map(|token| Hash::of(&[token.as_bytes()])).collect();
    if tokens.is_empty() { Err("there is no token in it".to_owned()) } else { Ok(tokens) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let value = |text: &&str| (AUTHORIZATION, HeaderValue::from_str(text).unwrap());
        values.iter().map(value).collect::<Vec<_>>().into_iter().fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        )
    }

    fn status(access: &Access, values: &[&str]) -> Option<u16> {
        access.refusal(&headers(values)).map(|response| response.status().as_u16())
    }

    #[test]
    fn local_is_anyone_here_and_nobody_elsewhere() {
        for (readers, is_local, expected) in [
            (Readers::Local, true, None),
            (Readers::Local, false, Some(403)),
            (Readers::Anyone, false, None),
            (Readers::Nobody, true, Some(403)),
        ] {
            let access = Access::to_log(&readers, is_local);
            assert_eq!(status(&access, &[]), expected, "{readers:?} {is_local}");
            assert_eq!(access.is_closed(), expected.is_some());
        }
    }

    #[test]
    fn a_file_that_is_none_lets_nobody_in_and_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("readers.token");
        let fifo = |file: &Path| {
            assert!(std::process::Command::new("mkfifo").arg(file).status().unwrap().success());
        };
        let endless = |file: &Path| std::os::unix::fs::symlink("/dev/zero", file).unwrap();
        let long = |file: &Path| std::fs::write(file, vec![b'a'; MOST + 1]).unwrap();
        for make in [fifo as fn(&Path), endless, long] {
            make(&file);
            let access = Access::to_records(&Readers::Token(file.clone()), false);
            assert_eq!(status(&access, &["Bearer a"]), Some(401));
            std::fs::remove_file(&file).unwrap();
        }
    }

    #[test]
    fn a_token_out_of_the_file_lets_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("readers.token");
        std::fs::write(&file, "# for the auditor\nfirst-token\n\n  second-token \n").unwrap();
        let access = Access::to_records(&Readers::Token(file.clone()), false);
        for admitted in ["Bearer first-token", "bearer second-token", "Bearer  second-token"] {
            assert_eq!(status(&access, &[admitted]), None, "{admitted}");
        }
        for wrong in [
            "Bearer first-toke",
            "Bearer first-token2",
            "Bearer # for the auditor",
            "Bearer ",
            "Basic first-token",
            "first-token",
        ] {
            assert_eq!(status(&access, &[wrong]), Some(401), "{wrong}");
        }
        assert_eq!(status(&access, &["Bearer first-token", "Bearer first-token"]), Some(401));
        let refusal = access.refusal(&HeaderMap::new()).unwrap();
        assert_eq!(refusal.headers()[WWW_AUTHENTICATE], "Bearer realm=\"mayfly\"");

        std::fs::write(&file, "third-token-is-longer\n").unwrap();
        assert_eq!(status(&access, &["Bearer first-token"]), Some(401));
        assert_eq!(status(&access, &["Bearer third-token-is-longer"]), None);
    }

    #[test]
    fn a_file_without_tokens_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("readers.token");
        let access = Access::to_log(&Readers::Token(file.clone()), true);
        assert_eq!((status(&access, &["Bearer "]), access.is_closed()), (Some(401), true));
        for content in ["".to_owned(), "# none\n\n".to_owned(), "token\n".repeat(9000)] {
            std::fs::write(&file, &content).unwrap();
            assert_eq!(status(&access, &["Bearer token"]), Some(401));
            assert!(access.is_closed());
        }
        std::fs::write(&file, "token").unwrap();
        assert_eq!((status(&access, &["Bearer token"]), access.is_closed()), (None, false));
    }
}
