//! The keys of the timestamp authority on disk: for each one its chain and, while it is to sign, the key.
//!
//! ```text
//! timestamp/2026.pem   the chain: the certificate that signs, then its root
//! timestamp/2026.key   its key
//! timestamp/2029.pem   the one that takes over when it begins to hold
//! ```
//!
//! A chain stays for ever: old timestamps are verified by it. Its key may go when another one signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::place::Adding;
use super::{InstallationError, ceremony, succession, write};
use crate::signer::Signer;
use crate::signer::file::FileSigner;
use crate::time::Timestamp;
use crate::timestamp::Chain;
use crate::timestamping::{self, Key};
use crate::trust::AuthorityTrust;

/// Writes the first chain and key into the new folder `folder`.
pub(super) fn fill(
    folder: &Path,
    organization: &str,
    (now, passphrase): (Timestamp, Option<&str>),
) -> Result<(), InstallationError> {
    fs::create_dir(folder).map_err(|error| InstallationError::io(folder, &error))?;
    let file = format!("{:04}", now.year());
    let made = ceremony::timestamps(&file, organization, (now, passphrase));
    write(folder, &made.map_err(InstallationError::Ceremony)?)
}

/// `known`, and the chains in `folder` that are not among them, each with its key if that is there: the one
/// that begins first before the others.
///
/// # Errors
///
/// [`InstallationError::Timestamps`] when there is none, [`InstallationError::TimestampChain`],
/// [`InstallationError::TimestampKey`]; else why a file cannot be read.
pub fn read(
    folder: &Path,
    passphrase: Option<&str>,
    known: &[Key],
) -> Result<Vec<Key>, InstallationError> {
    let mut keys = known.to_vec();
    for path in others(folder, known)? {
        keys.push(open(path, passphrase)?);
    }
    if keys.is_empty() {
        return Err(InstallationError::Timestamps { folder: folder.to_owned() });
    }
    keys.sort_by_key(|key| key.chain.not_before());
    Ok(keys)
}

/// Whether the one of `keys` that signs at `now` is there, and those that are to take over.
///
/// # Errors
///
/// [`InstallationError::Timestampless`] names one that is not.
pub fn check(keys: &[Key], now: Timestamp) -> Result<(), InstallationError> {
    let begun = keys.iter().filter(|key| key.chain.not_before() <= now).count();
    match keys.iter().skip(begun.saturating_sub(1)).find(|key| key.signer.is_none()) {
        None => Ok(()),
        Some(Key { file, .. }) => {
            Err(InstallationError::Timestampless { key: file.with_extension("key") })
        }
    }
}

/// What verifiers need to know of them, at an instance with this URL: nothing that was taken over is
/// believed much longer than it signed.
pub fn trust(keys: &[Key], url: &str, now: Timestamp) -> Vec<AuthorityTrust> {
    let ends = succession::ends(keys.iter().map(|key| key.chain.not_before()), now);
    keys.iter().zip(ends).map(|(key, until)| key.trust(url, until)).collect()
}

/// Makes the key and the chain that take over from the last of `keys` at `begins`. Yields the chain's file; none
/// while another process makes one, or when it just did.
///
/// # Errors
///
/// What keeps it from being written; then `folder` is as it was, or as the next call will find it and finish
/// it.
pub fn extend(
    folder: &Path,
    keys: &[Key],
    (begins, passphrase): (Timestamp, Option<&str>),
) -> Result<Option<PathBuf>, InstallationError> {
    let Some(last) = keys.last() else {
        return Err(InstallationError::Timestamps { folder: folder.to_owned() });
    };
    let Some(adding) = Adding::begin(folder)? else { return Ok(None) };
    if has_others(folder, keys)? {
        return Ok(None);
    }
    let file = succession::vacant(&folder.join(format!("{:04}.pem", begins.year())))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let made = ceremony::next_timestamps(&name, &last.chain, (begins, passphrase));
    let made = made.map_err(InstallationError::Ceremony)?;
    adding.add(&|staging| write(staging, &made))?;
    Ok(Some(file))
}

/// Whether there are chains in `folder` that `known` does not have.
///
/// # Errors
///
/// Why the folder cannot be read.
pub fn has_others(folder: &Path, known: &[Key]) -> Result<bool, InstallationError> {
    Ok(others(folder, known)?.next().is_some())
}

/// The files of the chains that `known` does not have, by name.
fn others(
    folder: &Path,
    known: &[Key],
) -> Result<impl Iterator<Item = PathBuf>, InstallationError> {
    let chains = chains(folder)?.into_iter();
    Ok(chains.filter(|file| known.iter().all(|key| key.file != *file)))
}

/// The files of the chains, by name; none where there is no folder.
fn chains(folder: &Path) -> Result<Vec<PathBuf>, InstallationError> {
    let unreadable = |error| InstallationError::io(folder, &error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut chains = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            chains.push(path);
        }
    }
    chains.sort();
    Ok(chains)
}

fn open(file: PathBuf, passphrase: Option<&str>) -> Result<Key, InstallationError> {
    let pem = fs::read(&file).map_err(|error| InstallationError::io(&file, &error))?;
    let chain = Chain::from_pem(&pem)
        .map_err(|error| InstallationError::TimestampChain { path: file.clone(), error })?;
    let path = file.with_extension("key");
    if !path.exists() {
        return Ok(Key { file, chain, signer: None });
    }
    let signer = FileSigner::open(&path, passphrase)?;
    let fits = signer.public_key() == chain.spki();
    if !fits || !timestamping::is_verified(signer.algorithm()) {
        return Err(InstallationError::TimestampKey { path });
    }
    Ok(Key { file, chain, signer: Some(Arc::new(signer)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use x509_parser::prelude::{FromDer, X509Certificate};

    /// 2026-01-01T00:00:00Z.
    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    fn made(passphrase: Option<&str>) -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("timestamp");
        fill(&folder, "example.com", (NOW, passphrase)).unwrap();
        (parent, folder)
    }

    #[test]
    fn what_is_made_opens() {
        let (_parent, folder) = made(None);
        let keys = read(&folder, None, &[]).unwrap();
        assert_eq!(check(&keys, NOW), Ok(()));
        let [Key { chain, signer, .. }] = &keys[..] else { panic!("not one") };
        assert_eq!(signer.as_ref().unwrap().public_key(), chain.spki());
        assert_eq!(chain.not_before(), NOW.minus(Duration::from_secs(3600)));
        let years = chain.not_after().since(chain.not_before()).as_secs() / 86_400;
        assert_eq!(years, 1826);
        let parsed = |n: usize| X509Certificate::from_der(&chain.ders()[n]).unwrap().1;
        let (leaf, root) = (parsed(0), parsed(1));
        assert_eq!(leaf.subject().to_string(), "O=example.com, CN=example.com timestamps");
        assert_eq!(root.subject().to_string(), "O=example.com, CN=example.com timestamps root");
        let ca = root.basic_constraints().unwrap().unwrap();
        assert!(ca.critical && ca.value.path_len_constraint == Some(0));
        let names: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "the root's key is kept: {names:?}");
    }

    #[test]
    fn a_passphrase_encrypts_the_key() {
        let (_parent, folder) = made(Some("open sesame"));
        assert!(read(&folder, Some("open sesame"), &[]).is_ok());
        assert!(matches!(read(&folder, None, &[]), Err(InstallationError::Key(_))));
    }

    #[test]
    fn a_chain_may_stay_without_its_key() {
        let (_parent, folder) = made(None);
        fs::remove_file(folder.join("2026.key")).unwrap();
        let keys = read(&folder, None, &[]).unwrap();
        let none = InstallationError::Timestampless { key: folder.join("2026.key") };
        assert_eq!(check(&keys, NOW), Err(none));
        let made = ceremony::timestamps("2031", "example.com", (NOW, None)).unwrap();
        write(&folder, &made).unwrap();
        let keys = read(&folder, None, &[]).unwrap();
        assert_eq!(check(&keys, NOW), Ok(()));
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn the_next_one_takes_over_when_it_begins_and_the_last_one_counts_a_day_more() {
        let (_parent, folder) = made(Some("open sesame"));
        let before = read(&folder, Some("open sesame"), &[]).unwrap();
        let begins = NOW.plus(Duration::from_secs(24 * 60 * 60));
        let next = (begins, Some("open sesame"));
        let file = extend(&folder, &before, next).unwrap();
        assert_eq!(file, Some(folder.join("2026-2.pem")));
        // Who does not know of it makes none beside it.
        assert_eq!(extend(&folder, &before, next), Ok(None));
        assert!(has_others(&folder, &before).unwrap());
        assert!(matches!(read(&folder, None, &before), Err(InstallationError::Key(_))));

        let keys = read(&folder, Some("open sesame"), &before).unwrap();
        assert_eq!((keys.len(), &keys[1].file), (2, &folder.join("2026-2.pem")));
        let chain = &keys[1].chain;
        assert_eq!((chain.not_before(), chain.subject()), (begins, keys[0].chain.subject()));
        let ends = |now| trust(&keys, "https://a.example.com", now).into_iter().map(|it| it.until);
        assert_eq!(ends(begins.minus(Duration::from_millis(1))).collect::<Vec<_>>(), [None, None]);
        let end = begins.plus(Duration::from_secs(24 * 60 * 60));
        assert_eq!(ends(begins).collect::<Vec<_>>(), [Some(end), None]);

        // Only a key that was taken over may go.
        let mut keyless = keys.clone();
        keyless[0].signer = None;
        let gone = |file| Err(InstallationError::Timestampless { key: folder.join(file) });
        assert_eq!(check(&keyless, NOW), gone("2026.key"));
        assert_eq!(check(&keyless, begins), Ok(()));
        keyless = keys.clone();
        keyless[1].signer = None;
        assert_eq!(check(&keyless, NOW), gone("2026-2.key"));
        assert_eq!(check(&keyless, begins), gone("2026-2.key"));
    }

    #[test]
    fn says_what_does_not_fit() {
        let (_parent, folder) = made(None);
        let (key, pem) = (folder.join("2026.key"), folder.join("2026.pem"));
        let (_other, other) = made(None);
        fs::copy(other.join("2026.key"), &key).unwrap();
        assert_eq!(
            read(&folder, None, &[]).err(),
            Some(InstallationError::TimestampKey { path: key })
        );
        fs::write(&pem, "no chain").unwrap();
        let error = read(&folder, None, &[]).err();
        assert!(matches!(error, Some(InstallationError::TimestampChain { .. })), "{error:?}");
        fs::remove_file(pem).unwrap();
        let gone = InstallationError::Timestamps { folder: folder.clone() };
        assert_eq!(read(&folder, None, &[]).err(), Some(gone.clone()));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(read(&folder, None, &[]).err(), Some(gone));
    }
}
