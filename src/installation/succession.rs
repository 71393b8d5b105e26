//! The chains of the authority on disk, one after the other.
//!
//! ```text
//! authority.pem    authority.key      the first chain, and the key of its issuing certificate
//! authority-2.pem  authority-2.key    the one that takes over when it begins to hold
//! authority-3.pem  …
//! ```
//!
//! Chains elsewhere, under whatever name, are continued in the same way. A key whose chain was taken over
//! signs nothing any more and may be deleted; the chain stays, for verifiers need it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::place::{self, Adding};
use super::{Files, InstallationError, ceremony, check_key, write};
use crate::certificate::Chain;
use crate::signer::Signer;
use crate::signer::file::FileSigner;
use crate::time::Timestamp;
use crate::trust::AuthorityTrust;

/// How much longer than it issued a chain counts: clocks differ, and a certificate holds for minutes.
const MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before it takes over a chain is there, unless somebody wants it otherwise: as long as clients
/// may keep what they fetched of the trust files.
pub const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// More than any authority lives to see.
const LIMIT: u32 = 1_000;

/// One chain of the authority, at rest.
#[derive(Clone)]
pub struct Issuer {
    /// Its file.
    pub file: PathBuf,
    /// The issuing certificate and those above it.
    pub chain: Arc<Chain>,
    /// The key of the issuing certificate; none when it was deleted after another one took over.
    pub signer: Option<Arc<dyn Signer>>,
}

/// What the next chain is to be. Not `Debug`: it holds a passphrase.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    /// The root's key.
    pub root: &'a Path,
    /// Decrypts the root's key, and encrypts the new one.
    pub passphrase: Option<&'a str>,
    /// When it takes over.
    pub begins: Timestamp,
}

/// Every chain of the authority, the one that began first before the others; those that `known` has are
/// not read again.
///
/// # Errors
///
/// Why a chain or a key that is still needed cannot be read, or that they do not belong together.
pub fn read(
    files: &Files,
    passphrase: Option<&str>,
    now: Timestamp,
    known: &[Issuer],
) -> Result<Vec<Issuer>, InstallationError> {
    let mut found = Vec::new();
    for (chain, key) in pairs(files) {
        match known.iter().find(|known| known.file == chain) {
            Some(known) => found.push((known.clone(), key)),
            None => found
                .push((Issuer { chain: chain_in(&chain, now)?, file: chain, signer: None }, key)),
        }
    }
    found.sort_by_key(|(issuer, _)| issuer.chain.not_before());
    let taken_over = found.iter().filter(|(issuer, _)| issuer.chain.not_before() <= now).count();
    let open = |(at, (issuer, key)): (usize, (Issuer, PathBuf))| {
        if issuer.signer.is_some() || (at + 1 < taken_over && !key.exists()) {
            return Ok(issuer);
        }
        let signer = FileSigner::open(&key, passphrase)?;
        check_key(&issuer.chain, &signer)?;
        Ok(Issuer { signer: Some(Arc::new(signer)), ..issuer })
    };
    found.into_iter().enumerate().map(open).collect()
}

/// What issues at `now`: the newest chain that has begun, and its key.
///
/// # Errors
///
/// [`InstallationError::Chain`] when it does not hold now.
pub(super) fn at(
    issuers: &[Issuer],
    now: Timestamp,
) -> Result<(Arc<Chain>, Arc<dyn Signer>), InstallationError> {
    let begun = issuers.iter().rev().find(|issuer| issuer.chain.not_before() <= now);
    let Issuer { file, chain, signer } =
        begun.or(issuers.first()).ok_or(InstallationError::WrongKey)?;
    let holds = Chain::from_pem(chain.pems().concat().as_bytes(), now);
    holds.map_err(|error| InstallationError::Chain { path: file.to_owned(), error })?;
    let signer = signer.as_ref().ok_or(InstallationError::WrongKey)?;
    Ok((Arc::clone(chain), Arc::clone(signer)))
}

/// What verifiers need to know of them, at an instance with this URL: nothing that was taken over is
/// believed much longer than it issued.
pub fn trust(issuers: &[Issuer], url: &str, now: Timestamp) -> Vec<AuthorityTrust> {
    let trust = |(Issuer { chain, .. }, until): (&Issuer, Option<Timestamp>)| AuthorityTrust {
        url: url.to_owned(),
        certificates: chain.ders().to_vec(),
        since: chain.not_before(),
        until,
    };
    let ends = ends(issuers.iter().map(|issuer| issuer.chain.not_before()), now);
    issuers.iter().zip(ends).map(trust).collect()
}

/// Until when each of those counts that begin then, one after the other: a while longer than it signs; none
/// is of those that nothing has taken over from.
pub(super) fn ends(
    begins: impl Iterator<Item = Timestamp>,
    now: Timestamp,
) -> impl Iterator<Item = Option<Timestamp>> {
    let next = begins.skip(1).map(Some).chain(std::iter::once(None));
    next.map(move |next| next.filter(|begins| *begins <= now).map(|begins| begins.plus(MARGIN)))
}

/// The chain in a file, whether it holds now, did or will.
fn chain_in(path: &Path, now: Timestamp) -> Result<Arc<Chain>, InstallationError> {
    let pem = fs::read(path).map_err(|error| InstallationError::io(path, &error))?;
    let chain = Chain::from_pem_in_its_time(&pem, now);
    let chain = chain.map_err(|error| InstallationError::Chain { path: path.to_owned(), error })?;
    Ok(Arc::new(chain))
}

/// Whether there are files of more chains than these.
pub fn has_others(files: &Files, known: &[Issuer]) -> bool {
    pairs(files).any(|(chain, _)| known.iter().all(|known| known.file != chain))
}

/// The files of each chain that there is: its own and its key's. The first is there or must be.
fn pairs(files: &Files) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let pair = |number| (numbered(&files.chain, number), numbered(&files.authority_key, number));
    (1..LIMIT).map(pair).take_while(|(chain, _)| *chain == files.chain || chain.exists())
}

/// `authority-2.pem` for `authority.pem` and 2.
pub fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The first of `2026.pem`, `2026-2.pem`, … that is not there, and neither is its key.
pub(super) fn vacant(first: &Path) -> Result<PathBuf, InstallationError> {
    let mut files = (1..LIMIT).map(|number| numbered(first, number));
    let vacant = files.find(|file| !file.exists() && !file.with_extension("key").exists());
    vacant.ok_or_else(|| InstallationError::Taken { dir: first.to_owned() })
}

/// Makes the next chain below the root that signed the last of `issuers`, which takes over at `next.begins`.
/// Yields its file; none while another process makes one, or when it just did.
///
/// # Errors
///
/// [`InstallationError::OtherRoot`] when the key is not that root's, or what keeps it from being written.
pub fn extend(
    files: &Files,
    issuers: &[Issuer],
    next: Next<'_>,
) -> Result<Option<PathBuf>, InstallationError> {
    let last = issuers.last().ok_or(InstallationError::WrongKey)?;
    let folder = place::folder_of(&files.chain);
    let Some(adding) = Adding::begin(folder)? else { return Ok(None) };
    if has_others(files, issuers) {
        return Ok(None);
    }
    let count = u32::try_from(pairs(files).count()).unwrap_or(LIMIT);
    let (chain, key) =
        (numbered(&files.chain, count + 1), numbered(&files.authority_key, count + 1));
    let root = FileSigner::open(next.root, next.passphrase)?;
    let made = ceremony::successor((&name_of(&key), &name_of(&chain)), &last.chain, &root, next);
    let made = made.map_err(InstallationError::Ceremony)?;
    let [_, text] = &made;
    Chain::from_pem_in_its_time(&text.contents, next.begins)
        .map_err(|error| InstallationError::OtherRoot { key: next.root.to_owned(), error })?;
    adding.add(&|staging| write(staging, &made))?;
    Ok(Some(chain))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Authority, Curve, Options, create, open};
    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    #[test]
    fn who_does_not_know_of_the_next_chain_makes_none_beside_it() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        let authority = Authority::New { name: "mayfly.example.com", curve: Curve::P256 };
        let url = "https://mayfly.example.com";
        create(&dir, &Options { url, authority, passphrase: None, now: NOW }).unwrap();
        let (files, root) = (Files::in_dir(&dir), dir.join("root.key"));
        let next = Next { root: &root, passphrase: None, begins: NOW.plus(AHEAD) };
        let before = open(&dir, None, NOW).unwrap().issuers;
        assert_eq!(extend(&files, &before, next), Ok(Some(dir.join("authority-2.pem"))));
        assert_eq!(extend(&files, &before, next), Ok(None));
        let issuers = open(&dir, None, NOW).unwrap().issuers;
        assert_eq!(issuers.len(), 2);
        assert_eq!(issuers[1].chain.not_before(), next.begins);
    }
}
