//! The credential that an issuer wants before it shows its keys: a Kubernetes API server's, mostly.
//!
//! It is read from its file for each fetch, because such tokens are renewed every hour or so.

use std::io;
use std::path::PathBuf;

use hyper::Uri;
use hyper::header::HeaderValue;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// Octets that a token may have; a file with more is another file.
const LIMIT: u64 = 64 << 10;

/// A bearer token in a file, and to whom it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The file: the token, and white space around it.
    pub file: PathBuf,
    /// A URL of the one origin that sees it.
    pub origin: Uri,
}

impl Bearer {
    /// `Bearer <token>`, as the file has it now.
    ///
    /// # Errors
    /// [`BearerError`], without a word of what is in the file.
    pub async fn read(&self) -> Result<HeaderValue, BearerError> {
        let refused =
            |reason: String| BearerError { file: self.file.display().to_string(), reason };
        let octets = self.octets().await.map_err(|error| refused(error.to_string()))?;
        let none = || refused("it holds no token".to_owned());
        let text = std::str::from_utf8(&octets).map_err(|_| none())?;
        let token = text.trim();
        let sound = !token.is_empty() && token.bytes().all(|octet| octet.is_ascii_graphic());
        if !sound || octets.len() as u64 > LIMIT {
            return Err(none());
        }
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| none())?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn octets(&self) -> io::Result<Vec<u8>> {
        let file = File::open(&self.file).await?;
        let mut octets = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut octets).await?;
        Ok(octets)
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bearer token file {file} cannot be used: {reason}")]
pub struct BearerError {
    /// Its path.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
}
