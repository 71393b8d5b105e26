//! SEAM: mayfly.yaml and Fulcio's issuer file → the types above
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use crate::issuer::Issuers;
use crate::policy::Policy;

/// Everything that a file says, checked and parsed.
#[derive(Clone, Debug)]
pub struct Config {
    /// the one name clients use; no trailing slash
    pub url: String,
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub tls: Option<Tls>,
    pub issuers: Issuers,
    pub policy: Policy,
    pub authority: AuthorityFiles,
    pub lifetime: Duration,
    pub backdate: Duration,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls { pub certificate: PathBuf, pub key: PathBuf }
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityFiles { pub key: PathBuf, pub chain: PathBuf, pub passphrase_file: Option<PathBuf> }
