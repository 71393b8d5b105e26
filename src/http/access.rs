//! Who may read: anyone, nobody, or whoever shows a token out of a file.
//!
//! ```text
//! 401   a token would help: `Authorization: Bearer …`, one of the lines of the file
//! 403   nothing would; the sentence names the key of the configuration
//! ```
//!
//! The file is read again when it changes. One that cannot be read, or has no token, lets nobody in, and of
//! one whose disk does not answer nobody knows: 503. What is compared are hashes, of all lines, in constant
//! time: how long it takes says nothing of a token.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::config::{Readers, Text};
use crate::tlog::merkle::Hash;

use super::problem::Problem;

/// How many octets a file of tokens may have.
const MOST: u64 = 16 << 10;
/// How long a look at one may take.
const PATIENCE: Duration = Duration::from_secs(2);

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
    Holders(Holders),
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
            Who::Holders(holders) => holders.are_none(),
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
    async fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        let problem = match &self.who {
            Who::Anyone => return None,
            Who::Nobody => Problem::reading_forbidden(self.key),
            Who::Holders(holders) => match holders.admit(headers).await {
                Some(true) => return None,
                Some(false) => Problem::token_wanted(self.key),
                None => Problem::log_unreadable(),
            },
        };
        let mut response = problem.into_response();
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"mayfly\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        Some(response)
    }
}

impl Who {
    fn of(readers: &Readers, is_local: bool) -> Self {
        match readers {
            Readers::Anyone => Self::Anyone,
            Readers::Local if is_local => Self::Anyone,
            Readers::Local | Readers::Nobody => Self::Nobody,
            Readers::Token(file) => Self::Holders(Holders::new(file.clone())),
        }
    }
}

/// Lets through whoever may read.
pub(super) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    // A browser asks first whether it may show a token, and shows none.
    let is_preflight = request.method() == Method::OPTIONS;
    let refusal = if is_preflight { None } else { access.refusal(request.headers()).await };
    match refusal {
        Some(refusal) => refusal,
        None => access.kept(next.run(request).await),
    }
}

/// Whoever holds one of the tokens in a file. Cloning shares it.
#[derive(Clone)]
struct Holders {
    /// Held by the one thread that looks at the file: where its disk hangs, no other does.
    kept: Arc<Mutex<Kept>>,
    patience: Duration,
}

/// The file, and the hashes of the tokens in it as it was at the last look.
struct Kept {
    path: PathBuf,
    text: Text,
    tokens: Arc<[Hash]>,
}

impl Holders {
    fn new(path: PathBuf) -> Self {
        let text = Text::at(path.clone(), MOST);
        let kept = Kept { path, text, tokens: Arc::default() };
        Self { kept: Arc::new(Mutex::new(kept)), patience: PATIENCE }
    }

    /// Whether the file has no token; looks at it here and now.
    fn are_none(&self) -> bool {
        self.kept.try_lock().is_ok_and(|mut kept| kept.look().is_empty())
    }

    /// Whether the token in these headers is one of them; none where the file cannot be looked at in time.
    async fn admit(&self, headers: &HeaderMap) -> Option<bool> {
        let Some(shown) = shown(headers) else { return Some(false) };
        let shown = Hash::of(&[shown.as_bytes()]);
        let tokens = timeout(self.patience, self.tokens()).await.ok()??;
        Some(tokens.iter().fold(false, |admitted, token| {
            verify_slices_are_equal(&token.0, &shown.0).is_ok() | admitted
        }))
    }

    /// The hashes of the tokens in the file as it is now.
    async fn tokens(&self) -> Option<Arc<[Hash]>> {
        let mut kept = Arc::clone(&self.kept).lock_owned().await;
        tokio::task::spawn_blocking(move || kept.look()).await.ok()
    }
}

impl Kept {
    /// The hashes of the tokens in the file as it is now.
    fn look(&mut self) -> Arc<[Hash]> {
        if let Some(text) = self.text.look() {
            self.tokens = text.and_then(|text| tokens(&text)).unwrap_or_else(|error| {
                let file = self.path.display();
                tracing::warn!(%file, %error, "nobody is let in by this file of tokens");
                Arc::default()
            });
        }
        Arc::clone(&self.tokens)
    }
}

/// The one token in these headers.
fn shown(headers: &HeaderMap) -> Option<&str> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(shown), None) = (shown.next(), shown.next()) else { return None };
    let (scheme, token) = shown.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The hashes of the tokens in a text, one a line; empty lines and comments (`#`) are none.
fn tokens(text: &str) -> Result<Arc<[Hash]>, String> {
    let lines = text.lines().map(str::trim);
    let tokens = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let tokens: Arc<[Hash]> = tokens.map(|token| Hash::of(&[token.as_bytes()])).collect();
    if tokens.is_empty() { Err("there is no token in it".to_owned()) } else { Ok(tokens) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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

    async fn status(access: &Access, values: &[&str]) -> Option<u16> {
        let refusal = access.refusal(&headers(values)).await;
        refusal.map(|response| response.status().as_u16())
    }

    #[tokio::test]
    async fn local_is_anyone_here_and_nobody_elsewhere() {
        for (readers, is_local, expected) in [
            (Readers::Local, true, None),
            (Readers::Local, false, Some(403)),
            (Readers::Anyone, false, None),
            (Readers::Nobody, true, Some(403)),
        ] {
            let access = Access::to_log(&readers, is_local);
            assert_eq!(status(&access, &[]).await, expected, "{readers:?} {is_local}");
            assert_eq!(access.is_closed(), expected.is_some());
        }
    }

    #[tokio::test]
    async fn a_file_that_is_none_lets_nobody_in_and_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("readers.token");
        let fifo = |file: &Path| {
            assert!(std::process::Command::new("mkfifo").arg(file).status().unwrap().success());
        };
        let endless = |file: &Path| std::os::unix::fs::symlink("/dev/zero", file).unwrap();
        let long = |file: &Path| std::fs::write(file, [b'a'; MOST as usize + 1]).unwrap();
        for make in [fifo as fn(&Path), endless, long] {
            make(&file);
            let access = Access::to_records(&Readers::Token(file.clone()), false);
            assert_eq!(status(&access, &["Bearer a"]).await, Some(401));
            std::fs::remove_file(&file).unwrap();
        }
    }

    #[tokio::test]
    async fn a_token_out_of_the_file_lets_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("readers.token");
        std::fs::write(&file, "# for the auditor\nfirst-token\n\n  second-token \n").unwrap();
        let access = Access::to_records(&Readers::Token(file.clone()), false);
        for admitted in ["Bearer first-token", "bearer second-token", "Bearer  second-token"] {
            assert_eq!(status(&access, &[admitted]).await, None, "{admitted}");
        }
        for wrong in [
            "Bearer first-toke",
            "Bearer first-token2",
            "Bearer # for the auditor",
            "Bearer ",
            "Basic first-token",
            "first-token",
        ] {
            assert_eq!(status(&access, &[wrong]).await, Some(401), "{wrong}");
        }
        assert_eq!(status(&access, &["Bearer first-token", "Bearer first-token"]).await, Some(401));
        let refusal = access.refusal(&HeaderMap::new()).await.unwrap();
        assert_eq!(refusal.headers()[WWW_AUTHENTICATE], "Bearer realm=\"mayfly\"");

        std::fs::write(&file, "third-token-is-longer\n").unwrap();
        assert_eq!(status(&access, &["Bearer first-token"]).await, Some(401));
        assert_eq!(status(&access, &["Bearer third-token-is-longer"]).await, None);
    }

    /// A disk that hangs holds up neither a thread for each request nor the workers, and lets nobody in.
    #[tokio::test]
    async fn a_file_that_does_not_answer_is_looked_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("readers.token");
        std::fs::write(&file, "token\n").unwrap();
        let holders = Holders { patience: Duration::from_millis(1), ..Holders::new(file) };
        let access = Access { key: "log.records", who: Who::Holders(holders.clone()) };
        let hangs = holders.kept.lock().await;
        assert_eq!(status(&access, &["Bearer token"]).await, Some(503));
        // Who shows none is told so without a look.
        assert_eq!(status(&access, &[]).await, Some(401));
        assert!(!access.is_closed());
        drop(hangs);
        let access =
            Access { who: Who::Holders(Holders { patience: PATIENCE, ..holders }), ..access };
        assert_eq!(status(&access, &["Bearer token"]).await, None);
    }

    #[tokio::test]
    async fn a_file_without_tokens_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("readers.token");
        let access = Access::to_log(&Readers::Token(file.clone()), true);
        assert_eq!((status(&access, &["Bearer "]).await, access.is_closed()), (Some(401), true));
        for content in ["".to_owned(), "# none\n\n".to_owned(), "token\n".repeat(9000)] {
            std::fs::write(&file, &content).unwrap();
            assert_eq!(status(&access, &["Bearer token"]).await, Some(401));
            assert!(access.is_closed());
        }
        std::fs::write(&file, "token").unwrap();
        assert_eq!((status(&access, &["Bearer token"]).await, access.is_closed()), (None, false));
    }
}
