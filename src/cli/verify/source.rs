//! Where a log's files come from: a folder, or HTTP.

use std::collections::VecDeque;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinHandle;

use super::VerifyError;
use crate::cli::client::root_cause;
use crate::ct::judge::{Resource, Tiles};
use crate::quote::quote;

/// The most octets of one file: a full data tile has well under one mebibyte.
const MAX_FILE: usize = 32 << 20;
/// How long one file may take, from asking to its last octet.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many tiles are asked for before they are wanted.
const AHEAD: usize = 4;

/// The files of a log, or of the instance that it belongs to.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Folder(PathBuf),
    Remote(Box<Remote>),
}

impl Source {
    /// A folder, or an address: `https`, or `http` on loopback.
    /// The server is shown the token in `token_file`, if one is given.
    pub(super) fn open(place: &str, token_file: Option<&Path>) -> Result<Self, VerifyError> {
        let unknown = || VerifyError::Place(place.to_owned());
        if !place.contains("://") {
            let folder = PathBuf::from(place);
            return if folder.is_dir() { Ok(Self::Folder(folder)) } else { Err(unknown()) };
        }
        let address: Uri = place.parse().map_err(|_| unknown())?;
        let is_acceptable = match (address.scheme_str(), address.host()) {
            (Some("https"), Some(_)) => address.query().is_none(),
            (Some("http"), Some(host)) => address.query().is_none() && is_loopback(host),
            _ => false,
        };
        if !is_acceptable {
            return Err(unknown());
        }
        let token = token_file.map(credential).transpose()?;
        Remote::new(place.trim_end_matches('/').to_owned(), token)
            .map(|remote| Self::Remote(Box::new(remote)))
    }

    /// What is below this place; `path` has no slashes at its ends.
    pub(super) fn below(&self, path: &str) -> Self {
        match self {
            _ if path.is_empty() => self.clone(),
            Self::Folder(folder) => Self::Folder(folder.join(path)),
            Self::Remote(remote) => {
                Self::Remote(Box::new(remote.at(format!("{}/{path}", remote.base))))
            }
        }
    }

    /// The host that serves it; none for a folder.
    pub(super) fn host(&self) -> Option<Self> {
        let Self::Remote(remote) = self else { return None };
        let (scheme, rest) = remote.base.split_once("://")?;
        let host = rest.split_once('/').map_or(rest, |(host, _)| host);
        Some(Self::Remote(Box::new(remote.at(format!("{scheme}://{host}")))))
    }

    /// The file at `path` below this place.
    pub(super) async fn fetch(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        match self {
            Self::Folder(folder) => read_file(folder.join(path), path).await,
            Self::Remote(remote) => remote.fetch(path).await,
        }
    }

    /// From now on, asks for these tiles before [`Self::read`] wants them.
    pub(super) fn read_ahead(&mut self, tiles: Tiles) {
        if let Self::Remote(remote) = self {
            remote.ahead = Some(tiles);
        }
    }

    /// The file at `path`, which may have been asked for already.
    pub(super) async fn read(&mut self, path: &str) -> Result<Vec<u8>, ReadError> {
        match self {
            Self::Folder(_) => self.fetch(path).await,
            Self::Remote(remote) => remote.read(path).await,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Remote(remote) => f.write_str(&remote.base),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

async fn read_file(file: PathBuf, path: &str) -> Result<Vec<u8>, ReadError> {
    let failed = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return ReadError::Absent(path.to_owned());
        }
        ReadError::Failed { path: path.to_owned(), error: error.to_string() }
    };
    let length = tokio::fs::metadata(&file).await.map_err(failed)?.len();
    if usize::try_from(length).map_or(true, |length| length > MAX_FILE) {
        return Err(ReadError::TooLong(path.to_owned()));
    }
    let bytes = tokio::fs::read(&file).await.map_err(failed)?;
    // Quirk: static-ct-api lets data tiles be stored compressed. None begins with these octets
    // itself, since they would be a timestamp in the year 71 million.
    if path.starts_with("tile/data/") && bytes.starts_with(&[0x1f, 0x8b]) {
        return gunzip(&bytes, path);
    }
    Ok(bytes)
}

fn gunzip(bytes: &[u8], path: &str) -> Result<Vec<u8>, ReadError> {
    let mut out = Vec::new();
    // Attack: a small file that unpacks without end.
    let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
    let read = flate2::read::GzDecoder::new(bytes).take(limit + 1).read_to_end(&mut out);
    match read {
        Ok(_) if out.len() > MAX_FILE => Err(ReadError::TooLong(path.to_owned())),
        Ok(_) => Ok(out),
        Err(error) => Err(ReadError::Failed { path: path.to_owned(), error: error.to_string() }),
    }
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// A file on its way.
type Asked = JoinHandle<Result<Vec<u8>, ReadError>>;

/// A place on a server, and what has been asked of it.
#[derive(Debug)]
pub(super) struct Remote {
    client: HttpClient,
    /// Without a slash at its end.
    base: String,
    /// What it is shown; `Bearer …`.
    credential: Option<HeaderValue>,
    ahead: Option<Tiles>,
    asked: VecDeque<(String, Asked)>,
}

/// The same place; what was asked stays with the original.
impl Clone for Remote {
    fn clone(&self) -> Self {
        self.at(self.base.clone())
    }
}

/// Nobody will read what was asked.
impl Drop for Remote {
    fn drop(&mut self) {
        self.asked.iter().for_each(|(_, task)| task.abort());
    }
}

impl Remote {
    fn new(base: String, credential: Option<HeaderValue>) -> Result<Self, VerifyError> {
        Ok(Self { client: client()?, base, credential, ahead: None, asked: VecDeque::new() })
    }

    /// Another place on the same server.
    fn at(&self, base: String) -> Self {
        let (client, credential) = (self.client.clone(), self.credential.clone());
        Self { client, base, credential, ahead: None, asked: VecDeque::new() }
    }

    async fn read(&mut self, path: &str) -> Result<Vec<u8>, ReadError> {
        self.ask_ahead();
        match self.asked.pop_front() {
            Some((asked, task)) if asked == path => {
                let lost = |error: tokio::task::JoinError| ReadError::Failed {
                    path: path.to_owned(),
                    error: error.to_string(),
                };
                task.await.map_err(lost)?
            }
            other => {
                // An issuer, in between.
                other.into_iter().for_each(|other| self.asked.push_front(other));
                self.fetch(path).await
            }
        }
    }

    fn ask_ahead(&mut self) {
        while self.asked.len() < AHEAD {
            let Some(tile) = self.ahead.as_mut().and_then(Iterator::next) else { return };
            let path = Resource::Tile(tile).to_string();
            let (remote, asked) = (self.clone(), path.clone());
            let task = tokio::spawn(async move { remote.fetch(&path).await });
            self.asked.push_back((asked, task));
        }
    }

    async fn fetch(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let url = format!("{}/{path}", self.base);
        let late = |_| ReadError::Failed {
            path: url.clone(),
            error: format!("no answer within {} s", PATIENCE.as_secs()),
        };
        tokio::time::timeout(PATIENCE, self.ask(&url)).await.map_err(late)?
    }

    /// Asks once; follows no redirects.
    async fn ask(&self, url: &str) -> Result<Vec<u8>, ReadError> {
        let failed = |error: String| ReadError::Failed { path: url.to_owned(), error };
        let mut request = Request::get(url)
            .header(USER_AGENT, concat!("mayfly/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT_ENCODING, "gzip")
            .body(Empty::new())
            .map_err(|error| failed(error.to_string()))?;
        let credential = self.credential.clone().map(|credential| (AUTHORIZATION, credential));
        request.headers_mut().extend(credential);
        let answer =
            self.client.request(request).await.map_err(|error| failed(root_cause(&error)))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(ReadError::Absent(url.to_owned())),
            status => {
                return Err(ReadError::Status { path: url.to_owned(), status: status.as_u16() });
            }
        }
        let is_gzip = answer.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
        let body = Limited::new(answer.into_body(), MAX_FILE).collect().await;
        let body = body.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
            true => ReadError::TooLong(url.to_owned()),
            false => failed(root_cause(&*error)),
        })?;
        let bytes = body.to_bytes();
        if is_gzip { gunzip(&bytes, url) } else { Ok(bytes.into()) }
    }
}

/// The header that shows the token in a file: its first line.
fn credential(file: &Path) -> Result<HeaderValue, VerifyError> {
    let wrong = |error: String| VerifyError::TokenFile { file: file.display().to_string(), error };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let mut lines = text.lines().map(str::trim);
    let token = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let token = token.ok_or_else(|| wrong("there is no token in it".to_owned()))?;
    let header = HeaderValue::try_from(format!("Bearer {token}"));
    let mut header = header.map_err(|_| wrong("its first line is no token".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

fn client() -> Result<HttpClient, VerifyError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| VerifyError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_all_versions();
    Ok(Client::builder(TokioExecutor::new()).build(connector.build()))
}

/// What to do about a status, where it says.
const fn hint(status: u16) -> &'static str {
    match status {
        401 => ": this log is for those who have a token; give it with --token-file FILE",
        403 => ": nobody may read this log, as `log.readers` in its configuration says",
        _ => "",
    }
}

/// Why a file of a log is not at hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not there.
    #[error("{} is not served", quote(.0))]
    Absent(String),
    /// Longer than any such file.
    #[error("{} is longer than {} MiB", quote(.0), MAX_FILE >> 20)]
    TooLong(String),
    /// The server answers, but not with the file.
    #[error("{} was answered with HTTP status {status}{}", quote(.path), hint(*status))]
    Status {
        /// Its path in a folder, or its URL.
        path: String,
        /// The status.
        status: u16,
    },
    /// No server, no answer, no file system.
    #[error("{} cannot be read: {error}", quote(.path))]
    Failed {
        /// Which file.
        path: String,
        /// Why.
        error: String,
    },
}
