//! The keys of the timestamp authority on disk: for each one its chain and, while it is to sign, the key.
//!
//! ```text
//! timestamp/2026.pem   the chain: the certificate that signs, then its root
//! timestamp/2026.key   its key
//! ```
//!
//! A chain stays for ever: old timestamps are verified by it. Its key may go when another one signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{InstallationError, ceremony, write};
use crate::signer::Signer;
use crate::signer::file::FileSigner;
use crate::time::Timestamp;
use crate::timestamp::Chain;
use crate::timestamping::{self, Key};

/// Writes the first chain and key into the new folder `folder`.
pub(super) fn fill(
    folder: &Path,
    organization: &str,
    (now, passphrase): (Timestamp, Option<&str>),
) -> Result<(), InstallationError> {
    fs::create_dir(folder).map_err(|error| InstallationError::io(folder, &error))?;
    let file = format!("{:04}", now.year());
    let made = ceremony::timestamps(&file, organization, (now, passphrase));
    for made in made.map_err(InstallationError::Ceremony)? {
        let path = folder.join(&made.name);
        write(&path, &made).map_err(|error| InstallationError::io(&path, &error))?;
    }
    Ok(())
}

/// All chains in `folder`, by name, each with its key if that is there.
///
/// # Errors
///
/// [`InstallationError::Timestamps`] when there is none, [`InstallationError::TimestampChain`],
/// [`InstallationError::TimestampKey`]; else why a file cannot be read.
pub fn read(folder: &Path, passphrase: Option<&str>) -> Result<Vec<Key>, InstallationError> {
    let chains = chains(folder)?;
    if chains.is_empty() {
        return Err(InstallationError::Timestamps { folder: folder.to_owned() });
    }
    chains.iter().map(|path| open(path, passphrase)).collect()
}

/// Whether any of `keys`, which are those in `folder`, signs.
///
/// # Errors
///
/// [`InstallationError::Timestampless`] when none does.
pub fn check(keys: &[Key], folder: &Path) -> Result<(), InstallationError> {
    match keys.iter().any(|key| key.signer.is_some()) {
        true => Ok(()),
        false => Err(InstallationError::Timestampless { folder: folder.to_owned() }),
    }
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

fn open(path: &Path, passphrase: Option<&str>) -> Result<Key, InstallationError> {
    let pem = fs::read(path).map_err(|error| InstallationError::io(path, &error))?;
    let chain = Chain::from_pem(&pem)
        .map_err(|error| InstallationError::TimestampChain { path: path.to_owned(), error })?;
    let file = path.with_extension("key");
    if !file.exists() {
        return Ok(Key { chain, signer: None });
    }
    let signer = FileSigner::open(&file, passphrase)?;
    let fits = signer.public_key() == chain.spki();
    if !fits || !timestamping::is_verified(signer.algorithm()) {
        return Err(InstallationError::TimestampKey { path: file });
    }
    Ok(Key { chain, signer: Some(Arc::new(signer)) })
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
        let keys = read(&folder, None).unwrap();
        assert_eq!(check(&keys, &folder), Ok(()));
        let [Key { chain, signer }] = &keys[..] else { panic!("not one") };
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
        assert!(read(&folder, Some("open sesame")).is_ok());
        assert!(matches!(read(&folder, None), Err(InstallationError::Key(_))));
    }

    #[test]
    fn a_chain_may_stay_without_its_key() {
        let (_parent, folder) = made(None);
        fs::remove_file(folder.join("2026.key")).unwrap();
        let keys = read(&folder, None).unwrap();
        let none = InstallationError::Timestampless { folder: folder.clone() };
        assert_eq!(check(&keys, &folder), Err(none));
        ceremony::timestamps("2031", "example.com", (NOW, None)).unwrap().iter().for_each(|made| {
            write(&folder.join(&made.name), made).unwrap();
        });
        let keys = read(&folder, None).unwrap();
        assert_eq!(check(&keys, &folder), Ok(()));
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn says_what_does_not_fit() {
        let (_parent, folder) = made(None);
        let (key, pem) = (folder.join("2026.key"), folder.join("2026.pem"));
        let (_other, other) = made(None);
        fs::copy(other.join("2026.key"), &key).unwrap();
        assert_eq!(read(&folder, None).err(), Some(InstallationError::TimestampKey { path: key }));
        fs::write(&pem, "no chain").unwrap();
        let error = read(&folder, None).err();
        assert!(matches!(error, Some(InstallationError::TimestampChain { .. })), "{error:?}");
        fs::remove_file(pem).unwrap();
        let gone = InstallationError::Timestamps { folder: folder.clone() };
        assert_eq!(read(&folder, None).err(), Some(gone.clone()));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(read(&folder, None).err(), Some(gone));
    }
}
