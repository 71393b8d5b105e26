//! Which logs there are, and which key each is verified with.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::VerifyError;
use super::source::{ReadError, Source};
use crate::tlog::key::{KeyError, PublicKey};
use crate::tlog::note::{self, SignedNote};

/// The part of a `trusted_root.json` that is about logs.
#[derive(Deserialize)]
struct TrustedRoot {
    #[serde(default)]
    ctlogs: Vec<Trusted>,
    #[serde(default)]
    tlogs: Vec<Trusted>,
}

impl TrustedRoot {
    /// Every log of both kinds.
    fn into_logs(self) -> Vec<Trusted> {
        let signatures = self.tlogs.into_iter().map(|log| Trusted { tiles: TILES, ..log });
        self.ctlogs.into_iter().chain(signatures).collect()
    }
}

/// Where a signature log has its tiles, below its address.
const TILES: &str = "/api/v2";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trusted {
    #[serde(default)]
    base_url: String,
    public_key: TrustedKey,
    /// What follows its address in that of its files.
    #[serde(skip)]
    tiles: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrustedKey {
    raw_bytes: String,
}

impl Trusted {
    /// The path of the log's files below its host, without slashes at its ends.
    ///
    /// Attack: only the path is taken, so that no other host is ever asked.
    fn path(&self) -> Option<String> {
        let (_, rest) = self.base_url.split_once("://")?;
        let path = rest.split_once('/').map_or("", |(_, path)| path).trim_matches('/');
        let is_plain = |segment: &str| !matches!(segment, "" | "." | "..");
        (path.is_empty() || path.split('/').all(is_plain)).then(|| format!("{path}{}", self.tiles))
    }

    fn key(&self) -> Option<PublicKey> {
        let spki = BASE64_STANDARD.decode(&self.public_key.raw_bytes).ok()?;
        PublicKey::from_spki(&spki).ok()
    }
}

/// The logs at a place, each by its path below it: the place itself when it is a log or the address of one, those
/// of its `trusted_root.json` otherwise. Of `is_one` alone that of the certificates is meant.
pub(super) async fn logs(place: &Source, is_one: bool) -> Result<Vec<String>, VerifyError> {
    if is_log(place, "checkpoint").await? {
        return Ok(vec![String::new()]);
    }
    let trusted = trusted_root(place).await?;
    let wanted = trusted.iter().filter(|log| !is_one || log.tiles.is_empty());
    let mut logs: Vec<String> =
        wanted.filter_map(Trusted::path).filter(|path| !path.is_empty()).collect();
    logs.dedup();
    // The address of a signature log; that of an instance has one there as well.
    let below = TILES.trim_start_matches('/');
    match logs.is_empty() {
        false => Ok(logs),
        true if is_log(place, &format!("{below}/checkpoint")).await? => Ok(vec![below.to_owned()]),
        true => Err(VerifyError::NoLog(place.to_string())),
    }
}

async fn is_log(place: &Source, checkpoint: &str) -> Result<bool, VerifyError> {
    match place.fetch(checkpoint).await {
        Ok(_) => Ok(true),
        Err(ReadError::Absent(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn trusted_root(place: &Source) -> Result<Vec<Trusted>, VerifyError> {
    match place.fetch("trusted_root.json").await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).map_or(Vec::new(), TrustedRoot::into_logs)),
        Err(ReadError::Absent(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The keys that may have signed a log's checkpoint.
pub(super) enum Keys {
    /// The one that the caller trusts.
    Given(PublicKey),
    /// Those that the log's own host names.
    Served(Vec<PublicKey>),
}

impl Keys {
    /// The key in `file`, or those of the nearest `trusted_root.json` to the log at `prefix`.
    pub(super) async fn open(
        file: Option<&Path>,
        place: &Source,
        prefix: &str,
    ) -> Result<Self, VerifyError> {
        if let Some(file) = file {
            return read_key(file).map(Self::Given);
        }
        let places = [Some(place.below(prefix)), Some(place.clone()), place.host()];
        for place in places.into_iter().flatten() {
            let trusted = trusted_root(&place).await?;
            if !trusted.is_empty() {
                return Ok(Self::Served(trusted.iter().filter_map(Trusted::key).collect()));
            }
        }
        Ok(Self::Served(Vec::new()))
    }

    /// The key to verify a checkpoint with: the given one, or the served one that it is signed by.
    pub(super) fn of(&self, checkpoint: &str) -> Option<PublicKey> {
        match self {
            Self::Given(key) => Some(key.clone()),
            Self::Served(keys) => {
                let note: SignedNote = checkpoint.parse().ok()?;
                let signs = |key: &&PublicKey| {
                    let id = key.id();
                    note.signatures.iter().any(|line| {
                        line.key_id == note::key_id(&line.name, note::TYPE_RFC6962, &id)
                            || line.key_id == note::ecdsa_key_id(&id)
                    })
                };
                keys.iter().find(signs).cloned()
            }
        }
    }

    /// Where the key came from, if one was found.
    pub(super) const fn from(&self, found: bool) -> KeyFrom {
        match self {
            Self::Given(_) => KeyFrom::Given,
            Self::Served(_) if found => KeyFrom::Served,
            Self::Served(_) => KeyFrom::Missing,
        }
    }
}

/// Where the key of a verified log came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyFrom {
    Given,
    Served,
    Missing,
}

impl KeyFrom {
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Given => "the given one signed the checkpoint",
            Self::Served => {
                "taken from the trusted_root.json served with the log; --key FILE pins it"
            }
            Self::Missing => {
                "none: the signature of the checkpoint was NOT verified; give the key with --key FILE"
            }
        }
    }
}

/// Reads a public key, PEM or DER.
fn read_key(file: &Path) -> Result<PublicKey, VerifyError> {
    let place = file.display().to_string();
    let bytes = fs::read(file)
        .map_err(|error| VerifyError::KeyFile { file: place.clone(), error: error.to_string() })?;
    let spki = match der::pem::decode_vec(&bytes) {
        Ok(("PUBLIC KEY", spki)) => Ok(spki),
        Ok(_) => Err(KeyError::Malformed),
        Err(_) => Ok(bytes),
    };
    spki.and_then(|spki| PublicKey::from_spki(&spki))
        .map_err(|error| VerifyError::Key { place, error })
}
