//! The two logs of an instance: what tells the shards of one from those of the other.

use std::path::{Path, PathBuf};

use crate::log::Form;
use crate::trust::host;

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// That of the certificates, where they end.
    Certificates,
    /// That of the signatures, when they come.
    Signatures,
}

impl Kind {
    /// Its folder in the data folder, and the first part of its path over HTTP.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Certificates => "ct",
            Self::Signatures => "tlog",
        }
    }

    /// What its entries are, before the words for a window in time.
    pub const fn entries(self) -> &'static str {
        match self {
            Self::Certificates => "certificates that end",
            Self::Signatures => "signatures that come",
        }
    }

    /// What its entries look like.
    pub const fn form(self) -> Form {
        match self {
            Self::Certificates => Form::Certificates,
            Self::Signatures => Form::Octets,
        }
    }

    /// The origin of its shard `name`, at an instance with this URL. A signature log has the host's name
    /// alone, and all its shards the same: clients compare it with the host of the log's address.
    pub(super) fn origin(self, url: &str, name: &str) -> String {
        match self {
            Self::Certificates => {
                let host = url.split_once("://").map_or(url, |(_, host)| host);
                format!("{host}/ct/{name}")
            }
            Self::Signatures => host(url).to_owned(),
        }
    }
}

/// Where the shards of one log are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Which log's.
    pub kind: Kind,
    /// The folder.
    pub path: PathBuf,
}

impl Folder {
    /// That of a log in the data folder `dir`.
    pub fn below(dir: &Path, kind: Kind) -> Self {
        Self { kind, path: dir.join(kind.folder()) }
    }
}
